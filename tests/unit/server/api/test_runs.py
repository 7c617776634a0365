from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import QueueError
from refstack_worker.server.app import create_app
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.attempts import Submission
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.client import Sealed
from refstack_worker.server.results import acceptance
from refstack_worker.version import software_version
from tests.support.ledgers import CONF, PASSWORD, Event, claimed, new_run, queued, stream

UUID = "00000000-0000-0000-0000-000000000001"
WISH = {"tempest_version": "47.0.0", "conf_json": CONF, "testcases": {"names": ["tempest.api.object_storage"]}}


class Queue:
    """Says when it was told of something."""

    def __init__(self) -> None:
        self.told = threading.Event()

    def seal(self, one: Submission) -> Sealed:
        raise QueueError("this queue leaves the run to the monitor")

    def submit_sealed(self, ledger: Ledger, ready: Sequence[Sealed]) -> int:
        return 0

    def submit_pending(self, ledger: Ledger, test_id: int | None = None) -> int:
        return 0

    def withdraw(self, ledger: Ledger) -> None:
        self.told.set()


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def client(ledger: Ledger, queue: Queue) -> FlaskClient:
    return create_app(ledger, queue).test_client()


@pytest.fixture
def users(ledger: Ledger) -> None:
    with ledger.database.writing() as connection:
        for number, name in ((1, "ann"), (2, "bob")):
            connection.execute(insert(legacy_tables.user).values(id=number, name=name, email=name, openid=name))


