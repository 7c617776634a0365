"""What a check before a run tells, about a cloud that answers as a real one did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from refstack_worker.server.app import create_app
from refstack_worker.server.domain.guidelines import StoredGuideline
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.api_calls import Queue, token
from tests.support.ledgers import Clock, make_settings
from tests.support.recorded_cloud import RecordedCloud, recorded_cloud

PROGRAM = "OpenStack Powered Platform"
SERVER = "tempest.api.compute.servers.test_servers.ServersTestJSON.test_create_server_with_admin_password"
VOLUME = "tempest.api.volume.test_volumes_list.VolumesListTestJSON.test_volume_list"
OBJECT = "tempest.api.object_storage.test_account_services.AccountTest.test_list_containers"


@pytest.fixture
def cloud() -> Iterator[RecordedCloud]:
    with recorded_cloud("admin") as running:
        yield running


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    clock = Clock()
    ledger = Ledger(make_settings(tmp_path, CLOUD_NETWORKS="127.0.0.0/8"), clock)
    ledger.upgrade()
    ledger.nodes.record(Node("a.example", ("47.0.0",), 2, 0, (), "ready", "", clock(), clock()))
    ledger.guidelines.add(json.dumps(guideline()), StoredGuideline(0, "", ""))
    yield ledger
    ledger.close()


def guideline() -> dict[str, Any]:
    """One capability for each test."""
    tests = {"compute-servers-create": SERVER, "volumes-v3-list": VOLUME, "objectstore-account-list": OBJECT}
    capabilities = {
        name: {"name": name, "description": name, "status": "required", "tests": {test: {"idempotent_id": f"id-{n}"}}}
        for n, (name, test) in enumerate(tests.items())
    }
    for n, one in enumerate(capabilities.values()):
        for facts in one["tests"].values():
            facts["idempotent_id"] = f"id-a22ef352-a342-4587-8f47-3bbdb5b039c{n}"
    component = {"description": "all", "capabilities": {"required": list(tests), "advisory": []}}
    platform = {"description": "all", "components": [{"name": "os_powered_all"}]}
    return {
        "metadata": {"id": "2020.06", "schema": "2.0", "os_trademark_approval": {"releases": []}},
        "platforms": {PROGRAM: platform},
        "components": {"os_powered_all": component},
        "capabilities": capabilities,
    }


def check(ledger: Ledger, conf: dict[str, Any], **more: Any) -> dict[str, Any]:
    client: FlaskClient = create_app(ledger, Queue()).test_client()
    body = {"tempest_version": "47.0.0", "conf_json": conf, **more}
    answer = client.post("/v1/runs/check", json=body, headers=token(ledger))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def of_program(ledger: Ledger, cloud: RecordedCloud) -> dict[str, Any]:
    return check(ledger, cloud.conf, guideline={"name": "2020.06", "program": PROGRAM})


def test_a_cloud_that_lacks_nothing(ledger: Ledger, cloud: RecordedCloud) -> None:
    found = of_program(ledger, cloud)
    assert found["warnings"] == []
    assert "This will run 3 tests with Tempest 47.0.0." in found["outlook"]
    assert "Found in the cloud: image: cirros" in found["outlook"]
    assert cloud.made == []


def test_what_the_program_needs_and_the_cloud_lacks(ledger: Ledger, cloud: RecordedCloud) -> None:
    cloud.without("object-store")
    cloud.empty("/image/v2/images", "images")
    objects, image = of_program(ledger, cloud)["warnings"]
    assert objects.startswith("object-store: the cloud's catalogue has no such service in the region RegionOne")
    assert "1 of 3 tests (AccountTest.test_list_containers)" in objects
    assert image.startswith("image: the cloud shows no active image")
    assert "1 of 3 tests (ServersTestJSON.test_create_server_with_admin_password)" in image


def test_a_blank_at_the_end_of_a_region_does_not_count(ledger: Ledger, cloud: RecordedCloud) -> None:
    conf = cloud.conf
    conf["identity"]["region"] = "RegionOne "
    conf["object-storage"] = {"region": " RegionOne"}
    assert check(ledger, conf, testcases={"names": [OBJECT, SERVER]})["warnings"] == []


def test_what_the_chosen_tests_do_not_need_is_not_told(ledger: Ledger, cloud: RecordedCloud) -> None:
    cloud.without("compute", "image")
    assert check(ledger, cloud.conf, testcases={"names": [OBJECT]})["warnings"] == []


def test_a_cloud_that_only_nodes_reach_is_no_obstacle(ledger: Ledger) -> None:
    conf = {"identity": {"uri_v3": "http://10.1.2.3:5000/v3", "username": "ann", "password": "s3cret-word"}}
    found = check(ledger, conf)
    assert found["warnings"] == []
    assert "The server could not inspect the cloud: 10.1.2.3 is a private address" in found["outlook"]


def test_a_refused_password_is_told(ledger: Ledger, cloud: RecordedCloud) -> None:
    conf = cloud.conf
    conf["auth"]["admin_password"] = "another-word"
    (warning,) = check(ledger, conf)["warnings"]
    assert "the cloud rejects the user admin" in warning and "another-word" not in warning
