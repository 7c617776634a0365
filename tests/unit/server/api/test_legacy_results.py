"""``post-result``: who can post, what is accepted, and the older ways without a proof."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract.payload import new_secret
from refstack_worker.contract.states import RunState
from refstack_worker.server.app import create_app
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.attempts import Release
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import subunit_v1
from refstack_worker.server.serving.responses import UploadFile
from tests.support.ledgers import PASSWORD, Event, claimed, make_settings, queued, stream, submit
from tests.support.legacy_calls import STREAM, bearer, number_of, post, proof


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return create_app(ledger).test_client()


class TestPostResult:
    def test_201_and_the_run_is_finished(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        answer = post(client, job, summary=json.dumps({"exit_code": 1, "cpid": "abc"}))
        assert answer.status_code == 201
        assert answer.json == {"message": "thank you", "test_id": number_of(job), "attempt": 1}
        assert ledger.runs.get(number_of(job)).state is RunState.FINISHED
        assert ledger.results.get(number_of(job))["summary"]["cpid"] == "abc"
        assert list((ledger.settings.data / "uploads").iterdir()) == []

    def test_what_killed_processes_left_is_removed_when_it_is_old(self, ledger: Ledger) -> None:
        """Results as they were posted, and folders with what was made of them: their secrets are not masked yet."""
        uploads = ledger.settings.data / "uploads"
        for name, age in (("old", 2 * 86400), ("new", 60)):
            folder, file = uploads / f"refstack-{name}", uploads / f"upload-{name}"
            (folder / "v2").mkdir(parents=True)
            file.touch()
            for path in (folder, file):
                os.utime(path, (time.time() - age,) * 2)
        create_app(ledger)
        assert {path.name for path in uploads.iterdir()} == {"refstack-new", "upload-new"}

    def test_201_again_for_the_same_and_409_for_other_bytes(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        first, again = post(client, job), post(client, job)
        assert (first.status_code, again.status_code, first.json) == (201, 201, again.json)
        other = post(client, job, stream([Event("x")]))
        assert (other.status_code, other.json["reason"]) == (409, "accepted")
        assert len(ledger.results.tests(number_of(job), ResultQuery())) == 2

    def test_409_for_a_superseded_attempt(self, client: FlaskClient, ledger: Ledger) -> None:
        old = claimed(ledger)
        ledger.attempts.requeue(old.submission.key, Release.LOST, "silent")
        submit(ledger, number_of(old))
        answer = post(client, old)
        assert (answer.status_code, answer.json["reason"]) == (409, "superseded")

    def test_409_for_a_cancelled_run(self, client: FlaskClient, ledger: Ledger) -> None:
        job = queued(ledger)
        ledger.runs.cancel(number_of(job), "me")
        assert post(client, job).status_code == 409

    def test_who_may_not(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert post(client, job, headers={}).status_code == 401
        assert post(client, job, headers=bearer(new_secret())).status_code == 403
        assert post(client, job, headers=proof(claimed(ledger))).status_code == 403
        assert post(client, job, query=f"?test_id={number_of(job)}&attempt=2").status_code == 403
        assert post(client, job, query="?test_id=999").status_code == 404
        assert ledger.runs.get(number_of(job)).state is RunState.CLAIMED

    @pytest.mark.parametrize("data", [None, b"", b"<html>", STREAM[:-5], b"\xb3" * 90], ids=str)
    def test_400_for_what_is_no_result(self, client: FlaskClient, ledger: Ledger, data: bytes | None) -> None:
        job = claimed(ledger)
        assert post(client, job, data).status_code == 400
        assert ledger.runs.get(number_of(job)).state is RunState.CLAIMED
        assert list((ledger.settings.data / "uploads").iterdir()) == []

    def test_503_while_the_disk_is_full(
        self, client: FlaskClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        job = claimed(ledger)
        with monkeypatch.context() as patch:
            patch.setattr("tempfile.NamedTemporaryFile", lambda **_: open("/dev/full", "w+b", buffering=0))
            answer = post(client, job)
        assert (answer.status_code, answer.json["reason"]) == (503, "disk-full")
        assert int(answer.headers["Retry-After"]) > 0
        assert "DATA_FOLDER" in caplog.text and "Traceback" not in caplog.text
        assert post(client, job).status_code == 201

    def test_nothing_of_an_upload_waits_to_be_written(self, tmp_path: Path) -> None:
        # on a full disk its closing would fail once more, with a traceback in the log
        upload = UploadFile(tmp_path, 100)
        assert upload.write(b"abc") == 3
        assert upload.path.read_bytes() == b"abc"
        upload.close()
        assert list(tmp_path.iterdir()) == []

    def test_tempests_log_comes_along_and_is_given_out_masked(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        log = gzip.compress(f"INFO the password is {PASSWORD}\nERROR it failed\n".encode())
        assert post(client, job, log=(io.BytesIO(log), "tempest.log.gz")).status_code == 201
        headers = {"Authorization": f"Bearer {ledger.tokens.add('op', ['operator'])[1]}"}
        answer = client.get(f"/v1/runs/{number_of(job)}/log", headers=headers)
        assert answer.mimetype == "text/plain" and answer.text == "INFO the password is ***\nERROR it failed\n"

    def test_a_result_without_a_log_has_none(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert post(client, job).status_code == 201
        headers = {"Authorization": f"Bearer {ledger.tokens.add('op', ['operator'])[1]}"}
        assert client.get(f"/v1/runs/{number_of(job)}/log", headers=headers).status_code == 404

    @pytest.mark.parametrize("summary", ["{", "[]", '{"a": 1, "a": 2}', '{"x": "' + "y" * 70_000 + '"}'])
    def test_400_for_a_malformed_summary(self, client: FlaskClient, ledger: Ledger, summary: str) -> None:
        job = claimed(ledger)
        assert post(client, job, summary=summary).status_code == 400
        assert ledger.runs.get(number_of(job)).state is RunState.CLAIMED

    def test_400_for_a_malformed_query(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert post(client, job, query=f"?test_id={number_of(job)}&attempt=x").status_code == 400
        assert post(client, job, query="?test_id=-1").status_code == 400

    def test_400_for_a_query_that_is_no_text(self, client: FlaskClient) -> None:
        # as a server hands on bytes that a client did not escape
        answer = client.get("/get-miniconf", environ_overrides={"QUERY_STRING": "\xff\xfetest_id=1"})
        assert answer.status_code == 400 and "UTF-8" in answer.get_json()["error"]

    def test_subunit_of_version_1_is_taken_too(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        secret = f"failure: a.B.test_two [\npassword {PASSWORD} is wrong\n]\n".encode()
        text = b"time: 2026-11-25 21:36:00.000000Z\ntest: a.B.test_one\nsuccess: a.B.test_one\ntest: a.B.test_two\n"
        assert post(client, job, text + secret).status_code == 201
        assert post(client, job, text + secret).status_code == 201, "the same bytes again get the same answer"
        one, two = ledger.results.tests(number_of(job), ResultQuery())
        assert [(test.name, test.status) for test in (one, two)] == [
            ("a.B.test_one", "passed"),
            ("a.B.test_two", "failed"),
        ]
        assert "is wrong" in two.reason and PASSWORD not in two.reason

    def test_subunit_of_version_1_is_limited_for_it_is_collected_in_memory(
        self, client: FlaskClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subunit_v1, "MAX_BYTES", 5000)
        job = claimed(ledger)
        answer = post(client, job, b"test: a.b\nsuccess: a.b [\n" + b"x" * 5000 + b"\n]\n")
        assert answer.status_code == 400 and "version 2" in answer.get_json()["error"]

    def test_anonymous_results_are_refused(self, client: FlaskClient) -> None:
        assert post(client, None).status_code == 401


class TestOlderWays:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> ServerSettings:
        return make_settings(tmp_path, ALLOW_ANONYMOUS_RESULTS=True, MAX_RESULT_MB=1)

    def test_an_anonymous_result_where_the_operator_allows_it(self, client: FlaskClient, ledger: Ledger) -> None:
        answer = post(client, None)
        assert answer.status_code == 201
        assert len(ledger.results.tests(answer.json["test_id"], ResultQuery())) == 2

    def test_a_run_of_the_queue_wants_its_proof_all_the_same(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert post(client, job, headers={}).status_code == 401
        assert client.get(f"/get-miniconf?test_id={number_of(job)}").status_code == 401

    def test_a_test_of_old_gets_its_mini_conf(self, client: FlaskClient, ledger: Ledger) -> None:
        with ledger.database.writing() as connection:
            connection.execute(insert(legacy_tables.test).values(id=77, finished=False))
        assert client.get("/get-miniconf?test_id=77").json == {"identity": {"auth_version": "v3"}}
        assert client.get("/get-testcases?test_id=77").json == {"testcases": ["tempest"]}
        assert client.get("/get-miniconf?test_id=78").status_code == 404

    def test_a_test_of_old_takes_its_result_without_proof_once(self, client: FlaskClient, ledger: Ledger) -> None:
        with ledger.database.writing() as connection:
            connection.execute(insert(legacy_tables.test).values(id=77, finished=False))
        assert post(client, None, query="?test_id=77").status_code == 201
        assert [test.name for test in ledger.results.tests(77, ResultQuery())] == ["a.B.test_c", "a.B.test_d"]
        assert post(client, None, query="?test_id=77").status_code == 201, (
            "the same bytes again, as after a lost answer"
        )
        other = post(client, None, stream([Event("a.other")]), query="?test_id=77")
        assert (other.status_code, other.json["reason"]) == (409, "accepted")
        assert post(client, None, query="?test_id=78").status_code == 404

    def test_413_for_a_result_beyond_the_limit(self, client: FlaskClient, ledger: Ledger) -> None:
        job = claimed(ledger)
        assert post(client, job, stream([Event("t")], padding=1_100_000)).status_code == 413
        assert ledger.runs.get(number_of(job)).state is RunState.CLAIMED
        assert list((ledger.settings.data / "uploads").iterdir()) == []
