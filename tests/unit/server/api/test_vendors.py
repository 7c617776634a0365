"""A vendor sees and touches only what is theirs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from refstack_worker.server.ledger.ledger import Ledger
from tests.support.api_calls import WISH, token
from tests.support.ledgers import queued


@pytest.mark.usefixtures("users")
class TestVendors:
    def test_a_vendor_sees_only_what_is_his(
        self, client: FlaskClient, ledger: Ledger, finished: Callable[..., int]
    ) -> None:
        ann, bob = token(ledger, "ann", "vendor", 1), token(ledger, "bob", "vendor", 2)
        theirs = finished(owner_id=2)
        mine = client.post("/v1/runs", json=WISH, headers=ann).json["test_id"]
        assert [run["test_id"] for run in client.get("/v1/runs", headers=ann).json["runs"]] == [mine]
        assert [run["test_id"] for run in client.get("/v1/runs", headers=bob).json["runs"]] == [theirs]
        for path in ("", "/messages", "/attempts", "/results", "/report", "/subunit"):
            assert client.get(f"/v1/runs/{theirs}{path}", headers=ann).status_code == 404
            assert client.get(f"/v1/runs/{theirs}{path}", headers=bob).status_code == 200
        for path in ("cancel", "rerun"):
            assert client.post(f"/v1/runs/{theirs}/{path}", json={}, headers=ann).status_code == 404

    def test_a_vendor_without_a_user_sees_nothing(self, client: FlaskClient, ledger: Ledger) -> None:
        queued(ledger)
        headers = token(ledger, "nobody", "vendor")
        assert client.get("/v1/runs", headers=headers).json["runs"] == []
        assert client.get("/v1/runs/1", headers=headers).status_code == 404

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "nodes"),
            ("GET", "queue"),
            ("POST", "queue/pause"),
            ("POST", "queue/resume"),
            ("GET", "tokens"),
            ("POST", "tokens"),
            ("DELETE", "tokens/1"),
        ],
    )
    def test_operators_calls(self, client: FlaskClient, ledger: Ledger, method: str, path: str) -> None:
        headers = token(ledger, "ann", "vendor", 1)
        answer = client.open(f"/v1/{path}", method=method, headers=headers, json={"name": "x", "scopes": ["operator"]})
        assert (answer.status_code, answer.json["reason"]) == (403, "scope")
        assert not ledger.queue.is_paused() and len(ledger.tokens.all()) == 1
