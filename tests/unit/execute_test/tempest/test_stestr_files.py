"""The files that stestr reads: where a process finds its tests, their groups, and how long they took before."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dbm import dumb
from pathlib import Path

import pytest

from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.stestr_files import closed_gate, give_durations, open_gate, write_stestr_conf
from refstack_worker.execute_test.tempest.workspace import PLAIN, Workspace
from tests.support.processes import eventually

MODULE = """\
import unittest


class Case(unittest.TestCase):
    def test_b(self): pass
    def test_a(self): pass
    def id(self): return super().id() + "[id-1,smoke]"
"""
OF_ALL = """\
import os, unittest


def load_tests(loader, tests, pattern):
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return loader.discover(os.path.join(here, "tempest", "api"), pattern=pattern, top_level_dir=here)
"""
LOAD = """\
import json, sys, unittest
folder = sys.argv[1]
tests = unittest.TestLoader().discover(folder, top_level_dir=folder)
def ids(each):
    return [name for one in each for name in ids(one)] if hasattr(each, "__iter__") else [each.id()]
print(json.dumps([ids(tests), sorted(name for name in sys.modules if name.startswith("tempest.api."))]))
"""


@pytest.fixture
def tempest(tmp_path: Path) -> Tempest:
    """A package with tests in three modules, the last of which cannot be imported."""
    package = tmp_path / "lib" / "tempest"
    for name in ("api/deep", "test_discover"):
        (package / name).mkdir(parents=True)
    for folder in (package, package / "api", package / "api/deep", package / "test_discover"):
        (folder / "__init__.py").touch()
    (package / "test_discover/test_discover.py").write_text(OF_ALL)
    for name in ("api/test_one.py", "api/deep/test_two.py"):
        (package / name).write_text(MODULE)
    (package / "api/test_broken.py").write_text("raise ImportError\n")
    return Tempest(Path("/t/bin/tempest"), "47.0.0", include_list=True, name_prefix=True, package=str(package))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "work")
    made.create()
    return made


def loaded(tempest: Tempest, workspace: Workspace, names: Iterable[str] | None) -> tuple[list[str], list[str]]:
    """Return the tests that a process of stestr finds when it is given these, and the test modules it imported."""
    write_stestr_conf(tempest, workspace)
    done = subprocess.run(words_of(workspace, names), env=path_of(tempest), capture_output=True, text=True, check=True)
    tests, modules = json.loads(done.stdout)
    return tests, modules


def words_of(workspace: Workspace, names: Iterable[str] | None) -> list[str]:
    words = [sys.executable, "-c", LOAD, str(workspace.test_path)]
    if names is not None:
        given = workspace.scratch / "given.txt"
        given.write_text("".join(f"{name}\n" for name in names))
        words += ["--load-list", str(given)]
    return words


def path_of(tempest: Tempest) -> dict[str, str]:
    return {"PYTHONPATH": str(Path(tempest.package).parent)}


@pytest.mark.parametrize("name", ["tempest.api.test_one.Case.test_a", "tempest.api.test_one.Case.test_gone"])
def test_no_test_begins_while_the_gate_is_closed(tempest: Tempest, workspace: Workspace, name: str) -> None:
    """Whichever loader finds the tests."""
    write_stestr_conf(tempest, workspace)
    with closed_gate(workspace) as gate:
        words = words_of(workspace, [name])
        with subprocess.Popen(words, env=path_of(tempest), stdout=subprocess.PIPE, text=True) as process:
            eventually("it waits", lambda: re.search(rf"-> FLOCK .* {process.pid} ", Path("/proc/locks").read_text()))
            open_gate(gate)
            found, _ = process.communicate()
    assert "tempest.api.test_one.Case.test_a[id-1,smoke]" in json.loads(found)[0]
    # where the run is killed, none begins
    with closed_gate(workspace) as gate:
        gate.close()
    ended = subprocess.run(words, env=path_of(tempest), capture_output=True, text=True, check=False)
    assert ended.returncode != 0 and ended.stdout == ""
    # processes that list tests are given none, and do not wait
    with closed_gate(workspace):
        subprocess.run(words_of(workspace, None), env=path_of(tempest), capture_output=True, check=True)


ONE = "tempest.api.test_one.Case"
TWO = "tempest.api.deep.test_two.Case"
ALL = [f"{TWO}.test_a[id-1,smoke]", f"{TWO}.test_b[id-1,smoke]", "unittest.loader._FailedTest.tempest.api.test_broken",
       f"{ONE}.test_a[id-1,smoke]", f"{ONE}.test_b[id-1,smoke]"]  # fmt: skip


def test_a_process_loads_the_modules_of_its_tests_alone(tempest: Tempest, workspace: Workspace) -> None:
    tests, modules = loaded(tempest, workspace, [f"{TWO}.test_b[id-1,smoke]", f"{TWO}.test_b[id-1]", ""])
    assert tests == ALL[:2]
    assert modules == ["tempest.api.deep", "tempest.api.deep.test_two"]


def test_its_tests_have_the_order_of_discovery(tempest: Tempest, workspace: Workspace) -> None:
    tests, _ = loaded(tempest, workspace, [f"{ONE}.test_a", f"{TWO}.test_b"])
    assert tests == ALL[:2] + ALL[3:]


@pytest.mark.parametrize(
    "names",
    [None, [f"{ONE}.test_a", f"{ONE}.test_gone"], ["tempest.api.test_gone.Case.test_a"], ["short"],
     ["tempest.api.test_broken.Case.test_a"], [f"{ONE}.test_a[id-1,smoke](a scenario)"]],
)  # fmt: skip
def test_tempest_loads_all_where_a_test_is_not_found(
    tempest: Tempest, workspace: Workspace, names: list[str] | None
) -> None:
    tests, modules = loaded(tempest, workspace, names)
    assert tests == ALL
    assert {"tempest.api.test_one", "tempest.api.deep.test_two"} <= set(modules)


def test_where_nothing_is_known_of_the_package_tempest_run_writes_its_own_file(workspace: Workspace) -> None:
    write_stestr_conf(Tempest(Path("/t/bin/tempest"), "47.0.0", include_list=True, name_prefix=True), workspace)
    assert not (workspace.scratch / "run" / ".stestr.conf").exists()


def test_the_path_of_the_loader_needs_no_quotes(tempest: Tempest, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / 'a "folder" of 5 % $HOME')
    workspace.create()
    tests, _ = loaded(tempest, workspace, [f"{ONE}.test_a"])
    assert tests == ALL[3:]
    assert PLAIN.fullmatch(str(workspace.test_path))
    workspace.remove()
    assert not workspace.test_path.exists()


def test_stestr_finds_the_loader_and_the_groups(tempest: Tempest, workspace: Workspace) -> None:
    write_stestr_conf(tempest, workspace, r"(a\.)|b")
    parser = configparser.ConfigParser()
    parser.read(workspace.scratch / "run" / ".stestr.conf")
    assert dict(parser["DEFAULT"]) == {
        "test_path": str(workspace.test_path), "top_dir": str(workspace.test_path), "group_regex": r"(a\.)|b",
    }  # fmt: skip


def test_durations_of_the_chosen_tests_are_in_the_repository(tmp_path: Path) -> None:
    give_durations(tmp_path, {"a.B.test_c": 1.5, "a.B.other": 3.0}, ["a.B.test_c[id-1,smoke]", "a.B.test_d"])
    with dumb.open(str(tmp_path / ".stestr/times.dbm"), "r") as times:
        assert {key: float(times[key]) for key in times.keys()} == {b"a.B.test_c": 1.5}
    assert (tmp_path / ".stestr/format").read_text() == "1\n"


def test_no_repository_is_made_for_nothing(tmp_path: Path) -> None:
    give_durations(tmp_path, {"a.B.other": 3.0}, ["a.B.test_c"])
    assert list(tmp_path.iterdir()) == []
