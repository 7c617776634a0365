"""Retention once more, on a real PostgreSQL; and two that remove at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock, new_run
from tests.unit.server.test_retention import *  # noqa: F403


def test_two_at_once_share_the_work(ledger: Ledger, clock: Clock) -> None:
    for _ in range(60):
        ledger.runs.cancel(ledger.runs.add(new_run()).test_id, "me")
    clock.forward(1)

    def prune(_: int) -> int:
        return sum(iter(lambda: ledger.retention.prune(clock(), 5), 0))

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(prune, range(2))) == 60
    assert ledger.queue.count_states() == {}
