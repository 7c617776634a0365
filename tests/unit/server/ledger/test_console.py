"""The live console in the ledger: each line once, in order, masked, only from who holds the attempt."""

from __future__ import annotations

import json

import pytest

from refstack_worker.contract import console as contract
from refstack_worker.contract.console import Batch, RequestLine, TestLine
from refstack_worker.contract.secrets import MASK
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefusedError
from refstack_worker.server.domain.attempts import Release
from refstack_worker.server.ledger.console import ConsoleState
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import PASSWORD, Job, claimed


def line(number: int) -> RequestLine:
    return RequestLine(1000.0 + number, "GET", f"/v3/{number}", 200, 12, "identity", "req-1", "T:test")


def batch(first: int, count: int) -> Batch:
    return Batch(first, tuple(line(first + number) for number in range(count)))


@pytest.fixture
def job(ledger: Ledger) -> Job:
    return claimed(ledger)


def add(ledger: Ledger, job: Job, given: Batch) -> ConsoleState:
    return ledger.console.add(job.proof, job.claim_id, given)


def numbers(ledger: Ledger, job: Job, after: int = -1, limit: int = 1000) -> list[int]:
    page = ledger.console.page(job.submission.key.test_id, after, limit)
    assert all(one["path"] == f"/v3/{one['number']}" for one in page.lines)
    return [one["number"] for one in page.lines]


def test_each_line_is_there_once_and_in_order(ledger: Ledger, job: Job) -> None:
    assert add(ledger, job, batch(0, 3)).next == 3
    # sent again, overlapping, and from behind a gap
    assert add(ledger, job, batch(0, 3)).next == 3
    assert add(ledger, job, batch(2, 3)).next == 5
    assert add(ledger, job, batch(9, 1)).next == 5
    assert numbers(ledger, job) == [0, 1, 2, 3, 4]
    assert numbers(ledger, job, 1, 2) == [2, 3]
    assert numbers(ledger, job, 4) == []


def test_secrets_are_masked(ledger: Ledger, job: Job) -> None:
    secret = RequestLine(1.0, "GET", f"/v3/x?password={PASSWORD}", 200, 1)
    add(ledger, job, Batch(0, (secret, TestLine(2.0, f"t.{PASSWORD}", "started"))))
    page = ledger.console.page(job.submission.key.test_id, -1, 10)
    assert len(page.lines) == 2 and PASSWORD not in str(page.lines)


def test_a_run_without_secrets_has_nothing_to_hide(ledger: Ledger) -> None:
    job = claimed(ledger, conf_json={})
    add(ledger, job, Batch(0, (line(0), TestLine(2.0, "t.test_x", "started"))))
    page = ledger.console.page(job.submission.key.test_id, -1, 10)
    assert [one.get("path") or one["test"] for one in page.lines] == ["/v3/0", "t.test_x"]


def test_what_cannot_be_masked_is_withheld_but_for_how_it_went(
    ledger: Ledger, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger.console.maskers, "of_row", lambda *_: None)
    add(ledger, job, Batch(0, (line(0), TestLine(2.0, "t.test_x", "failed", 1.0))))
    request, test = ledger.console.page(job.submission.key.test_id, -1, 10).lines
    assert (request["path"], request["status"], test["test"], test["status"]) == (MASK, 200, MASK, "failed")


def test_only_who_holds_the_attempt_adds_lines(ledger: Ledger, job: Job) -> None:
    with pytest.raises(RefusedError) as refused:
        ledger.console.add(job.proof, "another claim", batch(0, 1))
    assert refused.value.reason == "claimed"
    ledger.attempts.requeue(job.submission.key, Release.LOST, "silent")
    with pytest.raises(RefusedError) as refused:
        add(ledger, job, batch(0, 1))
    assert refused.value.reason == "superseded"


def test_the_last_lines_may_come_after_the_end(ledger: Ledger, job: Job) -> None:
    add(ledger, job, batch(0, 1))
    ledger.attempts.report(job.proof, Report(RunState.FAILED, "time limit", "timeout"))
    assert add(ledger, job, batch(1, 2)).next == 3
    ledger.console.maskers.forget()  # another process of the API, after the passwords were wiped
    assert add(ledger, job, batch(3, 1)).next == 4
    assert numbers(ledger, job) == [0, 1, 2, 3]


def test_lines_after_the_end_are_masked_too(ledger: Ledger, job: Job) -> None:
    ledger.attempts.report(job.proof, Report(RunState.FAILED, "time limit", "timeout"))
    ledger.console.maskers.forget()  # another process of the API, after the passwords were wiped
    secret = RequestLine(1.0, "GET", f"/v3/x?password={PASSWORD}", 200, 1)
    assert add(ledger, job, Batch(0, (secret,))).next == 1
    assert ledger.console.page(job.submission.key.test_id, -1, 10).lines[0]["path"] == "/v3/x?password=***"


def test_an_attempt_keeps_so_many_lines_and_no_more(ledger: Ledger, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refstack_worker.server.ledger.console.MAX_LINES", 4)
    assert add(ledger, job, batch(0, 3)) == ConsoleState(3)
    assert add(ledger, job, batch(3, 3)) == ConsoleState(4, True)
    assert add(ledger, job, batch(4, 1)) == ConsoleState(4, True)
    assert numbers(ledger, job) == [0, 1, 2, 3]
    assert contract.MAX_LINES == 100_000


def test_a_page_reads_no_more_batches_than_it_needs(ledger: Ledger, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them together are megabytes, and a page may be asked for many times a second."""
    for first in range(0, 40, 10):
        add(ledger, job, batch(first, 10))
    read: list[object] = []
    loads = json.loads
    monkeypatch.setattr("refstack_worker.server.ledger.console.json.loads", lambda text: read.append(1) or loads(text))
    assert numbers(ledger, job, -1, 5) == [0, 1, 2, 3, 4] and len(read) == 1
    assert numbers(ledger, job, 7, 5) == [8, 9, 10, 11, 12] and len(read) == 3
    assert numbers(ledger, job, 39, 5) == []
    assert numbers(ledger, job) == list(range(40))
