"""An environment has everything, works, and is gone afterwards."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.environments import test_listing
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.store import leases
from refstack_worker.environments.store.gc import usage
from refstack_worker.environments.store.verify import Damage, Store
from refstack_worker.errors import EnvironmentBuildError, LockError, VersionUnavailableError
from tests.support.wheel_files import add_member, make_lock, make_tempest, make_version, make_wheel

LOOK = """
import importlib.metadata as m, shared.one, shared.two, six, seven, sys
print(sorted(d.metadata["Name"] for d in m.distributions()))
print([e.value for e in m.distribution("tempest").entry_points])
print(sys.prefix)
"""


@pytest.fixture
def offer(settings):
    return Catalogue(settings).find(Want(version="47.0.0"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "1" / "env"


def output(*words) -> str:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True, cwd="/").stdout


def test_everything_is_there_and_works(offer, settings, folder):
    with Environment(offer, settings, folder) as built:
        assert (built.path, built.tempest_version, built.tests) == (folder, "47.0.0", 3)
        assert output(built.bin / "tempest", "--version") == "tempest 47.0.0\n"
        names, points, prefix = output(built.python, "-c", LOOK).splitlines()
        assert names == "['shared_one', 'shared_two', 'tempest']"
        assert points == "['tempest.main:main']"
        assert prefix == str(folder)
    assert not folder.exists()
    assert leases.live(Store(settings.store)) == []


@pytest.mark.parametrize("files", [{}, {"stubs/__init__.pyi": "A: int\n"}], ids=["metadata alone", "stubs"])
def test_the_one_wheel_that_is_missing_has_no_python_file(files, offer, settings, locks, folder):
    with Environment(offer, settings, folder):
        pass
    wheels = [*(locks / "47.0.0" / "wheels").iterdir(), make_wheel(locks / "47.0.0/wheels", "meta", "1.0", files)]
    make_lock(locks / "47.0.0", "47.0.0", wheels)
    with Environment(Catalogue(settings).find(Want(version="47.0.0")), settings, folder) as built:
        assert output(built.python, "-c", "import importlib.metadata as m; print(m.version('meta'))") == "1.0\n"


SCRIPT = """#!python -E
# -*- coding: latin-1 -*-
'The script.'
from __future__ import annotations
import sys
print(__doc__, sys.argv[1:], ascii("\xe4"), sys.prefix)
"""


def test_scripts_run_as_pip_installs_them(settings, locks, folder):
    wheel = make_tempest(locks / "44.0.0/wheels", "44.0.0")
    scripted = make_wheel(locks / "44.0.0/wheels", "scripted", "1.0", {})
    add_member(scripted, "scripted-1.0.data/scripts/scripted.py", SCRIPT.encode("latin-1"), stat.S_IFREG | 0o755)
    make_lock(locks / "44.0.0", "44.0.0", [wheel, scripted])
    with Environment(Catalogue(settings).find(Want(version="44.0.0")), settings, folder) as built:
        expected = f"The script. ['a b'] '\\xe4' {folder}\n"
        assert output(built.bin / "scripted.py", "a b") == expected
        (folder / "link").symlink_to(built.bin / "scripted.py")
        assert output(folder / "link", "a b") == expected


def test_the_names_of_the_tests_are_known(offer, settings, folder):
    for _ in range(2):  # when it is proved, and later
        with Environment(offer, settings, folder) as built:
            assert len(built.names_file.read_text().splitlines()) == built.tests == 3


def test_the_names_of_a_lock_with_plugins_are_not_relied_on(offer, settings, folder):
    with Environment(offer, settings, folder):
        plugin = replace(offer.lock.compatibility, plugins=(("some-plugin", "1.0.0"),))
        lock = replace(offer.lock, compatibility=plugin)
        assert test_listing.names_file(Store(settings.store), offer.lock, offer.interpreter)
        assert test_listing.names_file(Store(settings.store), lock, offer.interpreter) is None


def test_nothing_is_compiled_into_the_store_when_it_runs(offer, settings, folder):
    with Environment(offer, settings, folder) as built:
        output(built.python, "-c", LOOK)
        output(built.bin / "tempest", "--version")
    assert Store(settings.store).verify() == []


def test_others_may_read_it_whatever_the_umask(offer, settings, folder):
    before = os.umask(0o077)
    try:
        with Environment(offer, settings, folder):
            pass
        with Environment(offer, settings, folder):
            for parent, folders, files in os.walk(folder):
                for name in [*folders, *files]:
                    mode = os.stat(os.path.join(parent, name)).st_mode
                    assert mode & 0o044 == 0o044, name
                    assert not stat.S_ISDIR(mode) or mode & 0o055 == 0o055, name
    finally:
        os.umask(before)


def test_two_versions_at_once(offer, settings, locks, tmp_path):
    make_version(locks, "43.0.0", tests=5)
    older = Catalogue(settings).find(Want(version="43.0.0"))
    with Environment(offer, settings, tmp_path / "a") as a, Environment(older, settings, tmp_path / "b") as b:
        assert output(a.bin / "tempest", "--version") == "tempest 47.0.0\n"
        assert output(b.bin / "tempest", "--version") == "tempest 43.0.0\n"
        assert (a.tests, b.tests) == (3, 5)


def test_proved_once(offer, settings, folder, monkeypatch):
    with Environment(offer, settings, folder):
        pass
    monkeypatch.setattr(test_listing, "list_tests", lambda *_: pytest.fail("listed again"))
    with Environment(offer, settings, folder) as built:
        assert built.tests == 3
    assert Catalogue(settings).find(Want(version="47.0.0")).tests == 3


def test_what_lists_no_tests_is_refused_for_good(settings, locks, folder):
    make_version(locks, "24.0.0", tests=0)
    catalogue = Catalogue(settings)
    with pytest.raises(LockError, match=r"Tempest 24.0.0 on .* lists 0 tests"):
        with Environment(catalogue.find(Want(version="24.0.0")), settings, folder):
            pytest.fail("it was accepted")
    assert not folder.exists()
    with pytest.raises(VersionUnavailableError, match="lists 0 tests"):
        catalogue.find(Want(version="24.0.0"))


def test_a_failed_one_can_be_kept(settings, locks, folder):
    make_version(locks, "24.0.0", tests=0)
    keep = replace(settings, keep_failed=True)
    with pytest.raises(LockError):
        Environment(Catalogue(keep).find(Want(version="24.0.0")), keep, folder).__enter__()
    assert (folder / "bin/tempest").exists()
    assert [lease.folder for lease in leases.live(Store(settings.store))] == [folder]


def test_an_error_in_the_run_removes_it_too(offer, settings, folder):
    with pytest.raises(RuntimeError), Environment(offer, settings, folder):
        raise RuntimeError
    assert not folder.exists()


def test_a_run_may_leave_anything(offer, settings, folder):
    with Environment(offer, settings, folder) as built:
        locked_up = built.path / "locked" / "deep"
        locked_up.mkdir(parents=True)
        (locked_up / "file").write_text("")
        (built.path / "link").symlink_to(settings.store)
        locked_up.chmod(0o500)
        (built.path / "locked").chmod(0o500)
    assert not folder.exists()
    assert Store(settings.store).verify() == []


def test_a_folder_that_exists_is_left_alone(offer, settings, folder):
    folder.mkdir(parents=True)
    (folder / "precious").write_text("")
    with pytest.raises(EnvironmentBuildError, match="already exists"):
        Environment(offer, settings, folder).__enter__()
    assert (folder / "precious").exists()


def test_gc_spares_what_an_environment_uses(offer, settings, folder):
    store = Store(settings.store)
    with Environment(offer, settings, folder) as built:
        assert store.gc(0, ()).removed == ()
        assert output(built.bin / "tempest", "--version")
    assert len(store.gc(0, ()).removed) == 3
    assert store.names() == set()


def test_gc_spares_what_a_lock_names(offer, settings, folder):
    store = Store(settings.store)
    with Environment(offer, settings, folder):
        pass
    tempest = {wheel.sha256 for wheel in offer.lock.wheels if wheel.name == "tempest"}
    store.gc(0, tempest)
    assert {name.partition(".")[0] for name in store.names()} == tempest


def test_usage_outlives_a_clean_up_that_takes_entries_meanwhile(offer, settings, folder, monkeypatch):
    with Environment(offer, settings, folder):
        store = Store(settings.store)
        names = store.names()
    monkeypatch.setattr(store, "names", lambda: names | {"taken.cpython-311-x86_64.1"})
    assert {use.name for use in usage(store)} == names != set()


def test_gc_takes_the_longest_unused_first_and_stops_at_the_limit(settings, locks, folder):
    store = Store(settings.store)
    make_version(locks, "43.0.0", tests=5)
    catalogue = Catalogue(settings)
    for version in ("43.0.0", "47.0.0"):
        with Environment(catalogue.find(Want(version=version)), settings, folder):
            pass
    for plan in store.plans.glob("*/plan.json"):  # both long ago, so that the order is ours
        os.utime(plan, (1, 1))
    for age, name in enumerate(sorted(store.names(), reverse=True)):
        os.utime(store.entries / name, (100 + age, 100 + age))
    uses = usage(store)
    oldest = min(uses, key=lambda use: use.used)
    done = store.gc(sum(use.size for use in uses) - 1, ())
    assert done.removed == (oldest.name,)
    assert done.freed == oldest.size


def test_a_removed_entry_is_made_again(offer, settings, folder):
    store = Store(settings.store)
    with Environment(offer, settings, folder):
        pass
    store.remove(Damage(store.entries / next(iter(store.names())), "", ""))
    with Environment(offer, settings, folder) as built:
        assert output(built.python, "-c", LOOK)


def test_raw_scripts_get_the_environment_interpreter(settings, locks, folder):
    from tests.support.wheel_files import make_lock, make_tempest, make_wheel

    version = locks / "48.0.0"
    files = {"raw-1.0.data/scripts/raw": "#!python\nimport sys; print(sys.prefix)\n", "raw.py": ""}
    wheels = [make_tempest(version / "wheels", "48.0.0"), make_wheel(version / "wheels", "raw", "1.0", files)]
    make_lock(version, "48.0.0", wheels)
    with Environment(Catalogue(settings).find(Want(version="48.0.0")), settings, folder) as built:
        assert output(built.bin / "raw") == f"{folder}\n"


def test_scripts_work_where_the_path_is_long_or_has_blanks(offer, settings, tmp_path):
    for folder in (tmp_path / "with a blank" / "env", tmp_path / ("x" * 150) / "env"):
        with Environment(offer, settings, folder) as built:
            assert output(built.bin / "tempest", "--version") == "tempest 47.0.0\n"


def test_a_damaged_plan_is_made_anew(offer, settings, folder):
    store = Store(settings.store)
    with Environment(offer, settings, folder):
        pass
    (plan,) = store.plans.iterdir()
    (plan / "plan.json").unlink()
    with Environment(offer, settings, folder) as built:
        assert output(built.bin / "tempest", "--version") == "tempest 47.0.0\n"


def test_a_plan_with_a_wrong_link_is_found(offer, settings, folder):
    store = Store(settings.store)
    with Environment(offer, settings, folder):
        pass
    link = next(store.plans.glob("*/links/*"))
    link.unlink()
    link.symlink_to("/etc")
    (damage,) = store.verify()
    assert link.name in damage.problem
    store.remove(damage)
    with Environment(offer, settings, folder) as built:
        assert output(built.bin / "tempest", "--version") == "tempest 47.0.0\n"
    assert store.verify() == []


def test_on_another_file_system(offer, settings, tmp_path):
    elsewhere = Path("/dev/shm")
    if not os.access(elsewhere, os.W_OK) or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system")
    with tempfile.TemporaryDirectory(dir=elsewhere) as folder:
        with Environment(offer, settings, Path(folder) / "env") as built:
            assert output(built.bin / "tempest", "--version") == "tempest 47.0.0\n"
            assert output(built.python, "-c", LOOK)
        assert os.listdir(folder) == []


def test_a_script_works_through_a_link(offer, settings, folder, tmp_path):
    with Environment(offer, settings, folder) as built:
        (tmp_path / "tempest").symlink_to(built.bin / "tempest")
        assert output(tmp_path / "tempest", "--version") == "tempest 47.0.0\n"


@pytest.mark.parametrize("kind", ["plans/*/scripts/*", "skeletons/*/tree/pyvenv.cfg"])
def test_a_changed_file_that_environments_share_is_found(offer, settings, folder, kind):
    store = Store(settings.store)
    with Environment(offer, settings, folder):
        pass
    shared = next(store.root.glob(kind))
    shared.chmod(0o644)
    shared.write_text("changed")
    (damage,) = store.verify()
    assert "was changed" in damage.problem
    store.remove(damage)
    with Environment(offer, settings, folder) as built:
        assert output(built.bin / "tempest", "--version") == "tempest 47.0.0\n"
    assert store.verify() == []


def test_only_what_names_its_folder_is_its_own(offer, settings, folder):
    with Environment(offer, settings, folder):
        own = [p for p in folder.rglob("*") if not p.is_dir() and p.lstat().st_nlink == 1 and not p.is_symlink()]
        assert own
        assert [path.name for path in own if str(folder).encode() not in path.read_bytes()] == []