def token(ledger: Ledger, name: str = "op", scope: str = "operator", user_id: int | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {ledger.tokens.add(name, [scope], user_id)[1]}"}


@pytest.fixture
def operator(ledger: Ledger) -> dict[str, str]:
    return token(ledger)


@pytest.fixture
def finished(ledger: Ledger, tmp_path: Path) -> Callable[..., int]:
    def make(**given: Any) -> int:
        job = claimed(ledger, **given)
        file = tmp_path / "result"
        tests = [Event(f"a.B.test_{name}[id-{UUID}]", how) for name, how in (("c", "success"), ("d", "fail"))]
        file.write_bytes(stream([*tests, Event("e", "fail")]))
        acceptance.accept(ledger, job.proof, Upload.of(file, {"exit_code": 1}))
        return job.submission.key.test_id

    return make


class TestCreate:
    def test_201(self, client: FlaskClient, ledger: Ledger, queue: Queue, operator: dict[str, str]) -> None:
        answer = client.post("/v1/runs", json={**WISH, "label": "first", "concurrency": 4}, headers=operator)
        assert answer.status_code == 201 and answer.headers["Location"] == "/v1/runs/1"
        assert (answer.json["state"], answer.json["label"], answer.json["created_by"]) == ("queued", "first", "op")
        assert answer.json["testcases"] == {"names": ["tempest.api.object_storage"]}
        assert PASSWORD not in answer.text
        assert queue.told.wait(10)
        assert ledger.runs.conf_json(1) == CONF

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"tempest_version": "47.0.0; rm -rf /"}, "tempest_version"),
            ({"tempest_version": ""}, ""),
            ({"tempest_version": "47"}, "tempest_version"),
            ({"tempest_version": "47.0.0rc1"}, "tempest_version"),
            ({"tempest_version": 47}, "tempest_version"),
            ({"openstack_release": "2025.1"}, ""),
            ({"conf_json": {"a": 1}}, "conf_json.a"),
            ({"conf_json": {"DEFAULT": {"log_file": "/etc/x"}}}, ""),
            ({"conf_json": []}, "conf_json"),
            ({"testcases": {"regexes": ["("]}}, "testcases.regexes"),
            ({"testcases": {"names": "x"}}, "testcases.names"),
            ({"testcases": {"names": [1]}}, "testcases.names.0"),
            ({"testcases": ["x"]}, "testcases"),
            ({"testcases": {"names": []}}, "testcases"),
            ({"testcases": {"names": ["a.b"], "url": ""}}, "testcases.url"),
            ({"concurrency": -1}, "concurrency"),
            ({"concurrency": True}, "concurrency"),
            ({"concurrency": 1.0}, "concurrency"),
            ({"timeout": 10}, "timeout"),
            ({"tag": "a b"}, ""),
            ({"label": "a\nb"}, "label"),
            ({"priority": 5}, "priority"),
            ({"surprise": 1}, "surprise"),
            ({"plugins": {"x": ">=1"}}, "plugins.x"),
        ],
        ids=str,
    )
    def test_400_as_a_problem_that_names_the_field(
        self, client: FlaskClient, ledger: Ledger, operator: dict[str, str], change: dict[str, Any], field: str
    ) -> None:
        answer = client.post("/v1/runs", json={**WISH, **change}, headers=operator)
        assert answer.status_code == 400
        assert answer.mimetype == "application/problem+json"
        problem = answer.json
        assert (problem["title"], problem["status"]) == ("Invalid request", 400)
        assert client.get(problem["type"]).json["title"] == "Invalid request"
        assert not field or field in [error["field"] for error in problem["errors"]]
        assert all(error["message"] for error in problem.get("errors", ()))
        assert PASSWORD not in answer.text
        assert ledger.runs.find(RunQuery()) == []

    def test_each_wrong_field_is_named_and_a_slip_gets_a_hint(
        self, client: FlaskClient, operator: dict[str, str]
    ) -> None:
        body = {"tempest_verison": "47.0.0", "concurrency": 99, "label": 5}
        errors = {
            error["field"]: error["message"]
            for error in client.post("/v1/runs", json=body, headers=operator).json["errors"]
        }
        assert errors == {
            "tempest_verison": "unknown field; did you mean tempest_version?",
            "concurrency": "must be a whole number from 0 to 64",
            "label": "must be text",
        }

    def test_unknown_query_parameters_are_refused(self, client: FlaskClient, operator: dict[str, str]) -> None:
        answer = client.get("/v1/runs?stat=failed", headers=operator)
        assert answer.status_code == 400 and answer.json["errors"][0]["field"] == "stat"
        assert client.get("/v1/runs?limit=1&limit=2", headers=operator).status_code == 400

    def test_fifty_megabytes_and_one(self, client: FlaskClient, operator: dict[str, str]) -> None:
        for size, code in ((50 * 2**20, 413), (1_200_000, 400)):
            conf = {"identity": {"password": "x" * size}}
            answer = client.post("/v1/runs", json={**WISH, "conf_json": conf}, headers=operator)
            assert answer.status_code == code

    def test_duplicate_keys(self, client: FlaskClient, operator: dict[str, str]) -> None:
        data = b'{"tempest_version": "47.0.0", "tempest_version": "46.3.0", "conf_json": {}}'
        assert client.post("/v1/runs", data=data, headers=operator).status_code == 400

    def test_the_same_idempotency_key(self, client: FlaskClient, operator: dict[str, str]) -> None:
        headers = {**operator, "Idempotency-Key": "abc"}
        first, again = (client.post("/v1/runs", json=WISH, headers=headers) for _ in range(2))
        assert first.json["test_id"] == again.json["test_id"] == 1

    def test_the_same_idempotency_key_with_another_body(
        self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]
    ) -> None:
        headers = {**operator, "Idempotency-Key": "abc"}
        assert client.post("/v1/runs", json=WISH, headers=headers).status_code == 201
        for change in ({"label": "other"}, {"conf_json": {}}, {"concurrency": 3}):
            answer = client.post("/v1/runs", json={**WISH, **change}, headers=headers)
            assert (answer.status_code, answer.json["reason"]) == (422, "key-reused")
        assert len(ledger.runs.find(RunQuery())) == 1

    def test_tokens_are_needed(self, client: FlaskClient) -> None:
        assert client.post("/v1/runs", json=WISH).status_code == 401
        assert client.post("/v1/runs", json=WISH, headers={"Authorization": "Bearer rsq_x"}).status_code == 401


