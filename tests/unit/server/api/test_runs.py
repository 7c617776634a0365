"""Runs over the API: recorded, looked at, cancelled and repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.api_calls import UUID, WISH, Queue
from tests.support.ledgers import CONF, PASSWORD, Event, claimed, new_run, queued, stream


class TestCreate:
    def test_201(self, client: FlaskClient, ledger: Ledger, queue: Queue, operator: dict[str, str]) -> None:
        answer = client.post("/v1/runs", json={**WISH, "label": "first", "concurrency": 4}, headers=operator)
        assert answer.status_code == 201 and answer.headers["Location"] == "/v1/runs/1"
        assert (answer.json["state"], answer.json["label"], answer.json["created_by"]) == ("queued", "first", "op")
        assert answer.json["testcases"] == {"names": ["tempest.api.object_storage"]}
        assert PASSWORD not in answer.text
        assert queue.told.wait(10)
        assert ledger.runs.conf_json(1) == CONF

    def test_what_finds_the_missing_options(
        self, client: FlaskClient, ledger: Ledger, operator: dict[str, str]
    ) -> None:
        wished = {**WISH, "discover": "tempestconf"}
        assert client.post("/v1/runs", json=wished, headers=operator).json["discover"] == "tempestconf"
        assert ledger.submissions.next(5)[0].spec.discover == "tempestconf"
        assert client.post("/v1/runs", json=WISH, headers=operator).json["discover"] == "keystone"

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"tempest_version": "47.0.0; rm -rf /"}, "tempest_version"),
            ({"tempest_version": ""}, ""),
            ({"tempest_version": "47"}, "tempest_version"),
            ({"tempest_version": "47.0.0rc"}, "tempest_version"),
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
            ({"discover": "guess"}, "discover"),
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
        assert sum(one["tests"] for one in report["causes"]) == 2 and all(one["line"] for one in report["causes"])
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
