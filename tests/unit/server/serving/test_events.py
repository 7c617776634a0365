from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import insert

from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.serving.events import Hub
from tests.support.ledgers import Clock, new_run, submit


@pytest.mark.parametrize(("took", "pause"), [(0.002, 0.25), (0.02, 0.4), (3.0, 1.0)])
def test_rounds_take_a_twentieth_of_a_core_at_most_unless_they_are_very_long(
    ledger: Ledger, took: float, pause: float
) -> None:
    assert Hub(ledger, 10)._pause(took) == pytest.approx(pause)


class TestEvents:
    def test_a_stream_tells_what_happens_and_ends_with_the_run(self, ledger: Ledger) -> None:
        hub = Hub(ledger, 10, 0.01)
        run = ledger.runs.add(new_run())
        stream_of = hub.stream(run.test_id)
        assert next(stream_of).startswith("retry:")
        assert '"message": "queued"' in next(stream_of)
        assert json.loads(next(stream_of).partition("data: ")[2])["state"] == "queued"
        job = submit(ledger, run.test_id)
        ledger.attempts.claim(job.proof, Claim(job.claim_id, "node", "47.0.0"))
        ledger.attempts.report(job.proof, Report(RunState.FAILED, "the cloud is away", "cloud"))
        rest = "".join(stream_of)
        assert "failed: the cloud is away" in rest and rest.rstrip().endswith('data: {"state": "failed"}')

    def test_two_hundred_watchers_ask_the_database_no_more_than_one(self, ledger: Ledger) -> None:
        hub = Hub(ledger, 1000, 0.01)
        run = ledger.runs.add(new_run())
        streams = [hub.stream(run.test_id) for _ in range(200)]
        for one in streams:
            next(one)
        asked: list[Any] = []
        real = ledger.runs.watched
        ledger.runs.watched = lambda after: asked.append(after) or real(after)  # type: ignore[method-assign,func-returns-value]
        for one in streams:
            assert "queued" in next(one)
        assert all(len(after) == 1 for after in asked)
        for one in streams:
            one.close()

    def test_a_node_that_falls_silent_is_told_and_one_that_is_back(self, ledger: Ledger, clock: Clock) -> None:
        run = ledger.runs.add(new_run())
        job = submit(ledger, run.test_id)
        ledger.attempts.claim(job.proof, Claim(job.claim_id, "node", "47.0.0"))
        stream = (one for one in Hub(ledger, 10, 0.01).stream(run.test_id) if one.startswith("event: run"))
        told = [json.loads(next(stream).partition("data: ")[2])["silent_seconds"]]
        clock.forward(12)
        told.append(json.loads(next(stream).partition("data: ")[2])["silent_seconds"])
        ledger.attempts.heartbeat(job.proof, job.claim_id, Progress())
        told.append(json.loads(next(stream).partition("data: ")[2])["silent_seconds"])
        assert told == [0, 10, 0]

    def test_who_comes_back_hears_only_what_is_new(self, ledger: Ledger) -> None:
        run = ledger.runs.add(new_run())
        last = ledger.runs.messages(run.test_id)[-1].id
        told = Hub(ledger, 10, 0.01).stream(run.test_id, last)
        next(told)
        assert next(told).startswith("event: run")
        told.close()

    def test_above_the_limit_a_stream_is_short(self, ledger: Ledger) -> None:
        run = ledger.runs.add(new_run())
        assert "queued" in "".join(Hub(ledger, 0, 0.01).stream(run.test_id))

    def test_a_stream_of_all_runs_tells_those_that_one_sees(self, ledger: Ledger) -> None:
        hub = Hub(ledger, 10, 0.01)
        stream = hub.stream_all(lambda run: run["owner_id"] == 2)
        assert next(stream).startswith("retry:")
        ledger.accounts.add_user("ann", "a@x")
        ledger.accounts.add_user("bob", "b@x")
        ledger.runs.add(new_run(owner_id=1))
        mine = ledger.runs.add(new_run(owner_id=2))
        told = [json.loads(next(stream).partition("data: ")[2])]
        ledger.runs.cancel(mine.test_id, "bob")
        told.append(json.loads(next(stream).partition("data: ")[2]))
        assert [(one["test_id"], one["state"], one["is_end"]) for one in told] == [
            (mine.test_id, "queued", False),
            (mine.test_id, "cancelled", True),
        ]
        assert "owner_id" not in told[0]
        stream.close()

    def test_one_account_has_half_of_the_streams(self, ledger: Ledger) -> None:
        hub, run = Hub(ledger, 4, 0.01), ledger.runs.add(new_run())
        mine = [hub.stream(run.test_id, account="user 1") for _ in range(2)]
        for one in mine:
            next(one)
        assert "queued" in "".join(hub.stream(run.test_id, account="user 1")), "this one ends at once"
        other = hub.stream(run.test_id, account="user 2")
        told = [next(other) for _ in range(3)]
        ledger.runs.cancel(run.test_id, "ann")
        assert "event: end" in "".join(other) and "queued" in told[2], "this one goes on"
        for one in mine:
            one.close()
        again = hub.stream(run.test_id, account="user 1")
        assert "event: end" in "".join(again)

    def test_a_row_that_makes_no_sense_stops_nobodys_stream(self, ledger: Ledger) -> None:
        hub = Hub(ledger, 10, 0.01)
        run = ledger.runs.add(new_run())
        watched = ledger.runs.watched
        broken: list[int] = []

        def once_broken(after: dict[int, int]) -> Any:
            if not broken:
                broken.append(1)
                raise ValueError("not what this program wrote")
            return watched(after)

        ledger.runs.watched = once_broken  # type: ignore[method-assign]
        told = hub.stream(run.test_id)
        assert '"queued"' in "".join(next(told) for _ in range(3)) and broken
        told.close()

    def test_a_message_of_refstacks_own_without_a_time_is_shown(self, ledger: Ledger) -> None:
        run = ledger.runs.add(new_run())
        with ledger.database.writing() as connection:
            row = {"test_id": run.test_id, "message": "by hand", "timestamp": None}
            connection.execute(insert(legacy_tables.test_status).values(row))
        told = Hub(ledger, 10, 0.01).stream(run.test_id)
        assert "by hand" in "".join(next(told) for _ in range(3))
        told.close()

    def test_a_clock_that_was_ahead_silences_no_stream_of_all_runs(self, ledger: Ledger, clock: Clock) -> None:
        told = Hub(ledger, 10, 0.01).stream_all(lambda _run: True)
        next(told)
        clock.forward(30 * 86400)
        ledger.runs.add(new_run())
        assert "event: run" in next(told)
        clock.forward(-30 * 86400)
        later = ledger.runs.add(new_run())
        assert f'"test_id": {later.test_id}' in next(told)
        told.close()
