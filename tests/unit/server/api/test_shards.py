"""A run that several nodes share, over the API: asked for, looked at, and not taken apart."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from refstack_worker.contract.accounts import account_sections
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import confined
from refstack_worker.server.services import tempest_tests
from tests.support.api_calls import WISH
from tests.support.ledgers import CONF
from tests.support.split_runs import held, look, post

ADMIN = {"auth": {"admin_username": "admin", "admin_password": "a-pass-2846"}}
ASKED: dict[str, Any] = {**WISH, "conf_json": {**CONF, **ADMIN}, "shards": 2}
USERS = [{"username": f"u{number}", "password": "p"} for number in range(3)]


def test_one_run_and_its_parts(client: FlaskClient, ledger: Ledger, operator: dict[str, str], tmp_path: Path) -> None:
    answer = client.post("/v1/runs", json=ASKED, headers=operator)
    assert (answer.status_code, answer.json["shards"], answer.json["kind"]) == (201, 2, "split")
    run = answer.json["test_id"]
    parts = client.get(f"/v1/runs/{run}/shards", headers=operator).json["shards"]
    assert [(one["number"], one["state"], one["waits_for_others"]) for one in parts] == [
        (1, "queued", False),
        (2, "queued", False),
    ]
    known = tempest_tests.of_version("47.0.0")
    assert known is not None
    assert sum(one["tests"] for one in parts) == sum("api.object_storage" in name for name in known.full_names)
    assert not set(parts[0]["testcases"]) & set(parts[1]["testcases"])
    assert [one["test_id"] for one in client.get("/v1/runs", headers=operator).json["runs"]] == [run]
    for number in (1, 2):
        name = next(one for one in known.full_names if one.startswith(parts[number - 1]["testcases"][0]))
        post(ledger, held(ledger, run, number, f"node-{number}"), tmp_path, name)
    look(ledger)
    seen = client.get(f"/v1/runs/{run}", headers=operator).json
    assert (seen["state"], seen["counts"]["passed"], seen["worker"]) == ("finished", 2, "node-1, node-2")
    parts = client.get(f"/v1/runs/{run}/shards", headers=operator).json["shards"]
    assert [(one["worker"], one["state"], one["progress"]["done"]) for one in parts] == [
        ("node-1", "finished", 1),
        ("node-2", "finished", 1),
    ]
    for suffix in ("results", "report", "subunit", "console"):
        assert client.get(f"/v1/runs/{run}/{suffix}", headers=operator).status_code == 200, suffix


def test_a_part_is_not_changed_by_itself(client: FlaskClient, operator: dict[str, str]) -> None:
    run = client.post("/v1/runs", json=ASKED, headers=operator).json["test_id"]
    part = client.get(f"/v1/runs/{run}/shards", headers=operator).json["shards"][0]["test_id"]
    assert client.get(f"/v1/runs/{part}", headers=operator).json["kind"] == "shard"
    for method, path in (("POST", "/cancel"), ("POST", "/rerun"), ("DELETE", "")):
        answer = client.open(f"/v1/runs/{part}{path}", method=method, json={}, headers=operator)
        assert answer.status_code == 409 and f"run {run}, which it belongs to" in answer.json["detail"]
    assert client.post(f"/v1/runs/{run}/cancel", headers=operator).json["state"] == "cancelled"
    assert client.get(f"/v1/runs/{part}", headers=operator).json["state"] == "cancelled"


def test_run_again_it_is_split_again(client: FlaskClient, operator: dict[str, str]) -> None:
    run = client.post("/v1/runs", json=ASKED, headers=operator).json["test_id"]
    client.post(f"/v1/runs/{run}/cancel", headers=operator)
    again = client.post(f"/v1/runs/{run}/rerun", json={"conf_json": ASKED["conf_json"]}, headers=operator)
    assert (again.status_code, again.json["kind"], again.json["shards"]) == (201, "split", 2)


def test_a_run_that_cannot_be_split_says_so_before_and_after(client: FlaskClient, operator: dict[str, str]) -> None:
    asked = {**ASKED, "tempest_version": "99.0.0"}
    warned = client.post("/v1/runs/check", json=asked, headers=operator).json["warnings"]
    assert "The run will not be split over 2 nodes: this server does not know the tests of Tempest 99.0.0." in warned
    run = client.post("/v1/runs", json=asked, headers=operator).json
    assert (run["kind"], run["shards"]) == ("run", 2)
    messages = client.get(f"/v1/runs/{run['test_id']}/messages", headers=operator).json["messages"]
    assert messages[1]["message"].startswith("not split over 2 nodes: ")
    assert client.get(f"/v1/runs/{run['test_id']}/shards", headers=operator).json == {"shards": []}


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/check"])
def test_too_few_accounts_are_refused_before_the_run(client: FlaskClient, operator: dict[str, str], path: str) -> None:
    conf = {"identity": {"uri_v3": "https://cloud.example/v3"}, **account_sections(USERS)}
    answer = client.post(path, json={**ASKED, "conf_json": conf}, headers=operator)
    assert answer.status_code == 400
    (error,) = answer.json["errors"]
    assert error["field"] == "shards"
    assert "each shard needs at least 2 accounts of its own" in error["message"]


def test_who_waits_for_runs_to_be_split_holds_few_threads(
    client: FlaskClient, operator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, go_on = threading.Semaphore(0), threading.Event()
    real = confined._run

    def slow(*words: Any, **more: Any) -> str:
        looking.release()
        assert go_on.wait(60)
        return real(*words, **more)

    monkeypatch.setattr(confined, "_run", slow)

    def ask() -> Any:
        return client.application.test_client().post("/v1/runs", json=ASKED, headers=operator)

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ask) for _ in range(2)]
        try:
            assert all(looking.acquire(timeout=60) for _ in waiting)
            refused = [pool.submit(ask).result(timeout=60) for _ in range(3)]
        finally:
            go_on.set()
    assert {(one.status_code, one.json["reason"]) for one in refused} == {(429, "busy")}
    assert all(int(one.headers["Retry-After"]) > 0 for one in refused)
    assert [one.result().status_code for one in waiting] == [201, 201]
    # who was refused, and who is done, holds nothing
    assert ask().status_code == 201


@pytest.mark.parametrize("shards", [-1, 17, "2"])
def test_numbers_that_make_no_sense(client: FlaskClient, operator: dict[str, str], shards: Any) -> None:
    answer = client.post("/v1/runs", json={**ASKED, "shards": shards}, headers=operator)
    assert answer.status_code == 400 and [one["field"] for one in answer.json["errors"]] == ["shards"]
