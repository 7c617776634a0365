from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from refstack_worker.contract import attempt_token
from refstack_worker.worker.doctor.selftest_server import SelfTestServer, serving

ATTEMPT = "/worker/v1/runs/1/attempts/1"


@pytest.fixture
def server() -> Iterator[SelfTestServer]:
    with serving() as server:
        yield server


def token(server: SelfTestServer, claim: str = "c" * 32) -> dict[str, str]:
    return {"Authorization": f"Bearer {attempt_token.join(server.secret, claim)}"}


def test_a_claim_and_what_follows(server: SelfTestServer) -> None:
    claim = {"claim": "c" * 32}
    reply = requests.post(f"{server.url}{ATTEMPT}/claim", json=claim, headers=token(server), timeout=10)
    assert reply.json()["heartbeat_seconds"] > 0
    reply = requests.post(f"{server.url}{ATTEMPT}/heartbeat", json=claim, headers=token(server), timeout=10)
    assert reply.json()["order"] == "go"
    report = {"status": "running", "message": "Testing"}
    assert requests.post(f"{server.url}/update-test-status", json=report, headers=token(server), timeout=10).ok
    assert (server.record.states, server.record.messages, server.record.refused) == (["running"], ["Testing"], [])


def test_console_lines_are_kept_once(server: SelfTestServer) -> None:
    batch = {"claim": "c" * 32, "first": 0, "lines": [{"event": "test"}, {"event": "request"}], "dropped": 0}
    for _ in range(2):
        reply = requests.post(f"{server.url}{ATTEMPT}/console", json=batch, headers=token(server), timeout=10)
        assert reply.json()["next"] == 2
    assert len(server.record.console) == 2


def test_a_call_without_the_token_is_refused_and_recorded(server: SelfTestServer) -> None:
    requests.post(f"{server.url}{ATTEMPT}/claim", json={"claim": "c" * 32}, headers=token(server), timeout=10)
    for headers in ({}, {"Authorization": "Bearer x"}, token(server, "d" * 32)):
        assert requests.get(f"{server.url}/get-miniconf", headers=headers, timeout=10).status_code == 401
    assert server.record.refused == ["/get-miniconf"] * 3


def test_the_cloud_knows_one_user(server: SelfTestServer) -> None:
    def log_in(password: str) -> requests.Response:
        body = {"auth": {"identity": {"password": {"user": {"name": "selftest", "password": password}}}}}
        return requests.post(f"{server.url}/v3/auth/tokens", json=body, timeout=10)

    assert log_in("wrong").status_code == 401
    good = log_in(server.conf()["identity"]["password"])
    assert good.status_code == 201 and good.headers["X-Subject-Token"]
    assert json.dumps(good.json()["token"]["catalog"]).count(f"{server.url}/v3") == 3


def test_versions_of_the_identity_service(server: SelfTestServer) -> None:
    assert requests.get(server.url, timeout=10).status_code == 300
    assert requests.get(f"{server.url}/v3", timeout=10).json()["version"]["id"].startswith("v3")
    assert requests.get(f"{server.url}/v9", timeout=10).status_code == 404
