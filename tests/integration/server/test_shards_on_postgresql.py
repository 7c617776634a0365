"""Runs that are split once more, on a real PostgreSQL; and two monitors that merge at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract.states import RunState
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import shard_results
from tests.support.split_runs import ALPHA, BETA, held, post, rows, split
from tests.unit.server.ledger.test_cancelling import *  # noqa: F403
from tests.unit.server.ledger.test_new_shards import *  # noqa: F403
from tests.unit.server.ledger.test_shards import *  # noqa: F403

MONITORS = 4


def test_monitors_that_merge_at_the_same_time_accept_one_result(
    ledger: Ledger, settings: ServerSettings, tmp_path: Path
) -> None:
    run = split(ledger)
    for number, name in enumerate((ALPHA, BETA), 1):
        post(ledger, held(ledger, run, number, f"node-{number}"), tmp_path, f"{name}.test_1")
    assert ledger.shards.advance(run)
    begin, did = threading.Barrier(MONITORS), []

    def merge() -> None:
        own = Ledger(settings, ledger.clock)
        begin.wait(20)
        did.append(shard_results.merge(own, run))
        own.close()

    threads = [threading.Thread(target=merge) for _ in range(MONITORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(did) == [False] * (MONITORS - 1) + [True]
    assert ledger.runs.get(run).state is RunState.FINISHED
    assert rows(ledger) == {run: 2}


def test_a_cancel_and_a_claim_at_the_same_time(ledger: Ledger, settings: ServerSettings) -> None:
    """Whichever is first: no part goes on, and neither waits for the other."""
    for _ in range(5):
        run = split(ledger)
        begin = threading.Barrier(2)

        def claim(run: int = run, begin: threading.Barrier = begin) -> None:
            own = Ledger(settings, ledger.clock)
            begin.wait(20)
            try:
                held(own, run, 1, "node-1")
            except (AssertionError, ValueError):
                pass  # cancelled before
            own.close()

        thread = threading.Thread(target=claim)
        thread.start()
        begin.wait(20)
        ledger.runs.cancel(run, "me")
        thread.join(60)
        assert not thread.is_alive()
        for test_id in ledger.shards.going_on():
            shard_results.advance(ledger, test_id)
        states = {one.state for one in ledger.shards.of_run(run)}
        assert states <= {RunState.CANCELLED, RunState.CANCELLING}
        assert ledger.runs.get(run).state in states
