"""What stestr reads in the folder of a run: where the tests are, which stay together, and how long they took before."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterable, Iterator, Mapping
from dbm import dumb
from pathlib import Path
from typing import IO

from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.workspace import Workspace

BY_CLASS = r"([^\.]*\.)*"
"""Tempest's own expression: what it matches at the start of a name is the group that one process carries out."""

REPOSITORY = ".stestr"
"""stestr's folder of earlier results, in the folder of a run."""

_STESTR_CONF = """\
[DEFAULT]
test_path={folder}
top_dir={folder}
group_regex={group}
"""

_GATE = "gate"
_LOADER = r"""# The tests that a process of stestr is given, loaded from their own modules, once the gate is open.
#
# Tempest's own loader imports each module that Tempest and its plugins have. It is asked where a process is given no
# list, as when the tests are listed, and where one of its tests is not found this way.

import fcntl
import importlib
import os
import re
import sys

from tempest.test_discover import test_discover

OPTION = "--load-list"
GATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gate")
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(test_discover.__file__)))


def load_tests(loader, tests, pattern):
    # as if stestr had been started for Tempest's own folder
    sys.path.insert(0, PACKAGE)
    errors = list(loader.errors)
    try:
        found = given_tests(loader, pattern)
    except Exception:
        found = None
    if found is None or loader.errors != errors:
        loader.errors[:] = errors
        found = test_discover.load_tests(loader, tests, pattern)
    if OPTION in sys.argv:
        wait_for_gate()
    return found


def wait_for_gate():
    if os.path.exists(GATE):
        with open(GATE) as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)
            if not gate.read():
                sys.exit("the run has ended before its first test")


def given_tests(loader, pattern):
    if OPTION not in sys.argv:
        return None
    with open(sys.argv[sys.argv.index(OPTION) + 1]) as lines:
        names = {plain(line) for line in lines} - {""}
    modules = sorted({name.partition("(")[0].rsplit(".", 2)[0] for name in names}, key=position)
    suite = loader.suiteClass(
        loader.loadTestsFromModule(importlib.import_module(module), pattern=pattern) for module in modules
    )
    return suite if names <= set(plain_names(suite)) else None


def plain(name):
    # without the attributes in brackets, which may depend on the configuration
    return re.sub(r"\[[^\]]*\]", "", name.strip(), count=1)


def position(module):
    # as discovery finds them: files and folders by name, Tempest's before those of its plugins
    folders = module.split(".")
    return folders[0] != "tempest", folders[:-1] + [folders[-1] + ".py"]


def plain_names(tests):
    if not hasattr(tests, "__iter__"):
        return [plain(tests.id())]
    return [name for each in tests for name in plain_names(each)]
"""


def write_stestr_conf(tempest: Tempest, workspace: Workspace, group: str = BY_CLASS) -> None:
    """Let stestr's processes load the modules of their tests alone, and keep groups of tests together.

    Without that, each process imports all modules of Tempest: 1.75 s of a core in place of 1.1 for Swift's tests.

    :param group: what this expression matches at the start of a test's name is its group.
    """
    if not tempest.package:
        return  # tempest run will make its own
    folder = workspace.test_path
    folder.mkdir(exist_ok=True)
    (folder / "test_given.py").write_text(_LOADER, encoding="utf-8")
    text = _STESTR_CONF.format(folder=folder, group=group)
    (workspace.scratch / "run" / ".stestr.conf").write_text(text, encoding="utf-8")


@contextlib.contextmanager
def closed_gate(workspace: Workspace) -> Iterator[IO[str]]:
    """Give a file that keeps test processes from their first test until :func:`open_gate`.

    They load their tests meanwhile. If it is closed without that, as when this process is killed, they end. Call
    :func:`write_stestr_conf` before.
    """
    with open(workspace.test_path / _GATE, "w", encoding="ascii") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield gate


def open_gate(gate: IO[str]) -> None:
    """Let the test processes begin."""
    gate.write("open")
    gate.close()


def give_durations(folder: Path, durations: Mapping[str, float], names: Iterable[str]) -> None:
    """Make stestr's repository with the durations of tests, by which it divides them among its processes.

    Tests without a known duration may be missing. The format is that of stestr's file repository: ``format``,
    ``next-stream`` and a ``dbm.dumb`` database ``times.dbm`` of test name to seconds.

    :param folder: where ``tempest run`` will be started.
    """
    stripped = {name.partition("[")[0] for name in names}
    chosen = {name: seconds for name, seconds in durations.items() if name in stripped}
    if not chosen:
        return
    repository = folder / REPOSITORY
    repository.mkdir()
    for name, content in (("format", "1"), ("next-stream", "0")):
        (repository / name).write_text(f"{content}\n", encoding="ascii")
    with contextlib.closing(dumb.open(str(repository / "times.dbm"), "c")) as times:
        for name, seconds in chosen.items():
            times[name] = str(seconds)