class TestLooking:
    def test_lists(self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]) -> None:
        for _ in range(3):
            ledger.runs.add(new_run())
        ledger.runs.cancel(2, "me")
        first = client.get("/v1/runs?limit=2", headers=operator).json
        assert [run["test_id"] for run in first["runs"]] == [3, 2] and first["next_before"] == 2
        link = client.get("/v1/runs?limit=2&state=queued,cancelled", headers=operator).headers["Link"]
        assert link == '</v1/runs?limit=2&state=queued%2Ccancelled&before=2>; rel="next"'
        second = client.get("/v1/runs?limit=2&before=2", headers=operator).json
        assert [run["test_id"] for run in second["runs"]] == [1] and second["next_before"] is None
        cancelled = client.get("/v1/runs?state=cancelled,failed", headers=operator).json
        assert [run["test_id"] for run in cancelled["runs"]] == [2]
        for bad in ("state=x", "limit=0", "limit=x", "before=-1", "limit=100000"):
            assert client.get(f"/v1/runs?{bad}", headers=operator).status_code == 400

    def test_an_etag_saves_the_answer(self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]) -> None:
        job = claimed(ledger)
        answer = client.get("/v1/runs/1", headers=operator)
        cheap = {**operator, "If-None-Match": answer.headers["ETag"]}
        assert client.get("/v1/runs/1", headers=cheap).status_code == 304
        ledger.attempts.report(job.proof, Report(RunState.RUNNING))
        assert client.get("/v1/runs/1", headers=cheap).status_code == 200

    def test_messages_and_attempts(self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]) -> None:
        claimed(ledger)
        found = client.get("/v1/runs/1/messages", headers=operator).json["messages"]
        assert found[0]["message"] == "queued" and found[0]["time"].startswith("2027-")
        after = client.get(f"/v1/runs/1/messages?after={found[0]['id']}", headers=operator).json["messages"]
        assert after == found[1:]
        (attempt,) = client.get("/v1/runs/1/attempts", headers=operator).json["attempts"]
        assert (attempt["attempt"], attempt["worker"]) == (1, "node-1")

    def test_results(
        self, client: FlaskClient, operator: dict[str, str], finished: Callable[..., int], tmp_path: Path
    ) -> None:
        number = finished()
        url = f"/v1/runs/{number}"
        assert len(client.get(f"{url}/results", headers=operator).json["tests"]) == 3
        page = client.get(f"{url}/results?status=failed&limit=1", headers=operator).json
        assert [test["uuid"] for test in page["tests"]] == [UUID] and page["next_after"] == 2
        report = client.get(f"{url}/report", headers=operator).json
        assert (report["passed"], report["failed"], len(report["failed_tests"])) == (1, 2, 2)
        assert report["summary"] == {"exit_code": 1}
        assert client.get(f"{url}/subunit", headers=operator).data == (tmp_path / "result").read_bytes()
        assert client.get(f"{url}/results?status=x", headers=operator).status_code == 400

    @pytest.mark.parametrize("path", ["", "/messages", "/attempts", "/results", "/report", "/subunit"])
    def test_404(self, client: FlaskClient, operator: dict[str, str], path: str) -> None:
        answer = client.get(f"/v1/runs/9{path}", headers=operator)
        assert answer.status_code == 404 and answer.mimetype == "application/problem+json"

    def test_no_result_yet(self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]) -> None:
        queued(ledger)
        assert client.get("/v1/runs/1/report", headers=operator).status_code == 404
        assert client.get("/v1/runs/1/subunit", headers=operator).status_code == 404


