"""Lists tests of Tempest, by its own command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.contract.text_files import lines_of
from refstack_worker.execute_test.programs import started
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.workspace import Workspace

_LIST = """
import os, subprocess, sys
subprocess.run([sys.argv[1], "init"], stdout=subprocess.DEVNULL)
os.execv(sys.argv[2], sys.argv[2:])
"""
_SLOW = re.compile(r",slow(?=[,\]])")
"""The attribute among those behind a test's name: ``[id-…,slow,volume]``."""


@dataclass(frozen=True)
class TestListing:
    """The tests that were listed."""

    __test__ = False  # not a test case for pytest

    status: int
    """Exit status of the command; without 0 the names mean nothing."""
    names: tuple[str, ...]


def list_option(tempest: Tempest) -> str:
    """Return the option of ``tempest run`` that takes a list of expressions."""
    return "--include-list" if tempest.include_list else "--whitelist-file"


def run_words(tempest: Tempest, workspace: Workspace, action: str, list_by: str) -> list[str]:
    """Return the command line of ``tempest run``.

    :param action: ``--subunit`` or ``--list-tests``.
    :param list_by: the option that takes the workspace's list; empty for all tests.
    """
    words = [str(tempest.program), "run", "--config-file", str(workspace.conf), action]
    return [*words, list_by, str(workspace.test_list)] if list_by else words


def listing_words(tempest: Tempest, workspace: Workspace, list_by: str) -> list[str | Path]:
    """Return the command line that lists tests; see :func:`run_words`."""
    # stestr lists only where it has a repository, which tempest run makes for itself
    folder = tempest.program.parent
    words = run_words(tempest, workspace, "--list-tests", list_by)
    return [str(folder / "python"), "-c", _LIST, str(folder / "stestr"), *words]


def write_list(workspace: Workspace, expressions: Sequence[str]) -> None:
    """Write the list of tests that run and listing read."""
    workspace.test_list.write_text("\n".join([*expressions, ""]), encoding="utf-8")


def exact_names(names: Sequence[str]) -> list[str]:
    """Return the lines of ``--load-list`` that select these tests whatever the options of the run are.

    A name that no test has is ignored there. Tempest 47 marks a test as slow only with ``validation.run_validation``,
    so the name that was listed without the run's options is not always the one that the run has.
    """
    return list(dict.fromkeys(form for name in names for form in (name, _SLOW.sub("", name))))


def list_tests(tempest: Tempest, workspace: Workspace, expressions: Sequence[str]) -> TestListing:
    """Return the tests that match one of the expressions; all tests without any.

    :raises TempestFailure: Tempest cannot be started.
    """
    write_list(workspace, expressions)
    words = listing_words(tempest, workspace, list_option(tempest) if expressions else "")
    with started(words, workspace.scratch / "list", workspace.environment(tempest)) as listing:
        output, _ = listing.communicate()
        return TestListing(listing.returncode, tuple(listed_names(output)))


def listed_names(output: bytes) -> list[str]:
    """Return the names of tests among the lines that the command wrote."""
    lines = lines_of(output.decode("utf-8", "replace"))
    return [line.strip() for line in lines if re.match(r"[A-Za-z_][\w.]*\.\w+(?:[\[(].*)?$", line.strip())]
