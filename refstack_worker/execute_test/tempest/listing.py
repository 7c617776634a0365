"""Which tests there are: Tempest lists them by its own command, or they are known before the run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from refstack_worker.contract.text_files import decode_text, lines_of, read_limited
from refstack_worker.execute_test.failures import BadInput
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
EXACT_LIST = "--load-list"
"""The option of ``tempest run`` that takes the names of tests."""
STANDARD_INPUT = "/dev/stdin"
MAX_SECONDS = 1e6
"""A duration above that is not believed."""


@dataclass(frozen=True)
class TestListing:
    """The tests that were listed."""

    __test__ = False  # not a test case for pytest

    status: int
    """Exit status of the command; without 0 the names mean nothing."""
    names: tuple[str, ...]


@dataclass(frozen=True)
class TestFacts:
    """What is known about the tests before the run: their names, and how long they took before."""

    __test__ = False  # not a test case for pytest

    names: tuple[str, ...] = ()
    """All the tests that this Tempest lists; empty: ask Tempest."""
    durations: Mapping[str, float] = field(default_factory=dict)
    """Seconds by test name (without the attributes in brackets)."""

    @classmethod
    def read(cls, known_tests: Path | None, durations: Path | None) -> TestFacts:
        """Read the files of ``--known-tests`` and ``--durations``.

        :raises BadInput: one cannot be read, or has another format.
        """
        names = lines_of(_read(known_tests, "--known-tests")) if known_tests else []
        seconds = _durations(_read(durations, "--durations")) if durations else {}
        return cls(tuple(name.strip() for name in names if name.strip()), seconds)


def list_option(tempest: Tempest) -> str:
    """Return the option of ``tempest run`` that takes a list of expressions."""
    return "--include-list" if tempest.include_list else "--whitelist-file"


def run_words(tempest: Tempest, workspace: Workspace, action: str, list_by: str) -> list[str]:
    """Return the command line of ``tempest run``.

    :param action: ``--subunit`` or ``--list-tests``.
    :param list_by: the option that takes the list: :data:`EXACT_LIST` reads it from standard input, the others from the
        workspace; empty for all tests.
    """
    words = [str(tempest.program), "run", "--config-file", str(workspace.conf), action]
    if not list_by:
        return words
    return [*words, list_by, STANDARD_INPUT if list_by == EXACT_LIST else str(workspace.test_list)]


def listing_words(tempest: Tempest, workspace: Workspace, list_by: str) -> list[str | Path]:
    """Return the command line that lists tests; see :func:`run_words`."""
    # stestr lists only where it has a repository, which tempest run makes for itself
    folder = tempest.program.parent
    words = run_words(tempest, workspace, "--list-tests", list_by)
    return [str(folder / "python"), "-c", _LIST, str(folder / "stestr"), *words]


def write_list(workspace: Workspace, expressions: Sequence[str]) -> None:
    """Write the list of tests that run and listing read."""
    workspace.test_list.write_bytes(list_text(expressions))


def list_text(entries: Sequence[str]) -> bytes:
    """Return a list of expressions or names as Tempest reads it."""
    return "\n".join([*entries, ""]).encode("utf-8")


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


def _read(path: Path, where: str) -> str:
    try:
        return decode_text(read_limited(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{where}: {path}: {error}") from error


def _durations(text: str) -> dict[str, float]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(f"--durations: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput("--durations: not a JSON object of test names to seconds")
    return {name: float(seconds) for name, seconds in value.items() if _is_duration(seconds)}


def _is_duration(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MAX_SECONDS