class TestCancelAndRerun:
    def test_cancel(self, client: FlaskClient, ledger: Ledger, queue: Queue, operator: dict[str, str]) -> None:
        queued(ledger), claimed(ledger)
        answer = client.post("/v1/runs/1/cancel", headers=operator)
        assert (answer.status_code, answer.json["state"], answer.json["message"]) == (
            200,
            "cancelled",
            "cancelled by op",
        )
        assert queue.told.wait(10)
        answer = client.post("/v1/runs/2/cancel", headers=operator)
        assert (answer.status_code, answer.json["state"]) == (202, "cancelling")
        answer = client.post("/v1/runs/1/cancel", headers=operator)
        assert (answer.status_code, answer.json["detail"]) == (409, "run 1 has ended already (cancelled)")

    def test_rerun_what_failed(
        self, client: FlaskClient, operator: dict[str, str], finished: Callable[..., int]
    ) -> None:
        number = finished(label="nightly")
        answer = client.post(f"/v1/runs/{number}/rerun", json={"only": "failed", "conf_json": CONF}, headers=operator)
        assert answer.status_code == 201
        assert answer.json["testcases"] == {"names": [f"a.B.test_d[id-{UUID}]", "e"]}
        assert (answer.json["rerun_of"], answer.json["label"]) == (number, "nightly")
        answer = client.post(f"/v1/runs/{number}/rerun", json={"conf_json": CONF}, headers=operator)
        assert answer.json["testcases"] is None
        bad = client.post(f"/v1/runs/{number}/rerun", json={"only": "some"}, headers=operator)
        assert bad.status_code == 400

    def test_rerun_of_a_class_whose_fixture_failed(
        self, client: FlaskClient, ledger: Ledger, operator: dict[str, str], tmp_path: Path
    ) -> None:
        job = claimed(ledger)
        file = tmp_path / "result"
        names = ("setUpClass (tempest.x.Y)", "tearDownClass (tempest.x.Y)", "tempest.x.Z.test_a")
        file.write_bytes(stream([Event(name, "fail") for name in names]))
        acceptance.accept(ledger, job.proof, Upload.of(file, {"exit_code": 1}))
        answer = client.post("/v1/runs/1/rerun", json={"only": "failed", "conf_json": CONF}, headers=operator)
        assert answer.json["testcases"] == {"names": ["tempest.x.Y", "tempest.x.Z.test_a"]}

    def test_no_rerun_without_cloud_and_options(
        self, client: FlaskClient, ledger: Ledger, operator: dict[str, str], finished: Callable[..., int]
    ) -> None:
        number = finished()
        answer = client.post(f"/v1/runs/{number}/rerun", json={}, headers=operator)
        assert answer.status_code == 400 and "--conf-json" in answer.json["detail"]
        assert len(ledger.runs.find(RunQuery())) == 1

    def test_a_report_that_is_not_there_says_why(
        self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]
    ) -> None:
        queued(ledger)
        answer = client.get("/v1/runs/1/report", headers=operator)
        assert (answer.status_code, answer.json["detail"]) == (404, "run 1 has no result yet: queued")
        ledger.runs.cancel(1, "op")
        answer = client.get("/v1/runs/1/report", headers=operator)
        assert answer.json["detail"] == "run 1 has no result: cancelled (cancelled: cancelled by op)"
        assert client.get("/v1/runs/1/exports/csv", headers=operator).json["detail"] == answer.json["detail"]

    def test_no_rerun_of_what_runs(self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]) -> None:
        claimed(ledger)
        assert client.post("/v1/runs/1/rerun", json={}, headers=operator).status_code == 409


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


