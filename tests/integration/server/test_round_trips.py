"""How often the usual life of a run asks PostgreSQL: that is most of what a dispatch costs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import event, insert

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.app import create_app
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.attempts import Claim, QueuedJob
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.client import QueueClient, Sealed
from tests.support.ledgers import Job, new_run


class Kept:
    """A dispatcher that seals as the queue client does, and keeps what it should submit."""

    def __init__(self, client: QueueClient) -> None:
        self._client = client
        self.sealed: list[Sealed] = []

    def seal(self, submission) -> Sealed:
        return self._client.seal(submission)

    def submit(self, sealed: Sealed) -> None:
        self.sealed.append(sealed)

    def __call__(self) -> None:
        raise AssertionError("the run should have been sealed while it was recorded")


@pytest.fixture
def statements(ledger: Ledger) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_connection, _cursor, statement: str, *_more) -> None:
        found.append(statement)

    def begun(_connection) -> None:
        found.append("BEGIN")

    for engine in (ledger.database.engine, ledger.database._single):
        event.listen(engine, "before_cursor_execute", note)
    event.listen(ledger.database.engine, "begin", begun)
    event.listen(ledger.database.engine, "commit", lambda _connection: found.append("COMMIT"))
    yield found


def test_recorded_submitted_claimed_and_ended(ledger: Ledger, statements: list[str]) -> None:
    kept = Kept(QueueClient(ledger.settings))
    ledger.runs.dispatcher = kept
    counts = {}
    statements.clear()
    run = ledger.runs.add(new_run(created_by="me", idempotency_key="k", request_digest="d"))
    counts["recorded"] = len(statements)
    (sealed,) = kept.sealed
    statements.clear()
    ledger.submissions.submitted([QueuedJob(sealed.key, "queue:4730", "H:1", "function", 0.0)])
    counts["submitted"] = len(statements)
    job = Job(sealed.submission, sealed.envelope)
    statements.clear()
    assert ledger.attempts.claim(job.proof, Claim(job.claim_id, "node-1", "47.0.0", "")).granted
    counts["claimed"] = len(statements)
    statements.clear()
    ledger.attempts.report(job.proof, Report(RunState.FAILED, "nothing to do", "bad-input"))
    counts["ended"] = len(statements)
    assert ledger.runs.get(run.test_id).state is RunState.FAILED
    assert counts == {"recorded": 2, "submitted": 1, "claimed": 1, "ended": 2}, statements


def test_a_vendors_limits_are_two_questions_more(ledger: Ledger, statements: list[str]) -> None:
    with ledger.database.writing() as connection:
        connection.execute(insert(legacy_tables.user).values(id=1, name="who asks"))
    object.__setattr__(ledger.settings.rules, "max_stored", 1)
    object.__setattr__(ledger.settings.rules, "max_open_runs", 2)
    ledger.runs.dispatcher = Kept(QueueClient(ledger.settings))
    statements.clear()
    ledger.runs.add(new_run(owner_id=1))
    assert len(statements) == 4, statements


def test_a_run_is_recorded_with_its_entry_in_the_audit_log(ledger: Ledger, statements: list[str]) -> None:
    headers = {"Authorization": f"Bearer {ledger.tokens.add('ops', ['operator'])[1]}", "Idempotency-Key": "once"}
    client = create_app(ledger).test_client()
    body = {"tempest_version": "47.0.0", "conf_json": {"identity": {"password": "pw-9"}}, "label": "nightly"}
    statements.clear()
    assert client.post("/v1/runs", json=body, headers=headers).status_code == 201
    # beside what is asked and noted of the token
    _, recorded = (one for one in statements if one.startswith("EXECUTE"))
    assert "run_test_id" in recorded and "entry_actor" in recorded
    (entry,) = ledger.audit.entries()
    assert (entry.actor, entry.action, entry.target) == ("ops", "create run", "/v1/runs (label: nightly)")
    # the same request again makes no run, and is noted as well
    assert client.post("/v1/runs", json=body, headers=headers).status_code == 201
    assert [one.action for one in ledger.audit.entries()] == ["create run"] * 2


def test_a_run_that_is_not_recorded_is_not_in_the_audit_log(ledger: Ledger) -> None:
    headers = {"Authorization": f"Bearer {ledger.tokens.add('ops', ['operator'])[1]}"}
    body = {"tempest_version": "47.0.0", "conf_json": {"identity": {"password": "pw-9"}}, "test_id": 4711}
    client = create_app(ledger).test_client()
    assert client.post("/v1/runs", json=body, headers=headers).status_code == 404
    assert client.post("/v1/runs", json={**body, "test_id": None, "cloud_id": 99}, headers=headers).status_code == 400
    assert ledger.audit.entries() == []
