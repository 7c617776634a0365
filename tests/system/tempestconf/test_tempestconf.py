"""Runs through the queue for which python-tempestconf finds the options, on a whole cloud."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.census import added, census
from tests.support.standalone import TEMPEST, Standalone, standalone
from tests.system.execute_test.conftest import Options, cache_folder

from democloud.openstack.shape import Shape  # isort: skip - found by what is imported above
from democloud.openstack.whole import WholeCloud  # isort: skip

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the whole cloud needs root, for network namespaces")

TEMPESTCONF = "python-tempestconf==3.5.4"
TESTS = (
    "tempest.api.compute.flavors.test_flavors.FlavorsV2TestJSON.test_list_flavors",
    "tempest.api.compute.servers.test_servers.ServersTestJSON.test_create_server_with_admin_password",
    "tempest.api.volume.test_volumes_get.VolumesGetTest.test_volume_create_get_update_delete",
    "tempest.api.network.test_networks.NetworksTest.test_list_networks",
    "tempest.api.identity.v3.test_tokens.TokensV3Test.test_create_token",
)
"""All but the last need two accounts at a time."""


@dataclass
class Site:
    """A cloud with one ordinary user, and a queue whose node has python-tempestconf."""

    cloud: WholeCloud
    queue: Standalone

    def run(self, conf: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Run :data:`TESTS` to their end; returns the run with its messages."""
        file = self.queue.folder.parent / "conf.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(conf))
        words = ["run", "create", "--tempest-version", TEMPEST, "--discover", "tempestconf", "--concurrency", "1"]
        words += [word for test in TESTS for word in ("--testcases", test)]
        made = self.queue.command(*words, "--conf-json", f"@{file}", "-f", "json")
        assert made.status == 0, made.err
        number = str(made.json()["test_id"])
        watched = self.queue.command("run", "watch", number, "--lines")
        shown: dict[str, Any] = self.queue.command("run", "show", number, "-f", "json").json()
        assert shown["discover"] == "tempestconf"
        return {**shown, "watched": watched.out, "log": self.queue.logs()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("tempestconf")
    with (
        WholeCloud(base / "cloud", Options(cache_folder(), say=print), Shape(users=1)) as cloud,
        standalone(base, plugins=(TEMPESTCONF,)) as queue,
    ):
        yield Site(cloud, queue)


def test_an_administrator_is_enough_and_no_image_is_uploaded(site: Site) -> None:
    before = census(site.cloud)
    ran = site.run(site.cloud.vendor_conf())
    assert ran["state"] == "finished", ran["log"]
    assert (ran["counts"]["passed"], ran["counts"]["failed"]) == (len(TESTS), 0), ran["watched"]
    assert "python-tempestconf chooses the options of this cloud" in ran["watched"]
    assert added(before, census(site.cloud))["images"] == []


def test_an_ordinary_user_is_enough(site: Site) -> None:
    user = site.cloud.contents.users[0]
    identity = {"uri_v3": site.cloud.auth_url, "username": user.name, "password": user.password}
    ran = site.run({"identity": identity})
    assert ran["state"] == "finished", ran["log"]
    # its one account is not enough for tests that need two
    assert ran["counts"] == {"passed": 1, "failed": 0, "skipped": len(TESTS) - 1}, ran["watched"]


def test_its_own_error_is_told(site: Site) -> None:
    conf = site.cloud.vendor_conf()
    conf["volume"] = {"catalog_type": "no-such-service"}
    ran = site.run(conf)
    assert ran["state"] == "failed"
    assert "python-tempestconf ended with status 1: " in ran["message"] and "ERROR tempest" not in ran["message"]
