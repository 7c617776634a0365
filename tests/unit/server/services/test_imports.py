"""Results that others made: taken in whole, judged, and marked as not run here."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.contract.states import RunState
from refstack_worker.errors import LedgerError
from refstack_worker.server.app import create_app
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.guidelines import StoredGuideline
from refstack_worker.server.domain.runs import IMPORTED, NewRun, RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import confined, subunit, subunit_v1
from refstack_worker.server.services import imports
from tests.support.ledgers import Clock, Event, stream
from tests.unit.server.domain.test_verdict import UUIDS, schema_2

GET, PUT = f"tempest.a.T.test_get[id-{UUIDS[4]}]", f"tempest.a.T.test_put[id-{UUIDS[1]}]"
V2 = stream([Event(PUT), Event(GET, "fail", "Traceback\nboom"), Event("tempest.a.T.test_old", "skip", "no network")])
V1 = io.BytesIO()
subunit_v1.to_v1(io.BytesIO(V2), V1)
CLIENT = {
    "cpid": "abc",
    "duration_seconds": 7,
    "results": [{"name": "tempest.a.T.test_put", "uuid": UUIDS[1]}, {"name": "tempest.a.T.test_get"}],
}


class Vendor:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        user = ledger.accounts.add_user("ann", "a@x").id
        self.token = ledger.tokens.add("ann", ["vendor"], user)[1]
        self.client = create_app(ledger).test_client()
        ledger.guidelines.add(schema_2(), StoredGuideline(0, "", ""))

    def take_in(self, data: bytes, **more: Any) -> Any:
        body = {"content": base64.b64encode(data).decode(), "tempest_version": "47.0.0", **more}
        return self.ask("POST", "/v1/imports", body)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        given = {"json": body} if body is not None else {}
        return self.client.open(path, method=method, headers={"Authorization": f"Bearer {self.token}"}, **given)


@pytest.fixture
def vendor(ledger: Ledger) -> Vendor:
    return Vendor(ledger)


@pytest.mark.parametrize("data", [V2, V1.getvalue()], ids=["v2", "v1"])
def test_a_stream_of_either_version_is_taken_in_and_judged(vendor: Vendor, data: bytes) -> None:
    answer = vendor.take_in(data, cpid="c0ffee", label="June", guideline={"name": "2020.06", "program": "Storage"})
    assert answer.status_code == 201, answer.json
    run = answer.json
    assert (run["kind"], run["state"], run["label"]) == ("imported", "finished", "June")
    assert run["counts"] == {"passed": 1, "failed": 1, "skipped": 1}
    verdict = vendor.ask("GET", f"/v1/runs/{run['test_id']}/verdict").json
    assert (verdict["required"]["passed"], verdict["required"]["total"]) == (1, 3)
    signed = vendor.ask("GET", f"/v1/runs/{run['test_id']}/exports/verdict").json["document"]
    assert (signed["run"]["kind"], signed["cloud"]["cpid"], signed["node"]["name"]) == ("imported", "c0ffee", "")


def test_what_refstack_client_made_is_taken_in(vendor: Vendor) -> None:
    run = vendor.take_in(json.dumps(CLIENT).encode()).json
    assert run["counts"] == {"passed": 2, "failed": 0, "skipped": 0}
    again = vendor.ask("GET", f"/v1/runs/{run['test_id']}/exports/refstack").json
    assert again["cpid"] == "abc"
    assert again["results"] == [{"name": "tempest.a.T.test_put", "uuid": UUIDS[1]}, {"name": "tempest.a.T.test_get"}]


@pytest.mark.parametrize(
    ("stated", "taken"),
    [(7, 7), (7.6, 8), (-7, 0), (10**12, 0), ("7", 0)],
)
def test_the_duration_that_refstack_client_states_is_passed_on(vendor: Vendor, stated: Any, taken: int) -> None:
    run = vendor.take_in(json.dumps({**CLIENT, "duration_seconds": stated}).encode()).json
    assert vendor.ask("GET", f"/v1/runs/{run['test_id']}/exports/refstack").json["duration_seconds"] == taken
    assert vendor.ask("GET", f"/v1/runs/{run['test_id']}/exports/json").status_code == 200


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_json_that_was_saved_on_windows_is_taken_in(vendor: Vendor, coding: str) -> None:
    run = vendor.take_in(json.dumps(CLIENT).encode(coding)).json
    assert run["counts"] == {"passed": 2, "failed": 0, "skipped": 0}


def test_what_refstack_itself_gives_out_is_taken_in(vendor: Vendor) -> None:
    """It lists names alone, or names as Tempest lists them, with their attributes."""
    whole = {"name": f"tempest.a.T.test_get[id-{UUIDS[4]},smoke]", "uuid": UUIDS[4].upper()}
    data = {"id": "1", "cpid": "abc", "results": ["tempest.a.T.test_put", whole], "meta": {}}
    run = vendor.take_in(json.dumps(data).encode()).json
    again = vendor.ask("GET", f"/v1/runs/{run['test_id']}/exports/refstack").json
    assert again["results"] == [{"name": "tempest.a.T.test_put"}, {"name": "tempest.a.T.test_get", "uuid": UUIDS[4]}]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({**CLIENT, "cpid": None}, "does not say which cloud"),
        ({"results": CLIENT["results"]}, "does not say which cloud"),
    ],
)
def test_a_request_for_refstack_that_cannot_be_made_is_refused(vendor: Vendor, data: Any, why: str) -> None:
    run = vendor.take_in(json.dumps(data).encode()).json
    answer = vendor.ask("GET", f"/v1/runs/{run['test_id']}/exports/refstack")
    assert answer.status_code == 400 and why in answer.json["detail"]


def test_a_request_for_refstack_needs_a_test_that_passed(vendor: Vendor) -> None:
    run = vendor.take_in(stream([Event(PUT, "fail", "boom")]), cpid="abc").json
    answers = [vendor.ask("GET", f"/v1/runs/{run['test_id']}/exports/refstack") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {400}
    assert "no test passed" in answers[0].json["detail"]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_compressed_result_is_named_so(vendor: Vendor, pack: Callable[[bytes], bytes]) -> None:
    answer = vendor.take_in(pack(V2))
    assert answer.status_code == 400 and "decompress it" in answer.json["detail"], answer.json


@pytest.mark.parametrize(
    "data",
    [b"hello", b"{}", b"[]", b"\xb3\x29", b'{"results": []}', b'{"results": [1]}', V2[:-3], b"\xff" * 50],
)
def test_what_is_no_result_leaves_no_run(vendor: Vendor, data: bytes) -> None:
    answer = vendor.take_in(data)
    assert answer.status_code == 400, answer.json
    assert vendor.ask("GET", "/v1/runs").json["runs"] == []


def test_the_version_and_the_content_are_needed(vendor: Vendor) -> None:
    assert vendor.ask("POST", "/v1/imports", {"content": "AAAA"}).status_code == 400
    assert vendor.ask("POST", "/v1/imports", {"content": "é", "tempest_version": "47.0.0"}).status_code == 400
    assert vendor.take_in(V2, tempest_version="47").status_code == 400


def test_a_stream_goes_to_version_1_and_back(tmp_path: Path) -> None:
    back = io.BytesIO()
    subunit_v1.to_v2(V1.getvalue(), back)
    (tmp_path / "stream").write_bytes(back.getvalue())
    parsed = subunit.parse(tmp_path / "stream", tmp_path / "rows")
    assert [(test.name, test.uuid, test.status) for test in parsed.tests] == [
        ("tempest.a.T.test_put", UUIDS[1], "passed"),
        ("tempest.a.T.test_get", UUIDS[4], "failed"),
        ("tempest.a.T.test_old", "", "skipped"),
    ]
    assert b"successful: " in V1.getvalue() and b"boom" in V1.getvalue() and b"no network" in V1.getvalue()


def test_a_result_is_given_out_as_version_1(vendor: Vendor) -> None:
    run = vendor.take_in(V2).json
    given = vendor.ask("GET", f"/v1/runs/{run['test_id']}/exports/subunit-v1")
    assert given.status_code == 200 and given.data == V1.getvalue()


def test_a_test_that_did_not_end_in_version_1_has_failed(vendor: Vendor) -> None:
    assert vendor.take_in(b"test: a.B.c\n").json["counts"] == {"passed": 0, "failed": 1, "skipped": 0}


GROWS = b"".join(b"tags: t%d\n" % number for number in range(500)) + b"test: a\nsuccess: a\n" * 500
"""Each test carries all tags: what is written grows with the square."""


def test_a_result_that_grows_when_it_is_read_is_stopped(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vendor.take_in(GROWS).status_code == 201
    monkeypatch.setattr(confined, "MAX_FILE", 100_000)
    answer = vendor.take_in(GROWS)
    assert answer.status_code == 400 and "too much space" in answer.text
    assert len(vendor.ask("GET", "/v1/runs").json["runs"]) == 1


def test_a_result_that_takes_too_long_is_stopped(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a traceback are put together one by one: a megabyte of short ones takes minutes."""
    monkeypatch.setattr(confined, "MAX_CPU_SECONDS", 1)
    answer = vendor.take_in(b"test: a\nfailure: a [\n" + b"x\n" * 1_000_000 + b"]\n")
    assert answer.status_code == 400 and "takes too long" in answer.text