class TestOperators:
    def test_pause_and_resume(self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]) -> None:
        queued(ledger)
        paused = client.post("/v1/queue/pause", headers=operator).json
        assert (paused["paused"], paused["runs"], paused["pause"]["by"]) == (True, {"queued": 1}, "op")
        answer = client.post("/v1/queue/pause", json={"reason": "new disks"}, headers=operator)
        assert answer.json["pause"]["reason"] == "new disks"
        assert client.get("/v1/queue", headers=operator).json["paused"] is True
        assert client.get("/health").json == {"status": "ok", "paused": True, "version": software_version()}
        assert client.post("/v1/queue/resume", headers=operator).json["paused"] is False

    def test_tokens(self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]) -> None:
        answer = client.post("/v1/tokens", json={"name": "ci", "scopes": ["operator"], "days": 3}, headers=operator)
        assert answer.status_code == 201
        made = answer.json
        headers = {"Authorization": f"Bearer {made['token']}"}
        listed = client.get("/v1/tokens", headers=headers)
        assert made["token"] not in listed.text and len(listed.json["tokens"]) == 2
        assert client.delete(f"/v1/tokens/{made['id']}", headers=operator).status_code == 204
        assert client.get("/v1/tokens", headers=headers).status_code == 401
        for bad in ({"name": ""}, {"name": "x", "scopes": ["root"]}, {"name": "x", "days": -1}):
            assert client.post("/v1/tokens", json=bad, headers=operator).status_code == 400

    def test_the_audit_log(self, client: FlaskClient, operator: dict[str, str]) -> None:
        for _ in range(3):
            client.post("/v1/queue/pause", headers=operator)
        first = client.get("/v1/audit?limit=2", headers=operator)
        assert [one["action"] for one in first.json["entries"]] == ["pause queue"] * 2
        assert f"before={first.json['next_before']}" in first.headers["Link"]
        assert len(client.get(f"/v1/audit?before={first.json['next_before']}", headers=operator).json["entries"]) == 1

    def test_a_check_starts_nothing(self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]) -> None:
        body = {"tempest_version": "12.0.0", "conf_json": CONF}
        found = client.post("/v1/runs/check", json=body, headers=operator).json
        assert found["warnings"] == ["No available node runs Tempest 12.0.0. Available: none."]
        refused = client.post("/v1/runs/check", json={"tempest_version": "47.0.0"}, headers=operator)
        assert refused.status_code == 400 and refused.json["errors"][0]["field"] == "cloud_id"
        assert ledger.runs.find(RunQuery()) == []

    def test_a_node_is_forgotten(self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]) -> None:
        ledger.nodes.record(Node("gone.example", ("47.0.0",), 2, 0, (), "ready", "", 1.0, 1.0))
        assert client.delete("/v1/nodes/gone.example", headers=operator).status_code == 204
        assert client.get("/v1/nodes", headers=operator).json["nodes"] == []


class TestTrouble:
    def test_unknown_addresses_and_methods(self, client: FlaskClient) -> None:
        answer = client.get("/v1/nothing")
        assert answer.status_code == 404 and answer.mimetype == "application/problem+json"
        answer = client.delete("/v1/runs")
        assert answer.status_code == 405 and "POST" in answer.headers["Allow"]
        assert client.get("/nothing").json["reason"] == "not-found"

    def test_a_database_that_is_away_is_503(
        self, client: FlaskClient, ledger: Ledger, operator: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from refstack_worker.errors import LedgerError

        def away(*_: object) -> None:
            raise LedgerError("database: connection refused")

        monkeypatch.setattr(ledger.runs, "find", away)
        answer = client.get("/v1/runs", headers=operator)
        assert answer.status_code == 503 and answer.headers["Retry-After"]

    def test_a_fault_tells_nothing(
        self, client: FlaskClient, ledger: Ledger, operator: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError("the secret of the house")

        monkeypatch.setattr(ledger.runs, "find", broken)
        answer = client.get("/v1/runs", headers=operator)
        assert answer.status_code == 500 and "secret of the house" not in answer.text

    def test_health_is_asked_for_with_the_same_statements_again_and_again(
        self, ledger: Ledger, client: FlaskClient
    ) -> None:
        kept = ledger.database.engine._compiled_cache
        assert kept is not None
        known = []
        for _ in range(3):
            assert client.get("/health").status_code == 200
            known.append(len(kept))
        assert known[0] == known[-1]

    def test_health_without_tables(self, ledger: Ledger, client: FlaskClient) -> None:
        from refstack_worker.server.db import migrate

        migrate.downgrade(ledger.database, "base")
        answer = client.get("/health")
        assert answer.status_code == 503 and "db upgrade" in answer.json["error"]
