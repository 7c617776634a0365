"""A wheelhouse on the web: what it offers, and what a node does when it is away."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from refstack_worker.builder.repository import wheelhouse
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.store.verify import Store
from refstack_worker.environments.wheels import download
from refstack_worker.environments.wheels.remote_wheelhouse import LIST, entries_of
from refstack_worker.errors import BuildError, VersionUnavailableError, WheelError
from tests.support.wheel_files import make_version
from tests.support.wheel_sites import serving


@pytest.fixture
def house(tmp_path, locks):
    wheelhouse.publish(tmp_path / "house", [locks / "47.0.0"])
    return tmp_path / "house"


@pytest.fixture
def site(house):
    with serving(house) as server:
        yield server


@pytest.fixture
def remote(settings, site):
    """Settings of a node that has nothing but the site."""
    return replace(settings, lock_folders=(), wheelhouses=(site.url,))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(download, "PAUSES", (0.0,))


def test_an_environment_from_a_site(remote, site, tmp_path):
    offer = Catalogue(remote).find(Want(version="47.0.0"))
    assert (offer.source, offer.warm) == (site.url, False)
    with Environment(offer, remote, tmp_path / "env") as built:
        assert built.tests == 3
    assert Catalogue(remote).find(Want(version="47.0.0")).warm


def test_a_site_that_is_away_stays_known(remote, site, tmp_path):
    with Environment(Catalogue(remote).find(Want(version="47.0.0")), remote, tmp_path / "env"):
        pass
    site.faults[LIST] = "error"
    catalogue = Catalogue(remote)
    catalogue.refresh()
    assert "500" in catalogue.sites[0].problem
    with Environment(catalogue.find(Want(version="47.0.0")), remote, tmp_path / "env") as built:
        assert built.tests == 3


def test_a_site_that_was_never_seen(remote, site):
    site.faults[LIST] = "error"
    with pytest.raises(VersionUnavailableError, match="500"):
        Catalogue(remote).find(Want(version="47.0.0"))


def test_not_a_wheelhouse(remote, site):
    site.faults[LIST] = "absent"
    with pytest.raises(VersionUnavailableError, match="is this the address of a wheelhouse"):
        Catalogue(remote).find(Want(version="47.0.0"))


def test_a_version_published_later_shows(remote, house, locks):
    catalogue = Catalogue(remote)
    assert [offer.version for offer in catalogue.offers()] == ["47.0.0"]
    make_version(locks, "43.0.0")
    wheelhouse.publish(house, [locks / "43.0.0"])
    catalogue.refresh()
    assert [offer.version for offer in catalogue.offers()] == ["43.0.0", "47.0.0"]
    wheelhouse.publish(house, [], ["47.0.0"])
    catalogue.refresh()
    assert [offer.version for offer in catalogue.offers()] == ["43.0.0"]
    assert not (house / "47.0.0").exists()


@pytest.mark.parametrize("fault", ["flip", "dies", "longer"])
def test_a_bad_wheel_from_a_site_is_refused_and_the_store_stays_clean(remote, site, tmp_path, fault):
    offer = Catalogue(remote).find(Want(version="47.0.0"))
    site.faults["shared_one-1.0-py3-none-any.whl"] = fault
    with pytest.raises(WheelError, match="shared_one-1.0-py3-none-any.whl"):
        Environment(offer, remote, tmp_path / "env").__enter__()
    store = Store(remote.store)
    assert store.names() == set()
    left = [path for folder in (store.work, store.incoming, store.locks) for path in folder.iterdir()]
    assert left == []
    assert not (tmp_path / "env").exists()


def test_a_second_source_helps_out(remote, site, locks, tmp_path):
    both = replace(remote, wheelhouses=(site.url, str(locks)))
    site.faults["shared_one-1.0-py3-none-any.whl"] = "flip"
    with Environment(Catalogue(both).find(Want(version="47.0.0")), both, tmp_path / "env") as built:
        assert built.tests == 3


def test_an_index_only_where_it_is_configured(settings, locks, tmp_path):
    wheels = {path.name: path for path in (locks / "47.0.0/wheels").iterdir()}
    for name, path in wheels.items():
        page = tmp_path / "index" / name.split("-")[0].replace("_", "-")
        page.mkdir(parents=True)
        path.rename(page / name)
        (page / "index.html").write_text(f'<html><a href="{name}#sha256=0">{name}</a></html>')
    with pytest.raises(VersionUnavailableError, match="is missing on this node"):
        Catalogue(settings).find(Want(version="47.0.0"))
    with serving(tmp_path / "index") as index:
        indexed = replace(settings, index=index.url)
        with Environment(Catalogue(indexed).find(Want(version="47.0.0")), indexed, tmp_path / "env") as built:
            assert built.tests == 3


def test_a_lock_that_was_changed_on_the_way(remote, house, site):
    lock = next(house.glob("47.0.0/pylock*"))
    lock.write_text(lock.read_text() + "# changed\n")
    with pytest.raises(VersionUnavailableError, match="differs from what"):
        Catalogue(remote).find(Want(version="47.0.0"))


def test_publishing_twice_changes_nothing(house, locks):
    before = {path: path.read_bytes() for path in house.rglob("*") if path.is_file()}
    found = wheelhouse.publish(house, [locks / "47.0.0"])
    assert [(one.path, one.wheels) for one in found] == [("47.0.0/pylock.test.toml", 3)]
    assert {path: path.read_bytes() for path in house.rglob("*") if path.is_file()} == before


def test_a_bad_wheel_is_not_published(tmp_path, locks):
    wheel = next((locks / "47.0.0/wheels").glob("tempest*"))
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    with pytest.raises(WheelError, match=wheel.name):
        wheelhouse.publish(tmp_path / "house", [locks / "47.0.0"])
    assert not (tmp_path / "house" / LIST).exists()
    assert list((tmp_path / "house").rglob("*.whl")) == []


def test_publishing_nothing(tmp_path):
    with pytest.raises(BuildError, match="holds no pylock"):
        wheelhouse.publish(tmp_path / "house", [tmp_path])


def test_withdrawing_what_is_not_there(house):
    with pytest.raises(BuildError, match="no version '1.0'"):
        wheelhouse.publish(house, [], ["1.0"])


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "../x/pylock.toml", "sha256": "0" * 64},
        {"path": "/etc/pylock.toml", "sha256": "0" * 64},
        {"path": "47.0.0/../../pylock.toml", "sha256": "0" * 64},
        {"path": "47.0.0/passwd", "sha256": "0" * 64},
        {"path": "47.0.0/pylock.toml", "sha256": "none"},
        {"path": "47.0.0/pylock.toml"},
        "47.0.0/pylock.toml",
    ],
)
def test_a_list_that_means_harm(entry):
    with pytest.raises(WheelError, match="is not a list of locks"):
        entries_of(json.dumps({"format": 1, "locks": [entry]}).encode(), "here")


def test_a_list_of_another_time():
    with pytest.raises(WheelError, match="upgrade"):
        entries_of(b'{"format": 2, "locks": []}', "here")