def test_a_result_has_so_many_tests_and_no_more(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "MAX_TESTS", 2)
    answer = vendor.take_in(V2)
    assert answer.status_code == 400 and "3 tests" in answer.json["detail"]
    assert vendor.ask("GET", "/v1/runs").json["runs"] == []


def test_one_import_at_a_time(vendor: Vendor) -> None:
    with imports.TURNS.turn("user 1"):
        assert vendor.take_in(V2).status_code == 429
    assert vendor.take_in(V2).status_code == 201


def test_an_import_that_this_server_cannot_store_leaves_no_run(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_turn(*_: object) -> None:
        raise LedgerError("result: other large results are being read; post it again")

    monkeypatch.setattr(imports.acceptance, "accept", no_turn)
    assert vendor.take_in(V2).status_code == 503
    assert vendor.ask("GET", "/v1/runs").json["runs"] == []


def test_an_import_cut_off_by_the_end_of_its_process_does_not_become_a_run_of_the_queue(
    ledger: Ledger, clock: Clock
) -> None:
    new = NewRun(RunSpec(tempest_version="47.0.0"), kind=IMPORTED)
    key = ledger.runs.add_held(new, Claim("c", "imported", "47.0.0")).key
    clock.forward(ledger.settings.rules.heartbeat_limit + 1)
    assert [one.key for one in ledger.deadlines.silent()] == [key]
    ledger.deadlines.lose_silent(key, "no heartbeat")
    run = ledger.runs.get(key.test_id)
    assert (run.state, run.reason, run.attempt) == (RunState.FAILED, "import", 1)
    assert ledger.submissions.next() == []
