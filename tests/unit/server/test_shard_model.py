"""Runs that are split, under any order of what nodes, monitors and vendors may do.

No shard has two holders, the run has at most one result that counts each test once, it ends when its shards do, and
nothing of it goes on afterwards.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select

from refstack_worker.contract.execute_test import NOTHING_ON_CLOUD
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefusedError, StateError
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.domain.shards import ShardPlan
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.services import shard_results
from tests.support.ledgers import CONF, Clock, Event, Job, make_settings, new_run, stream, submit

CLASSES = tuple(f"tempest.api.x.Test{number}" for number in range(4))
NUMBERS = some.integers(1, 4)
WORKERS = some.sampled_from(["node-1", "node-2"])


class SplitRun(RuleBasedStateMachine):
    """One run of three shards, and a fourth that waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="refstack-shards-"))
        self.clock = Clock()
        self.ledger = Ledger(make_settings(self.folder), self.clock)
        self.ledger.upgrade()
        self.jobs: dict[int, Job] = {}
        self.run = 0
        self.cancelled = False

    @initialize()
    def record(self) -> None:
        plans = [ShardPlan((name,), 1, CONF) for name in CLASSES[:3]] + [ShardPlan((CLASSES[3],), 1, is_last=True)]
        spec = RunSpec(tempest_version="47.0.0", shards=3)
        self.run = self.ledger.runs.add(new_run(spec=spec, shards=tuple(plans))).test_id

    def teardown(self) -> None:
        # all the nodes are dead; the monitor looks, and everything ends by itself
        for _ in range(12):
            self.clock.forward(20_000)
            self.monitor_looks()
        assert self.ledger.runs.get(self.run).state.is_end
        assert self.ledger.shards.going_on() == []
        self.ledger.close()
        shutil.rmtree(self.folder)

    @rule(number=NUMBERS, worker=WORKERS)
    def take(self, number: int, worker: str) -> None:
        shard = self.ledger.shards.of_run(self.run)[number - 1]
        if shard.test_id is None:
            assert number == 4
            return
        with suppress(ValueError):
            job = submit(self.ledger, shard.test_id).by(f"claim-of-{worker}")
            if self.ledger.attempts.claim(job.proof, Claim(job.claim_id, worker, "47.0.0")).granted:
                self.jobs[number] = job

    @rule(number=NUMBERS)
    def post(self, number: int) -> None:
        job = self.jobs.get(number)
        if job is None:
            return
        file = self.folder / "upload"
        file.write_bytes(stream([Event(f"{CLASSES[number - 1]}.test_a")]))
        with suppress(RefusedError):
            acceptance.accept(self.ledger, job.proof, Upload.of(file, {}))

    @rule(number=NUMBERS, state=some.sampled_from([RunState.RUNNING, RunState.FAILED, RunState.CANCELLED]))
    def report(self, number: int, state: RunState) -> None:
        self._say(number, state, "a word")

    @rule(number=NUMBERS)
    def none_of_its_tests_can_run(self, number: int) -> None:
        self._say(number, RunState.FAILED, f"{NOTHING_ON_CLOUD}: no service")

    def _say(self, number: int, state: RunState, message: str) -> None:
        job = self.jobs.get(number)
        if job is not None:
            with suppress(RefusedError, StateError):
                self.ledger.attempts.report(job.proof, Report(state, message))

    @rule(number=NUMBERS)
    def heartbeat(self, number: int) -> None:
        job = self.jobs.get(number)
        if job is not None:
            self.ledger.attempts.heartbeat(job.proof, job.claim_id)

    @rule()
    def all_nodes_are_silent(self) -> None:
        self.clock.forward(61.0)
        self.monitor_looks()

    @rule()
    def cancel(self) -> None:
        with suppress(StateError):
            self.ledger.runs.cancel(self.run, "the vendor")
            self.cancelled = True

    @rule()
    def shards_move_it_on(self) -> None:
        """A monitor that dies before it merges."""
        for test_id in self.ledger.shards.going_on():
            self.ledger.shards.advance(test_id)

    @rule()
    def monitor_looks(self) -> None:
        for attempt in self.ledger.deadlines.silent():
            self.ledger.deadlines.lose_silent(attempt.key, "silent")
        for overdue in self.ledger.deadlines.overdue():
            self.ledger.deadlines.expire(overdue)
        for test_id in self.ledger.shards.going_on():
            shard_results.advance(self.ledger, test_id)

    @rule()
    def merge_again(self) -> None:
        """Another monitor, which had found that all shards have ended."""
        if self.ledger.runs.get(self.run).state.is_end:
            assert not shard_results.merge(self.ledger, self.run)

    @invariant()
    def the_whole_agrees_with_its_parts(self) -> None:
        if not self.run:
            return
        run, shards = self.ledger.runs.get(self.run), self.ledger.shards.of_run(self.run)
        table = queue_tables.result_test
        with self.ledger.database.reading() as connection:
            tests = connection.execute(select(table.c.test_id, table.c.name)).all()
        whole = [name for test_id, name in tests if test_id == self.run]
        assert (run.state is RunState.FINISHED) == bool(whole)
        if whole:
            assert len(tests) == len(whole), "a test is counted for the run and for a shard"
            assert len(set(whole)) == len(whole)
            assert all(one.state.is_end and one.test_id is not None for one in shards)
            done = [f"{CLASSES[one.number - 1]}.test_a" for one in shards if one.state is RunState.FINISHED]
            assert sorted(whole) == sorted(done)
        if any(one.test_id is not None for one in shards[3:]):
            assert all(one.state.is_end for one in shards[:3]), "it must not run beside the others"
        assert not (self.cancelled and run.state is RunState.FINISHED)


TestSplitRun = SplitRun.TestCase
TestSplitRun.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
