"""The testers' calls: each answer of each of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract.payload import new_secret
from refstack_worker.contract.states import RunState
from refstack_worker.contract.testcases import Testcases
from refstack_worker.server.app import create_app
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.attempts import Release
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.serving.responses import MAX_BODY
from tests.support.ledgers import CONF, PASSWORD, Clock, Event, Job, claimed, make_settings, queued, stream
from tests.support.legacy_calls import STRANGER, bearer, number_of, post, proof, status


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return create_app(ledger).test_client()


class TestUpdateTestStatus:
    def test_202_and_the_run_moves(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        answer = status(client, job, status="running", message="5 of 60 tests", worker="node-1")
        assert answer.status_code == 202
        assert ledger.runs.get(number_of(job)).state is RunState.RUNNING
        assert ledger.runs.messages(number_of(job))[-1].message == "running: 5 of 60 tests"

    def test_202_for_a_form(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        body = {"payload": job.envelope.decode(), "test_id": str(number_of(job)), "message": "Größe & co"}
        assert client.post("/update-test-status/", data=body, headers=proof(job)).status_code == 202
        assert ledger.runs.messages(number_of(job))[-1].message == "Größe & co"

    def test_202_for_a_multipart_form_and_without_the_slash(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        body = {"payload": job.envelope.decode(), "test_id": str(number_of(job)), "status": "building"}
        answer = client.post("/update-test-status", data=body, headers=proof(job), content_type="multipart/form-data")
        assert answer.status_code == 202

    def test_202_with_nothing_but_what_the_specification_names(self, client: FlaskClient, ledger: Ledger) -> None:
        assert status(client, queued(ledger)).status_code == 202

    @pytest.mark.parametrize(
        "given",
        [
            {"payload": None},
            {"test_id": None},
            {"payload": ""},
            {"payload": {"a": 1}},
            {"test_id": "7; DROP TABLE test"},
            {"test_id": 0},
            {"test_id": 2**40},
            {"test_id": True},
            {"status": "exploded"},
            {"status": "finished"},
            {"status": "queued"},
            {"message": ["a"]},
            {"attempt": "x"},
        ],
        ids=str,
    )
    def test_400(self, client: FlaskClient, ledger: Ledger, given: dict[str, Any]) -> None:
        job = claimed(ledger)
        answer = status(client, job, **given)
        assert answer.status_code == 400 and answer.json["error"] and answer.json["reason"]
        assert ledger.runs.get(number_of(job)).state is RunState.CLAIMED

    @pytest.mark.parametrize(
        "data",
        [
            b"{not json",
            b"[]",
            b'{"test_id": 1, "test_id": 2, "payload": "x"}',
            b'{"test_id": NaN}',
            b'{"test_id": 1, "more": -1e400}',
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"a":' * 50 + b"1" + b"}" * 50,
        ],
        ids=["no json", "a list", "a key twice", "nan", "an infinity", "no utf-8", "deep", "deep objects"],
    )
    def test_400_for_what_is_no_json_object(self, client: FlaskClient, data: bytes) -> None:
        answer = client.post("/update-test-status/", data=data, content_type="application/json")
        assert answer.status_code == 400

    def test_400_for_a_form_that_gives_a_parameter_twice(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        data = f"test_id={number_of(job)}&test_id=2&payload={job.envelope.decode()}"
        kind = "application/x-www-form-urlencoded"
        answer = client.post("/update-test-status/", data=data, content_type=kind, headers=proof(job))
        assert answer.status_code == 400

    def test_405_from_an_unknown_host(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        answer = status(client, job, status="running", environ=STRANGER)
        assert (answer.status_code, answer.json["reason"]) == (405, "host")
        assert ledger.runs.get(number_of(job)).state is RunState.CLAIMED

    def test_405_from_an_unknown_host_whatever_it_sends(self, client: FlaskClient) -> None:
        answer = client.post("/update-test-status/", data=b"{", environ_overrides=STRANGER)
        assert answer.status_code == 405

    def test_405_without_the_proof_of_the_secret(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert status(client, job, headers={}).json["reason"] == "no-proof"
        assert status(client, job, headers={}).status_code == 405

    def test_405_with_a_wrong_proof(self, client: FlaskClient, ledger: Ledger) -> None:
        job, other = claimed(ledger), claimed(ledger)
        for headers in (bearer(new_secret()), proof(other), {"Authorization": f"Basic {job.token}"}):
            assert status(client, job, headers=headers).status_code == 405

    def test_405_for_who_took_the_same_job_and_did_not_get_the_claim(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        for headers in (bearer(job.submission.secret), proof(job.by("other"))):
            answer = status(client, job, status="failed", headers=headers)
            assert (answer.status_code, answer.json["reason"]) == (405, "claimed")
            answer = post(client, job, headers=headers)
            assert (answer.status_code, answer.json["reason"]) == (409, "claimed")
            for path in ("get-miniconf", "get-testcases"):
                answer = client.get(f"/{path}?test_id={number_of(job)}", headers=headers)
                assert (answer.status_code, answer.json["reason"]) == (409, "claimed")
        assert ledger.runs.get(number_of(job)).state is RunState.CLAIMED

    def test_405_with_anything_but_the_payload_that_was_sealed_for_the_run(
        self, client: FlaskClient, ledger: Ledger
    ) -> None:
        job, other = claimed(ledger), claimed(ledger)
        changed = job.envelope[:-1] + (b"A" if job.envelope[-1:] != b"A" else b"B")
        for payload in (other.envelope.decode(), changed.decode(), "{}", "x" * 1000):
            answer = status(client, job, payload=payload, status="failed")
            assert (answer.status_code, answer.json["reason"]) == (405, "wrong-payload")
        assert ledger.runs.get(number_of(job)).state is RunState.CLAIMED

    def test_405_for_another_run_or_attempt(self, client: FlaskClient, ledger: Ledger) -> None:
        job, other = claimed(ledger), claimed(ledger)
        assert status(client, job, test_id=number_of(other)).status_code == 405
        assert status(client, job, test_id=999).status_code == 405
        assert status(client, job, attempt=2).status_code == 405

    def test_405_when_superseded_or_ended(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert status(client, job, status="failed", reason="cloud").status_code == 202
        assert status(client, job, status="running").json["reason"] == "ended"
        old = claimed(ledger)
        ledger.attempts.requeue(old.submission.key, Release.LOST, "silent")
        answer = status(client, old, status="running")
        assert (answer.status_code, answer.json["reason"]) == (405, "superseded")

    def test_405_for_another_method(self, client: FlaskClient) -> None:
        answer = client.get("/update-test-status/")
        assert answer.status_code == 405 and "POST" in answer.headers["Allow"]

    def test_413_for_fifty_megabytes(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        big = "x" * (50 * 1024 * 1024)
        assert status(client, job, message=big).status_code == 413
        answer = client.post("/update-test-status/", data={"payload": big, "test_id": "1"}, headers=proof(job))
        assert answer.status_code == 413

    def test_a_body_that_does_not_say_how_large_it_is(self, client: FlaskClient) -> None:
        # as a server in front of the application passes on what comes in pieces
        answer = client.post(
            "/update-test-status/",
            input_stream=io.BytesIO(b" " * (MAX_BODY + 1)),
            content_type="application/json",
            headers={"Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        )
        assert answer.status_code == 413

    def test_log_and_header_injection(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert status(client, job, message="a\r\nSet-Cookie: x=y\x1b[31m").status_code == 202
        assert ledger.runs.messages(number_of(job))[-1].message == "a  Set-Cookie: x=y [31m"


class TestProxies:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> ServerSettings:
        return make_settings(tmp_path, TESTING_HOSTS=["10.9.0.0/16"], TRUSTED_PROXIES="127.0.0.1, 10.1.0.0/24")

    @pytest.mark.parametrize(
        ("peer", "forwarded", "code"),
        [
            ("10.9.1.1", None, 202),
            ("::ffff:10.9.1.1", None, 202),
            ("127.0.0.1", None, 405),
            ("127.0.0.1", "10.9.1.1", 202),
            ("127.0.0.1", "10.9.1.1, 10.1.0.5", 202),
            ("127.0.0.1", "10.9.1.1, 192.0.2.7", 405),
            ("192.0.2.7", "10.9.1.1", 405),
            ("127.0.0.1", "nonsense", 405),
            # an empty element names no client, and not the proxy itself
            ("127.0.0.1", "10.9.1.1,", 405),
            ("127.0.0.1", "10.1.0.5,", 405),
            ("", "10.9.1.1", 405),
        ],
    )
    def test_only_trusted_proxies_are_looked_through(
        self, client: FlaskClient, ledger: Ledger, peer: str, forwarded: str | None, code: int
    ) -> None:
        job = claimed(ledger)
        headers = {**proof(job), **({"X-Forwarded-For": forwarded} if forwarded else {})}
        assert status(client, job, headers=headers, environ={"REMOTE_ADDR": peer}).status_code == code


class TestMiniConf:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> ServerSettings:
        config = {"identity": {"region": "RegionOne", "uri_v3": "http://operator"}, "compute": {"image_ref": "x"}}
        return make_settings(tmp_path, TEMPEST_CONFIG=config)

    @pytest.fixture
    def job(self, ledger: Ledger) -> Job:
        with ledger.database.writing() as connection:
            row = {"label": "acme", "endpoint_v3": "https://keystone/v3", "test_user": "demo", "admin_user": "root"}
            connection.execute(insert(legacy_tables.cloud).values(id=5, **row))
        return claimed(ledger, cloud_id=5)

    def test_the_clouds_values_win_over_the_operators(self, client: FlaskClient, job: Job) -> None:
        answer = client.get(f"/get-miniconf?test_id={number_of(job)}", headers=proof(job))
        assert answer.status_code == 200
        assert answer.headers["Content-Disposition"] == "attachment; filename=miniconf.json"
        assert answer.json == {
            "identity": {
                "auth_version": "v3",
                "region": "RegionOne",
                "uri_v3": "https://keystone/v3",
                "username": "demo",
                "admin_username": "root",
            },
            "compute": {"image_ref": "x"},
        }
        assert PASSWORD not in answer.text

    @pytest.mark.parametrize("call", ["get-miniconf", "get-testcases"])
    def test_who_may_ask(self, client: FlaskClient, ledger: Ledger, job: Job, call: str) -> None:
        url = f"/{call}?test_id={number_of(job)}"
        assert client.get(url).status_code == 401
        assert client.get(url, headers=bearer(new_secret())).status_code == 403
        assert client.get(f"/{call}?test_id=999", headers=proof(job)).status_code == 404
        assert client.get(f"/{call}").status_code == 400
        assert client.get(f"/{call}?test_id=x").status_code == 400
        ledger.attempts.requeue(job.submission.key, Release.LOST, "silent")
        answer = client.get(url, headers=proof(job))
        assert (answer.status_code, answer.json["reason"]) == (409, "superseded")
        ledger.runs.cancel(number_of(job), "me")
        answer = client.get(url, headers=proof(job))
        assert (answer.status_code, answer.json["reason"]) == (409, "superseded")

    def test_the_end(self, client: FlaskClient, ledger: Ledger, job: Job) -> None:
        status(client, job, status="failed")
        answer = client.get(f"/get-miniconf?test_id={number_of(job)}", headers=proof(job))
        assert (answer.status_code, answer.json["reason"]) == (409, "ended")


class TestTestcases:
    def test_everything_unless_somebody_chose(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        answer = client.get(f"/get-testcases?test_id={number_of(job)}", headers=proof(job))
        assert answer.json == {"testcases": ["tempest"]}
        assert answer.headers["Content-Disposition"] == "attachment; filename=testcases.json"

    def test_the_runs_own(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger, spec=RunSpec("47.0.0", testcases=Testcases(("tempest.api.x",), ("test_a|b",))))
        answer = client.get(f"/get-testcases?test_id={number_of(job)}", headers=proof(job))
        assert answer.json == {"testcases": ["tempest.api.x", "regex:test_a|b"]}


def test_get_script(client: FlaskClient) -> None:
    answer = client.get("/get-script")
    assert answer.status_code == 200
    compile(answer.text, "execute_test.py", "exec")


def test_no_answer_and_no_log_holds_a_secret(
    client: FlaskClient, ledger: Ledger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    job = claimed(ledger)
    answers = [
        client.get(f"/get-miniconf?test_id={number_of(job)}", headers=proof(job)),
        status(client, job, status="running", message=f"logged in with {PASSWORD}"),
        post(client, job, b"broken"),
        post(client, job, stream([Event("t", "fail", PASSWORD)])),
        status(client, job, status="running"),
    ]
    _token, secret = ledger.tokens.add("op", ["operator"])
    for path in ("", "/messages", "/results", "/report", "/attempts"):
        answers.append(client.get(f"/v1/runs/{number_of(job)}{path}", headers=bearer(secret)))
        assert answers[-1].status_code == 200
    shown = "\n".join([*(answer.text for answer in answers), caplog.text])
    for word in (*CONF["identity"].values(), job.submission.secret, secret, job.envelope.decode()):
        assert word == CONF["identity"]["uri_v3"] or word not in shown
