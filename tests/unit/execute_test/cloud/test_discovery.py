"""What is found out about a cloud from its Keystone and its catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from refstack_worker.execute_test.cloud.discovery import Discovery, discover
from refstack_worker.execute_test.cloud.keystone import Keystone
from tests.support.recorded_cloud import RecordedCloud, recorded_cloud


@pytest.fixture
def cloud() -> Iterator[RecordedCloud]:
    with recorded_cloud("admin") as running:
        yield running


def discovered(cloud: RecordedCloud, **given: dict[str, Any]) -> Discovery:
    conf = {**cloud.conf, **given}
    conf["identity"] = {**cloud.conf["identity"], **given.get("identity", {})}
    return discover(conf, Keystone(conf))


def test_a_service_in_a_region_of_its_own_is_there(cloud: RecordedCloud) -> None:
    for service in cloud.token["catalog"]:
        for endpoint in service["endpoints"] if service["type"] == "object-store" else ():
            endpoint.update(region="R2", region_id="R2")
    assert discovered(cloud).conf["service_available"]["swift"] is False
    for region in ({}, {"region": "RegionOne"}):
        found = discovered(cloud, identity=region, **{"object-storage": {"region": "R2"}})
        assert found.conf["service_available"]["swift"] is True and found.missing_services == ()
        assert found.conf["identity"]["region"] == "RegionOne"


@pytest.mark.parametrize(
    ("kind", "interface", "region", "given", "name"),
    [
        ("dns", "internal", "RegionOne", {"dns": {"endpoint_type": "internalURL"}}, "designate"),
        ("dns-ext", "public", "RegionOne", {"dns": {"catalog_type": "dns-ext"}}, "designate"),
        ("orchestration", "public", "R2", {"heat_plugin": {"region": "R2"}}, "heat"),
        ("orchestration", "internal", "RegionOne", {"heat_plugin": {"endpoint_type": "internal"}}, "heat"),
        ("files", "public", "RegionOne", {"share": {"catalog_type": "files"}}, "manila"),
        ("share", "admin", "R2", {"share": {"endpoint_type": "adminURL", "region": "R2"}}, "manila"),
    ],
)
def test_the_service_of_a_plugin_is_where_its_section_says(
    cloud: RecordedCloud, kind: str, interface: str, region: str, given: Any, name: str
) -> None:
    point = {"interface": interface, "region": region, "url": "http://127.0.0.1:9/v1"}
    cloud.token["catalog"].append({"type": kind, "endpoints": [point]})
    assert discovered(cloud).conf["service_available"][name] is False
    assert name not in discovered(cloud, **given).conf["service_available"]
