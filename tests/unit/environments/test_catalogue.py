"""What a node can build, and clear words about what it cannot."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace

import pytest

from refstack_worker.environments import interpreters
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.interpreters import needed
from refstack_worker.errors import VersionUnavailableError
from tests.support.wheel_files import make_version

SERIES = "{}.{}".format(*sys.version_info)


def releases(*names: str) -> str:
    return f"openstack-releases = {list(names)}"


@pytest.fixture
def catalogue(settings):
    return Catalogue(settings)


def test_an_offer_says_it_all(catalogue, locks):
    (offer,) = catalogue.offers()
    assert (offer.version, offer.problem, offer.warm, offer.tests) == ("47.0.0", "", False, 0)
    assert offer.source == str(locks / "47.0.0")
    assert offer.interpreter.series == SERIES


def test_nothing_is_read_again_until_something_changes(catalogue, locks, monkeypatch):
    catalogue.offers()
    monkeypatch.setattr(interpreters, "find", lambda *_: pytest.fail("worked it out again"))
    catalogue.offers()
    monkeypatch.undo()
    make_version(locks, "46.3.0")
    assert [offer.version for offer in catalogue.offers()] == ["46.3.0", "47.0.0"]


def test_a_package_that_comes_and_goes(catalogue, locks):
    catalogue.offers()
    make_version(locks, "43.0.0")
    assert len(catalogue.offers()) == 2
    shutil.rmtree(locks / "47.0.0")
    assert [offer.version for offer in catalogue.offers()] == ["43.0.0"]


def test_versions_are_ordered_as_versions(catalogue, locks):
    make_version(locks, "9.0.0")
    make_version(locks, "100.0.0")
    assert [offer.version for offer in catalogue.offers()] == ["9.0.0", "47.0.0", "100.0.0"]


def test_by_release_the_newest_that_supports_it(catalogue, locks):
    make_version(locks, "43.0.0", refstack=releases("2025.1", "2024.2"))
    make_version(locks, "44.0.0", refstack=releases("2025.1"))
    make_version(locks, "45.0.0", refstack=releases("2025.2"))
    assert catalogue.find(Want(release="2025.1")).version == "44.0.0"
    assert catalogue.find(Want(release="2024.2")).version == "43.0.0"
    with pytest.raises(VersionUnavailableError, match=r"OpenStack 2031.1.*43.0.0, 44.0.0"):
        catalogue.find(Want(release="2031.1"))


def test_by_release_one_that_cannot_be_built_is_passed_over(catalogue, locks):
    make_version(locks, "43.0.0", refstack=releases("2025.1"))
    make_version(locks, "44.0.0", refstack=releases("2025.1"), requires_python="==3.7.*")
    assert catalogue.find(Want(release="2025.1")).version == "43.0.0"


def test_versions_of_plugins_are_exact(catalogue, locks):
    make_version(locks, "43.0.0", refstack='plugins = { "keystone-tempest-plugin" = "0.22.0" }', name="pylock.p.toml")
    make_version(locks, "43.0.0")
    want = Want(version="43.0.0", plugins={"Keystone_Tempest_Plugin": "0.22.0"})
    assert catalogue.find(want).plugins == (("keystone-tempest-plugin", "0.22.0"),)
    assert catalogue.find(Want(version="43.0.0")).plugins == ()
    with pytest.raises(VersionUnavailableError, match="keystone-tempest-plugin 0.23.0"):
        catalogue.find(replace(want, plugins={"keystone-tempest-plugin": "0.23.0"}))


def test_python_tempestconf_beside_tempest_serves_every_run(catalogue, locks):
    plugins = 'plugins = { "python-tempestconf" = "3.5.4" }'
    make_version(locks, "43.0.0", refstack=plugins, name="pylock.t.toml")
    assert catalogue.find(Want(version="43.0.0", tempestconf=True)).version == "43.0.0"
    assert catalogue.find(Want(version="43.0.0")).plugins == (("python-tempestconf", "3.5.4"),)
    make_version(locks, "43.0.0")
    assert catalogue.find(Want(version="43.0.0")).plugins == ()
    assert catalogue.find(Want(version="43.0.0", tempestconf=True)).plugins != ()
    with pytest.raises(VersionUnavailableError, match="Tempest 47.0.0 with python-tempestconf beside it"):
        catalogue.find(Want(version="47.0.0", tempestconf=True))


def test_a_lock_with_more_plugins_serves_and_the_smallest_is_taken(catalogue, locks):
    sets = {"a": ("heat",), "b": ("heat", "manila"), "c": ("heat", "keystone", "manila")}
    for name, words in sets.items():
        plugins = ", ".join(f'"{word}-tempest-plugin" = "1.0"' for word in words)
        make_version(locks, "43.0.0", refstack=f"plugins = {{ {plugins} }}", name=f"pylock.{name}.toml")

    def found(*words: str) -> list[str]:
        wanted = {f"{word}-tempest-plugin": "1.0" for word in words}
        return [name for name, _ in catalogue.find(Want(version="43.0.0", plugins=wanted)).plugins]

    assert found("heat") == ["heat-tempest-plugin"]
    assert found("manila") == ["heat-tempest-plugin", "manila-tempest-plugin"]
    assert len(found("keystone")) == 3
    with pytest.raises(VersionUnavailableError, match="install refstack-tempest-43.0.0-octavia"):
        found("octavia")
    with pytest.raises(VersionUnavailableError, match=r"43\.0\.0: this node has no lock for it"):
        catalogue.find(Want(version="43.0.0"))


def test_by_release_a_released_version_comes_before_that_of_a_commit(catalogue, locks):
    make_version(locks, "46.0.0", refstack='openstack-releases = ["2026.1"]')
    make_version(locks, "46.0.1.dev3+g1a2b3c4", refstack='openstack-releases = ["2026.1", "2026.2"]')
    assert catalogue.find(Want(release="2026.1")).version == "46.0.0"
    assert catalogue.find(Want(release="2026.2")).version == "46.0.1.dev3+g1a2b3c4"
    assert catalogue.find(Want(version="46.0.1.dev3+g1a2b3c4")).version == "46.0.1.dev3+g1a2b3c4"


def test_wrong_python_is_said_plainly(catalogue, locks):
    make_version(locks, "24.0.0", requires_python="==3.8.*")
    with pytest.raises(VersionUnavailableError, match=rf"24.0.0.*needs Python 3.8; this node has {SERIES}"):
        catalogue.find(Want(version="24.0.0"))


def test_two_locks_for_two_pythons(catalogue, locks):
    make_version(locks, "33.0.0", requires_python="==3.7.*", name="pylock.py37.toml")
    make_version(locks, "33.0.0", requires_python=f"=={SERIES}.*", name="pylock.this.toml")
    offers = [offer for offer in catalogue.offers() if offer.version == "33.0.0"]
    assert [(offer.problem, offer.lock.path.name) for offer in offers] == [("", "pylock.this.toml")]


def test_wrong_machine(catalogue, locks):
    path = make_version(locks, "24.0.0")
    path.write_text(path.read_text().replace("platform_machine == '", "platform_machine == 'not-"))
    with pytest.raises(VersionUnavailableError, match="is locked for platform_machine == 'not-"):
        catalogue.find(Want(version="24.0.0"))


def test_a_broken_lock_is_an_offer_with_a_problem(catalogue, locks):
    (locks / "bad").mkdir()
    (locks / "bad" / "pylock.toml").write_text("lock-version = ")
    offers = {offer.version: offer.problem for offer in catalogue.offers()}
    assert offers["47.0.0"] == ""
    assert "bad/pylock.toml" in offers["bad"]


def test_a_wheel_that_is_nowhere(catalogue, locks):
    next((locks / "47.0.0/wheels").glob("shared_one*")).unlink()
    with pytest.raises(VersionUnavailableError, match="shared_one-1.0-py3-none-any.whl is missing"):
        catalogue.find(Want(version="47.0.0"))


def test_a_version_that_nobody_knows(catalogue):
    with pytest.raises(VersionUnavailableError, match=r"install refstack-tempest-12.0.0.*") as refused:
        catalogue.find(Want(version="12.0.0"))
    assert "known: 47.0.0" in str(refused.value)


def test_no_locks_at_all(settings, tmp_path):
    catalogue = Catalogue(replace(settings, lock_folders=(tmp_path / "nothing",)))
    assert catalogue.offers() == []
    with pytest.raises(VersionUnavailableError, match="known: none"):
        catalogue.find(Want(version="47.0.0"))


def test_a_wheelhouse_folder_serves_as_a_lock_folder(settings, locks, tmp_path):
    catalogue = Catalogue(replace(settings, lock_folders=(), wheelhouses=(str(locks),)))
    assert catalogue.find(Want(version="47.0.0")).source == str(locks / "47.0.0")


@pytest.mark.parametrize(
    ("specifier", "says"),
    [("==3.8.*", "3.8"), ("<3.11", "< 3.11"), (">=3.6,<3.9", "< 3.9, >= 3.6"), ("==3.8", "== 3.8")],
)
def test_ranges_as_people_say_them(specifier, says):
    assert needed(specifier) == says
