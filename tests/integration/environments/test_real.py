"""Real Tempest versions: as many tests as an ordinary virtualenv, everything visible, two at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refstack_worker.environments.environment import Environment
from refstack_worker.environments.lock import read_lock
from refstack_worker.environments.store.verify import Store
from refstack_worker.environments.test_listing import list_tests
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.stestr_files import give_durations, write_stestr_conf
from refstack_worker.execute_test.tempest.workspace import Workspace
from tests.support.tempests import RELEASES

LOOK = """
import importlib.metadata as m, json
print(json.dumps([
    sorted({d.metadata["Name"].lower().replace("_", "-").replace(".", "-") for d in m.distributions()}),
    [e.name for e in m.entry_points(group="tempest.test_plugins")],
]))
"""


SCRIPTS = """
import importlib.metadata as m, json
print(json.dumps([e.name for d in m.distributions() for e in d.entry_points if e.group == "console_scripts"]))
"""


AS_STESTR = """
import json, sys
from stestr.subunit_runner.run import program
class Runner:
    def __init__(self, **options): pass
    def list(self, test, **_): pass
    def run(self, test):
        def ids(one):
            return [name for each in one for name in ids(each)] if hasattr(one, "__iter__") else [one.id()]
        modules = [name for name in sys.modules if ".test_" in name and "tempest" in name.partition(".")[0]]
        print(json.dumps([ids(test), len(modules)]))
        sys.exit()
program.TestProgram(module=None, argv=sys.argv, testRunner=Runner)
"""


def ordinary(lock: Path, folder: Path) -> Path:
    """Make an ordinary virtualenv of a lock's wheels with pip."""
    subprocess.run([sys.executable, "-m", "virtualenv", "-q", "-p", "python3.11", folder], check=True)
    wheels = [lock.parent / wheel.path for wheel in read_lock(lock).wheels]
    pip = [folder / "bin/python", "-m", "pip", "install", "-q", "--no-index", "--no-deps", *wheels]
    subprocess.run(pip, check=True)
    return folder


@pytest.mark.parametrize("version", [version for version in RELEASES if version != "24.0.0"])
def test_as_many_tests_as_an_ordinary_virtualenv(build_settings, tmp_path, version):
    settings, offer = build_settings(version)
    with Environment(offer, settings, tmp_path / "ours") as built:
        ours = list_tests(built.path, "ours")
    theirs = list_tests(ordinary(offer.lock.path, tmp_path / "ordinary"), "ordinary")
    assert sorted(ours) == sorted(theirs)
    assert len(ours) == offer.lock.compatibility.tests > 1000


def test_every_distribution_is_seen(build_settings, tmp_path):
    settings, offer = build_settings("47.0.0")
    names = {wheel.name for wheel in offer.lock.wheels}
    with Environment(offer, settings, tmp_path / "env") as built:
        seen = subprocess.run([built.python, "-I", "-c", LOOK], capture_output=True, text=True, check=True).stdout
        assert set(json.loads(seen)[0]) == names
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "--python", built.python, "list", "--format", "json"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert {row["name"].lower().replace("_", "-").replace(".", "-") for row in json.loads(listed.stdout)} == names
        check = subprocess.run([sys.executable, "-m", "pip", "--python", built.python, "check"], capture_output=True)
        assert check.returncode == 0, check.stdout


def test_every_console_script_starts(build_settings, tmp_path):
    settings, offer = build_settings("47.0.0")
    with Environment(offer, settings, tmp_path / "env") as built:
        words = [built.python, "-I", "-c", SCRIPTS]
        names = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        assert len(names) > 20 and not [name for name in names if not os.access(built.bin / name, os.X_OK)]
        for name in ("tempest", "stestr", "subunit-describe-calls", "oslo-config-generator"):
            done = subprocess.run([built.bin / name, "--help"], capture_output=True, text=True)
            assert done.returncode == 0, (name, done.stderr)


def test_a_plugin_comes_on_top(build_settings, tmp_path):
    settings, offer = build_settings("47.0.0", plugins=("keystone-tempest-plugin==0.22.0",))
    with Environment(offer, settings, tmp_path / "env") as built:
        seen = subprocess.run([built.python, "-I", "-c", LOOK], capture_output=True, text=True, check=True).stdout
        assert json.loads(seen)[1] == ["keystone_tests"]
        assert built.tests > 3000


def test_a_process_imports_the_modules_of_its_tests_alone(build_settings, tmp_path):
    """And has the same tests in the same order as with Tempest's own loader."""
    settings, offer = build_settings("47.0.0", plugins=("keystone-tempest-plugin==0.22.0",))
    workspace = Workspace(tmp_path / "work")
    workspace.create()
    with Environment(offer, settings, tmp_path / "env") as built:
        listed = list_tests(built.path, "it")
        tempest = Tempest.find(built.path)
        assert tempest.load_list and tempest.reads_conf_late
        write_stestr_conf(tempest, workspace)
        given = tmp_path / "given.txt"

        def loaded(top: str | Path, folder: str | Path) -> tuple[list[str], int]:
            words = [built.python, "-c", AS_STESTR, "discover", "-t", top, folder, "--load-list", given]
            environment = workspace.environment(tempest)
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
            tests, modules = json.loads(done.stdout.splitlines()[-1])  # before it are lines of Tempest's log
            return tests, modules

        for part in ("object_storage", "keystone_tempest_plugin.tests.rbac.v3.test_user", "tempest"):
            chosen = [name for name in listed if part in name]
            given.write_text("".join(f"{name}\n" for name in reversed(chosen)))
            ours, few = loaded(workspace.test_path, workspace.test_path)
            theirs, all_there_are = loaded(tempest.package, f"{tempest.package}/test_discover")
            assert ours == theirs and sorted(ours) == sorted(chosen) != []
            assert few < all_there_are / 3 or part == "tempest"


def test_stestr_itself_reads_the_durations(build_settings, tmp_path):
    settings, offer = build_settings("47.0.0")
    give_durations(tmp_path, {"a.B.test_c": 1.5}, ["a.B.test_c[id-1,smoke]"])
    times = "file.RepositoryFactory().open('.').get_test_times(['a.B.test_c[x]'])"
    code = f"from stestr.repository import file; print({times})"
    with Environment(offer, settings, tmp_path / "env") as built:
        done = subprocess.run([built.python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "'known': {'a.B.test_c[x]': 1.5}" in done.stdout


def test_two_versions_at_once(build_settings, tmp_path):
    pairs = [build_settings("47.0.0"), build_settings("43.0.0")]

    def run(number: int) -> tuple[str, int]:
        settings, offer = pairs[number]
        with Environment(offer, settings, tmp_path / str(number)) as built:
            said = subprocess.run([built.bin / "tempest", "--version"], capture_output=True, text=True, check=True)
            return said.stdout, len(list_tests(built.path, "it"))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, [0, 1])) == [("tempest 47.0.0\n", 1575), ("tempest 43.0.0\n", 1542)]


def test_running_leaves_the_store_as_it_was(build_settings, tmp_path):
    """Even as root, whom no mode keeps from writing byte-code."""
    settings, offer = build_settings("47.0.0", store=tmp_path / "store")
    with Environment(offer, settings, tmp_path / "env") as built:
        list_tests(built.path, "it")
    assert Store(settings.store).verify() == []
