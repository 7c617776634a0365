"""The ledger under any order of what workers, submitters, monitors and vendors may do, with a clock that is moved.

No run is lost, none has two holders, at most one result is counted, a superseded attempt changes nothing, and every run
ends once its workers are gone and the monitor looks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import Bundle, initialize, invariant, multiple, rule
from sqlalchemy import select, update

from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.states import HELD, RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import LedgerError, RefusedError, StateError
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import Claim, QueuedJob, Release
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.results import acceptance
from tests.support.ledger_world import LedgerWorld
from tests.support.ledgers import Event, Job, new_run, stream, submit

WORKERS = some.sampled_from(["node-1", "node-2", "node-3"])
MAX_RUNS = 12
NUMBERS = some.integers(1, 3)
HANDS = some.sampled_from(["holder", "node-1", "node-2"])
"""Who speaks for an attempt: the worker that claimed it, or a node that has its secret as it grabbed the job too."""
SUBMITTERS = some.sampled_from(["api", "monitor"])
SEALING = some.sampled_from([0.5, 55.0, 62.0, 130.0])
"""Seconds that a submitter takes to seal what it took; a lease is 60."""
MONTH = 30 * 86400.0
FEW_SECONDS = some.sampled_from([1.0, 7.0, 61.0, 1000.0])


class LedgerMachine(LedgerWorld):
    """What all of them may do, in any order."""

    jobs = Bundle("jobs")

    def teardown(self) -> None:
        # the vendors wait, all the workers are dead, the monitor looks: every run has to end by itself
        self.ledger.queue.resume("operator")
        for _ in range(12):
            self.clock.forward(20_000)
            self.look()
        assert {run["state"] for run in self.rows()} <= {"finished", "failed", "cancelled"}
        self.ledger.close()
        shutil.rmtree(self.folder)

    @initialize(target=jobs, worker=WORKERS)
    def begin(self, worker: str) -> Any:
        """Most of what may go wrong goes wrong with a run that a worker holds: one is held from the beginning."""
        self.ledger.upgrade()
        return self.hold(1, worker)

    @rule()
    def record(self) -> None:
        if len(self.rows()) < MAX_RUNS:
            self.ledger.runs.add(new_run())

    @rule(target=jobs, number=NUMBERS, posts=some.booleans())
    def submit(self, number: int, posts: bool) -> Any:
        """Give a run to the queue; who grabs the job there may try to post without having claimed it."""
        self.record()
        job = self.submit_one(number)
        if job is None:
            return multiple()
        if posts:
            self.post(job, same=False)
        return job

    def submit_one(self, number: int) -> Job | None:
        if self.ledger.queue.is_paused() or not any(run["test_id"] == number for run in self.rows()):
            return None
        with suppress(ValueError):
            # nothing to submit for this run: it is held, over, or under a lease
            return submit(self.ledger, number)
        return None

    @rule(target=jobs, number=NUMBERS, worker=WORKERS)
    def hold(self, number: int, worker: str) -> Any:
        """What mostly happens, so that the rare things happen to runs that are under way."""
        self.ledger.queue.resume("operator")
        self.record()
        for one in (number, *range(1, MAX_RUNS + 1)):
            job = self.submit_one(one)
            if job is not None:
                self.claim(job, worker)
                return job
        return multiple()

    def lively(self, job: Job, worker: str) -> Job:
        """A job that is worth speaking of: this one, or where its run has ended another that is held now."""
        if self.ledger.runs.get(job.submission.key.test_id).state.is_end:
            other = self.hold(1, worker)
            return other if isinstance(other, Job) else job
        return job

    @rule(number=NUMBERS, cancelled=some.booleans())
    def all_workers_die(self, number: int, cancelled: bool) -> None:
        if cancelled:
            self.cancel(number)
        self.clock.forward(61.0)
        self.look()

    @rule(target=jobs, job=jobs, worker=WORKERS, late=some.permutations(["post", "report", "release", "claim", "beat"]))
    def another_takes_over(self, job: Job, worker: str, late: list[str]) -> Any:
        """A worker is silent for too long, the next attempt is held by another, and then the first one speaks."""
        self.ledger.queue.resume("operator")
        job = self.lively(job, worker)
        self.clock.forward(61.0)
        self.look()
        following = self.submit_one(job.submission.key.test_id)
        if following is not None and late[0] != "claim":
            self.claim(following, worker)
        say: dict[str, Callable[[], Any]] = {
            "post": lambda: self.post(job, same=False),
            "report": lambda: self.report(job, RunState.FAILED),
            "release": lambda: self.release(job, worker),
            "claim": lambda: self.claim(job, worker),
            "beat": lambda: self.heartbeat(job, worker),
        }
        for word in late:
            say[word]()
        return multiple() if following is None else following

    @rule(job=jobs, worker=WORKERS, other=WORKERS)
    def two_grab_one_job(self, job: Job, worker: str, other: str) -> None:
        job = self.lively(job, worker)
        self.claim(job, worker)
        self.claim(job, other)

    @rule(job=jobs, worker=WORKERS)
    def each_worker_dies(self, job: Job, worker: str) -> None:
        """A run that kills each worker that takes it: it is given up, and takes no further worker with it."""
        self.ledger.queue.resume("operator")
        job = self.lively(job, worker)
        for _ in range(self.ledger.settings.rules.attempt_limit + 1):
            following = self.submit_one(job.submission.key.test_id)
            if following is not None:
                self.claim(following, worker)
            self.clock.forward(61.0)
            self.look()

    @rule(job=jobs, worker=WORKERS, released=some.booleans())
    def cancel_always_ends(self, job: Job, worker: str, released: bool) -> None:
        """Whatever its worker does or does not, nothing holds up the end of a run that is cancelled."""
        job = self.lively(job, worker)
        number = job.submission.key.test_id
        self.cancel(number)
        holder = self.attempt(job)["claim_id"]
        if holder is not None:
            self.heartbeat(job, holder)
            if released:
                self.release(job, holder)
        self.clock.forward(self.ledger.settings.rules.cancel_limit + 1)
        self.look()
        assert self.ledger.runs.get(number).state.is_end

    @rule(who=SUBMITTERS, count=some.integers(1, 50))
    def submitter_takes(self, who: str, count: int) -> None:
        """It will take its time to seal what it took."""
        self.taken[who] += self.ledger.submissions.next(count)

    @rule(who=SUBMITTERS, seconds=SEALING)
    def submitter_seals(self, who: str, seconds: float) -> None:
        self.clock.forward(seconds)
        self.seal(who)

    @rule(seconds=SEALING)
    def two_submitters_get_on(self, seconds: float) -> None:
        """However long sealing takes, what waits is submitted, although each takes what the other's lease lost."""
        self.ledger.queue.resume("operator")
        self.record()
        self.ledger.deadlines.pull_back()
        self.clock.forward(61.0)
        waiting = self.unsubmitted()
        for _ in range(2):
            for who in ("api", "monitor"):
                self.taken[who] += self.ledger.submissions.next(50)
                self.clock.forward(seconds)
                other = "monitor" if who == "api" else "api"
                if self.taken[other]:
                    self.seal(other)
        assert not waiting & self.unsubmitted(), "submitters undo each other's work"
        self.seal("monitor")

    @rule(number=NUMBERS)
    def becomes_unreadable(self, number: int) -> None:
        """The key with which a run's options were encrypted is lost."""
        table = queue_tables.run
        is_lost = (table.c.test_id == number) & table.c.sealed_conf.is_not(None)
        with self.ledger.database.writing() as connection:
            connection.execute(update(table).where(is_lost).values(sealed_conf=self.foreign))

    @rule(number=NUMBERS, worker=WORKERS)
    def the_clock_was_ahead(self, number: int, worker: str) -> None:
        """For a moment, in which something happened."""
        self.clock.forward(MONTH)
        self.hold(number, worker)
        self.record()
        self.ledger.submissions.next(1)
        self.clock.forward(-MONTH)

    @rule(die_after_sealing=some.booleans())
    def submitter_dies(self, die_after_sealing: bool) -> None:
        taken = self.ledger.submissions.next(1)
        if die_after_sealing:
            self.ledger.submissions.sealed([(one, "0" * 64) for one in taken])

    @rule(job=jobs)
    def submitted_late(self, job: Job) -> None:
        self.ledger.submissions.submitted([QueuedJob(job.submission.key, "gearman:4730", "H:late", "f", self.clock())])

    @rule(job=jobs, worker=WORKERS)
    def claim(self, job: Job, worker: str) -> None:
        before = self.attempt(job)
        answer = self.ledger.attempts.claim(job.proof, Claim(worker, worker))
        if answer.granted:
            assert before["claim_id"] in (None, worker) and before["is_open"]

    @rule(job=jobs, worker=WORKERS)
    def heartbeat(self, job: Job, worker: str) -> None:
        answer = self.ledger.attempts.heartbeat(job.proof, worker)
        attempt = self.attempt(job)
        state = self.ledger.runs.get(job.submission.key.test_id).state
        if not attempt["is_open"] or attempt["claim_id"] != worker:
            assert answer.reply is HeartbeatReply.STOP
        else:
            assert answer.reply is (HeartbeatReply.CANCEL if state is RunState.CANCELLING else HeartbeatReply.GO)

    def in_hands_of(self, job: Job, who: str) -> Job:
        return job.by((self.attempt(job)["claim_id"] or "nobody") if who == "holder" else who)

    @rule(job=jobs, state=some.sampled_from([None, *RunState]), who=HANDS)
    def report(self, job: Job, state: RunState | None, who: str = "holder") -> None:
        job = self.in_hands_of(job, who)
        before, claim_id = self.ledger.runs.get(job.submission.key.test_id), self.attempt(job)["claim_id"]
        try:
            self.ledger.attempts.report(job.proof, Report(state, "a word"))
        except (RefusedError, StateError):
            assert self.ledger.runs.get(before.test_id) == before
        else:
            assert before.attempt == job.submission.key.attempt
            assert claim_id in (None, job.claim_id), "another worker's attempt"

    @rule(job=jobs, same=some.booleans(), who=HANDS)
    def post(self, job: Job, same: bool, who: str = "holder") -> None:
        job = self.in_hands_of(job, who)
        self.uploads += 0 if same else 1
        file = self.folder / "upload"
        file.write_bytes(stream([Event(f"test_{self.uploads}")]))
        upload = Upload.of(file, {})
        key = job.submission.key
        before = self.ledger.runs.get(key.test_id)
        known = self.results.get(key.test_id)
        try:
            accepted = acceptance.accept(self.ledger, job.proof, upload)
        except (RefusedError, LedgerError):
            assert self.ledger.runs.get(key.test_id) == before
            return
        assert self.attempt(job)["claim_id"] == job.claim_id
        if accepted.repeated:
            assert known == (key.attempt, upload.digest)
        else:
            assert known is None and before.attempt == key.attempt and before.state in HELD
            self.results[key.test_id] = (key.attempt, upload.digest)

    @rule(job=jobs, worker=WORKERS, same=some.booleans())
    def post_twice(self, job: Job, worker: str, same: bool) -> None:
        job = self.lively(job, worker)
        self.post(job, same=False)
        self.post(job, same)

    @rule(job=jobs, worker=WORKERS)
    def release(self, job: Job, worker: str) -> None:
        before, held = self.ledger.runs.get(job.submission.key.test_id), self.attempt(job)
        try:
            self.ledger.attempts.release(job.proof, worker, "restarts")
        except RefusedError:
            assert self.ledger.runs.get(before.test_id) == before
        else:
            # sent again by the one that released it before, it changes nothing
            assert held["claim_id"] == worker or self.ledger.runs.get(before.test_id) == before

    @rule(job=jobs)
    def queue_loses(self, job: Job) -> None:
        self.ledger.attempts.requeue(job.submission.key, Release.QUEUE_LOST, "gearmand restarted")

    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        if number <= len(self.rows()):
            with suppress(StateError):
                self.ledger.runs.cancel(number, "the vendor")

    @rule(seconds=FEW_SECONDS)
    def wait(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @rule()
    def look(self) -> None:
        self.ledger.deadlines.pull_back()
        self.ledger.submissions.expire_leases()
        for attempt in self.ledger.deadlines.silent():
            assert self.ledger.deadlines.lose_silent(attempt.key, "silent")
        for overdue in self.ledger.deadlines.overdue():
            assert self.ledger.deadlines.expire(overdue)

    @rule(paused=some.booleans())
    def pause(self, paused: bool) -> None:
        (self.ledger.queue.pause if paused else self.ledger.queue.resume)("operator")

    @invariant()
    def the_rows_agree(self) -> None:
        with self.ledger.database.reading() as connection:
            runs = connection.execute(select(queue_tables.run)).mappings().all()
            attempts = connection.execute(select(queue_tables.attempt)).mappings().all()
            results = connection.execute(select(queue_tables.result)).mappings().all()
        assert {row["test_id"]: (row["attempt"], row["digest"]) for row in results} == self.results
        for run in runs:
            state = RunState(run["state"])
            own = [row for row in attempts if row["test_id"] == run["test_id"]]
            assert [row["attempt"] for row in own] == list(range(1, run["attempt"] + 1))
            assert [row["attempt"] for row in own if row["is_open"]] == ([] if state.is_end else [run["attempt"]])
            assert [row["outcome"] for row in own].count("lost") <= self.ledger.settings.rules.attempt_limit
            assert (run["sealed_conf"] is None) == state.is_end
            assert (state is RunState.FINISHED) == (run["test_id"] in self.results)
            assert state not in HELD or own[-1]["claim_id"] is not None
            assert state is not RunState.QUEUED or own[-1]["claim_id"] is None
            assert self.ends.setdefault(run["test_id"], state) is state or not self.ends[run["test_id"]].is_end
            self.ends[run["test_id"]] = state


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
