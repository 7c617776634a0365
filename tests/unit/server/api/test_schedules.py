from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.schedules import MAX_OF_VENDOR
from refstack_worker.server.monitor.due_schedules import start_due
from tests.support.callers import Callers, Somebody
from tests.support.ledgers import PASSWORD, Clock
from tests.support.schedules import stored_cloud


@pytest.fixture
def callers(ledger: Ledger) -> Callers:
    return Callers(ledger)


@pytest.fixture
def cloud(callers: Callers) -> int:
    return stored_cloud(callers.ledger, callers.ann.user_id)


def wish(cloud: int, **given: Any) -> dict[str, Any]:
    return {"cloud_id": cloud, "time": "02:30", "run": {"tempest_version": "47.0.0"}, **given}


def test_from_the_first_call_to_a_run(callers: Callers, cloud: int, clock: Clock) -> None:
    made = callers.ann("POST", "/v1/schedules", wish(cloud, days=["mon", "thu"], label="nightly"))
    assert made.status_code == 201, made.text
    assert made.json["next_at"] == "2027-01-18T02:30:00.000Z" and made.json["days"] == ["mon", "thu"]
    assert PASSWORD not in made.text
    path = made.headers["Location"]
    clock.time = callers.ledger.schedules.get(1).next_at
    start_due(callers.ledger)
    shown = callers.abe("GET", path).json
    assert shown["last_test_id"] == 1 and shown["next_at"] == "2027-01-21T02:30:00.000Z"
    assert callers.ann("GET", "/v1/runs/1").json["label"] == "nightly"
    changed = callers.ann("PUT", path, {"time": "04:00", "days": ["sun"], "paused": True, "label": "x"}).json
    assert (changed["time"], changed["days"], changed["next_at"]) == ("04:00", ["sun"], None)
    assert callers.ann("PUT", path, {"paused": False}).json["next_at"] == "2027-01-24T04:00:00.000Z"
    assert callers.ann("DELETE", path).status_code == 204
    assert callers.ann("GET", "/v1/schedules").json["schedules"] == []
    assert callers.ann("GET", "/v1/runs/1").status_code == 200


def test_whose_is_which(callers: Callers, cloud: int) -> None:
    path = callers.ann("POST", "/v1/schedules", wish(cloud)).headers["Location"]
    assert callers.operator("GET", path).status_code == 200
    for method, body in (("GET", None), ("PUT", {"paused": True}), ("DELETE", None)):
        assert callers.bob(method, path, body).status_code == 404
        assert method == "GET" or callers.reader(method, path, body).status_code == 403
    assert callers.bob("GET", "/v1/schedules").json["schedules"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"time": "2:30"}, "time"),
        ({"time": "24:00"}, "time"),
        ({"days": []}, "days"),
        ({"days": ["mo"]}, "days.0"),
        ({"run": {"tempest_version": "47.0.0", "conf_json": {"identity": {"password": "x"}}}}, "run.conf_json"),
        ({"run": {"tempest_version": "47.0.0", "cloud_id": 1}}, "run.cloud_id"),
        ({"run": {"tempest_version": "47.0.0", "priority": 1}}, "priority"),
        ({"run": {}}, ""),
    ],
)
def test_what_cannot_be_is_refused(callers: Callers, cloud: int, change: dict[str, Any], field: str) -> None:
    refused = callers.ann("POST", "/v1/schedules", wish(cloud, **change))
    assert refused.status_code == 400, refused.text
    assert field in [one["field"] for one in refused.json.get("errors", [{"field": ""}])], refused.text
    assert callers.ledger.schedules.all() == []


def test_a_cloud_without_passwords_and_one_of_others_are_refused(callers: Callers, cloud: int) -> None:
    new = NewCloud("bare", "https://k.example/v3", user_id=callers.ann.user_id)
    bare = callers.ledger.clouds.add(replace(new, conf_json=None)).cloud.id
    refused = callers.ann("POST", "/v1/schedules", wish(bare))
    assert refused.status_code == 400 and "stores no passwords" in refused.json["errors"][0]["message"]
    assert callers.bob("POST", "/v1/schedules", wish(cloud)).status_code == 400


def test_a_token_without_a_user_makes_no_schedule_of_the_operators(callers: Callers) -> None:
    lone = Somebody(callers.ledger, callers.app, "lone", ["vendor"], None)
    assert lone("POST", "/v1/schedules", wish(stored_cloud(callers.ledger))).status_code == 403
    assert callers.ledger.schedules.all() == []


def test_a_vendor_has_a_limit_of_its_own(callers: Callers, cloud: int) -> None:
    for count in range(MAX_OF_VENDOR):
        who = (callers.ann, callers.abe)[count % 2]
        assert who("POST", "/v1/schedules", wish(cloud)).status_code == 201
    assert callers.abe("POST", "/v1/schedules", wish(cloud)).status_code == 409
