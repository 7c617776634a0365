"""Tests are listed without ``tempest init`` where its source shows what it would write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments import test_listing
from refstack_worker.environments.catalogue import Catalogue, Offer, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.store.verify import Store
from refstack_worker.errors import LockError, StoreError, VersionUnavailableError
from tests.support.wheel_files import make_lock, make_wheel

TEMPEST = """#!/bin/sh
package={package}
echo "$1 in $PWD" >> {calls}
if [ "$1" = init ]; then
    mkdir -p "$4/etc"
    exit
fi
cat .stestr/format > /dev/null || [ "${{PWD##*/}}" = ws ] || exit 1
case "$PWD" in */{lists}) echo "tempest.api.test_it.TestIt.test_one[id-1]" ;; esac
"""


def an_environment(folder: Path, **changes: str) -> tuple[Path, Path]:
    """Make a stand-in for an environment; return it and the file of the calls of its Tempest."""
    package = folder / "env/lib/python3.11/site-packages/tempest"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cmd").mkdir()
    usual = {"init": f"STESTR_CONF = {test_listing.STESTR_TEMPLATE!r}", "lists": "*", **changes}
    (package / "cmd/init.py").write_text(usual.pop("init"))
    script = folder / "env/bin/tempest"
    script.parent.mkdir()
    script.write_text(TEMPEST.format(package=package, calls=folder / "calls", **usual))
    script.chmod(0o755)
    return folder / "env", folder / "calls"


def listed_in(calls: Path) -> list[str]:
    """Return the names of the workspaces in which tests were listed."""
    lines = calls.read_text().splitlines()
    return sorted(line.rpartition("/")[2] for line in lines if line.startswith("run "))


def test_listed_once_where_the_workspace_is_as_expected(tmp_path: Path) -> None:
    environment, calls = an_environment(tmp_path)
    assert test_listing.list_tests(environment, "Tempest") == ["tempest.api.test_it.TestIt.test_one[id-1]"]
    assert listed_in(calls) == ["expected"]


@pytest.mark.parametrize(
    ("other", "workspaces"),
    [
        ({"init": "STESTR_CONF = '[DEFAULT]\\n'"}, ["ws"]),
        ({"init": "STESTR_CONF = template()"}, ["ws"]),
        ({"init": "print 'of Python 2'"}, ["ws"]),
        ({"init": ""}, ["ws"]),
        ({"lists": "ws"}, ["expected", "ws"]),
    ],
    ids=["other workspace", "made up", "unreadable", "not there", "listed nothing"],
)
def test_listed_in_tempests_own_workspace_where_anything_is_otherwise(
    tmp_path: Path, other: dict[str, str], workspaces: list[str]
) -> None:
    environment, calls = an_environment(tmp_path, **other)
    assert test_listing.list_tests(environment, "Tempest") == ["tempest.api.test_it.TestIt.test_one[id-1]"]
    assert listed_in(calls) == workspaces


def test_what_lists_nothing_in_either_is_refused(tmp_path: Path) -> None:
    environment, _ = an_environment(tmp_path, lists="nowhere")
    with pytest.raises(LockError, match="lists 0 tests"):
        test_listing.list_tests(environment, "Tempest")


POINTS = "[console_scripts]\ntempest = tempest.main:main\n"

LISTS_BY_A_SHELL = """
import os, subprocess, sys, tempfile
def main():
    if sys.argv[1] == "init":
        os.makedirs(os.path.join(sys.argv[-1], "etc"))
        return
    ids = tempfile.NamedTemporaryFile("w", suffix=".list")
    command = "%s -c 'import sys; print(\\"tempest.api.test_it.TestIt.test_\\" + str(len(sys.argv)))' %s"
    sys.exit(subprocess.call(command % (sys.executable, ids.name), shell=True))
"""
"""As stestr does: paths of interpreter and temporary files unquoted in a shell's command line."""

BREAKS = """
import sys
def main():
    sys.exit({text!r})
"""

ONE_HICCUP = """
import os, sys
def main():
    if sys.argv[1] != "init":
        print("tempest.api.test_it.TestIt.test_one")
        return
    os.makedirs(os.path.join(sys.argv[-1], "etc"))
    try:
        os.mkdir({once!r})
    except FileExistsError:
        return
    sys.exit("a hiccup")
"""


def a_version(settings: EnvironmentSettings, main: str) -> Offer:
    """Write a version whose Tempest does ``main``, and return this node's offer for it."""
    version = settings.lock_folders[0] / "44.0.0"
    wheel = make_wheel(version / "wheels", "tempest", "44.0.0", {"tempest/main.py": main}, entry_points=POINTS)
    make_lock(version, "44.0.0", [wheel])
    return Catalogue(settings).find(Want(version="44.0.0"))


@pytest.mark.parametrize("name", ["t m p", "$HOME", "it's", 'a"b', "a;b"])
def test_a_folder_whose_name_a_shell_reads_otherwise(
    name: str, settings: EnvironmentSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))
    offer = a_version(settings, LISTS_BY_A_SHELL)
    with Environment(offer, settings, tmp_path / name / "env") as built:
        assert built.tests == 1


@pytest.mark.parametrize("text", ["sh: 0: cannot fork: Resource temporarily unavailable", "MemoryError"])
def test_a_machine_that_lacks_something_is_no_refusal(text: str, settings: EnvironmentSettings, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Tempest 44\.0\.0 is not rejected for listing no tests"):
        Environment(a_version(settings, BREAKS.format(text=text)), settings, tmp_path / "env").__enter__()
    assert not Catalogue(settings).find(Want(version="44.0.0")).problem


def test_a_place_in_which_no_shell_starts_is_no_refusal(
    settings: EnvironmentSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_listing, "CONTROL", "import sys; sys.exit('sh: cannot be started')")
    with pytest.raises(StoreError, match=r"a shell cannot start its interpreter there: sh: cannot be started"):
        Environment(a_version(settings, BREAKS.format(text="broken")), settings, tmp_path / "env").__enter__()
    assert not Catalogue(settings).find(Want(version="44.0.0")).problem


def test_what_passes_is_no_refusal(settings: EnvironmentSettings, tmp_path: Path) -> None:
    offer = a_version(settings, ONE_HICCUP.format(once=str(tmp_path / "once")))
    with Environment(offer, settings, tmp_path / "env") as built:
        assert built.tests == 1
    assert (tmp_path / "once").exists()


def test_refusals_of_an_older_rule_are_not_believed(settings: EnvironmentSettings, tmp_path: Path) -> None:
    offer = a_version(settings, BREAKS.format(text="it is broken"))
    with pytest.raises(LockError, match="it is broken"):
        Environment(offer, settings, tmp_path / "env").__enter__()
    (proof,) = Store(settings.store).proofs.iterdir()
    with pytest.raises(VersionUnavailableError, match="it is broken"):
        Catalogue(settings).find(Want(version="44.0.0"))
    proof.write_text('{"refused": "/bin/sh: 1: /var/tmp/t: not found"}')
    assert not Catalogue(settings).find(Want(version="44.0.0")).problem


def test_two_processes_carry_a_proof_over_at_once(settings: EnvironmentSettings, tmp_path: Path) -> None:
    offer = a_version(settings, ONE_HICCUP.format(once=str(tmp_path / "once")))
    with Environment(offer, settings, tmp_path / "env"):
        pass
    store, lock, interpreter = Store(settings.store), offer.lock, offer.interpreter
    final = replace(lock, digest="f" * 64)
    with pytest.raises(FileNotFoundError):
        test_listing.carry_over(store, replace(lock, digest="e" * 64), final, interpreter)
    for _ in range(2):
        test_listing.carry_over(store, lock, final, interpreter)
    assert (test_listing.proved(store, lock, interpreter), test_listing.proved(store, final, interpreter)) == (0, 1)


LOSES_ITS_STORE = """
import os, sys
from pathlib import Path
def main():
    if sys.argv[1] == "init":
        os.makedirs(os.path.join(sys.argv[-1], "etc"))
    elif os.path.exists({trouble!r}):
        store = Path({store!r})
        try:
            {loss}
        except FileNotFoundError:
            pass
        sys.exit("no module named other")
    else:
        print("tempest.api.test_it.TestIt.test_one")
"""
LOSSES = {
    "the store": 'os.rename(store, f"{store}.away")',
    "an entry": 'for one in store.glob("entries/*/site/other.py"): os.rename(one.parents[1], store / "away")',
    "a file": 'for one in store.glob("entries/*/site/other.py"): os.chmod(one.parent, 0o755); os.unlink(one)',
    "the environment": 'os.rename(sys.prefix, f"{store}.gone")',
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_an_environment_that_lost_its_parts_meanwhile_is_no_refusal(
    loss: str, settings: EnvironmentSettings, locks: Path, tmp_path: Path
) -> None:
    trouble = tmp_path / "trouble"
    main = LOSES_ITS_STORE.format(trouble=str(trouble), store=str(settings.store), loss=loss)
    version = locks / "44.0.0"
    wheels = [
        make_wheel(version / "wheels", "tempest", "44.0.0", {"tempest/main.py": main}, entry_points=POINTS),
        make_wheel(version / "wheels", "other", "1.0", {"other.py": ""}),
    ]
    make_lock(version, "44.0.0", wheels)
    trouble.touch()
    offer = Catalogue(settings).find(Want(version="44.0.0"))
    with pytest.raises(StoreError, match=r"Tempest 44\.0\.0 is not rejected for listing no tests"):
        Environment(offer, settings, tmp_path / "env").__enter__()
    assert offer.lock is not None and offer.interpreter is not None
    assert not test_listing.refused(Store(settings.store), offer.lock, offer.interpreter)
    trouble.unlink()
    with Environment(Catalogue(settings).find(Want(version="44.0.0")), settings, tmp_path / "again") as built:
        assert built.tests == 1
