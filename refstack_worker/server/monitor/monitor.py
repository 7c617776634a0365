"""The job monitor: compares ledger, queue and heartbeats, finds what was never reported, and moves the run on.

Each finding is one call of the ledger, in one transaction that looks again at the locked run; so any number of
monitors may run at once, and what one of them finds is done once. The sentence for the vendor is written by the same
method of the ledger that ``update-test-status`` ends in, in the same transaction as the move it explains.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from refstack_worker.contract.messages import clean_line
from refstack_worker.errors import LedgerError, RefstackError
from refstack_worker.server.domain.attempts import AttemptKey, QueuedJob, Release
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.retention import PRUNED_AT_ONCE
from refstack_worker.server.monitor.due_schedules import BackgroundStarts
from refstack_worker.server.monitor.liveness import Liveness
from refstack_worker.server.monitor.merging import BackgroundMerges
from refstack_worker.server.monitor.queue_watch import QueueWatch
from refstack_worker.server.queue.capacity import lost
from refstack_worker.server.queue.client import QueueClient
from refstack_worker.server.queue.reports import FunctionStatus

LOG = logging.getLogger(__name__)


MAX_DOUBLINGS = 6
UNCLAIMED_SECONDS = 120.0
"""A worker claims what it took from the queue at once, or as soon as the API answers. Anyone near gearmand may take
a job too, and keep it: then the run has to go on without that one."""


@dataclass(frozen=True)
class Pace:
    """How often the monitor looks, in seconds."""

    round: float = 1.0
    """Ledger: what is to be submitted, silent workers, overdue runs."""
    queue: float = 5.0
    """Queue: lost jobs and functions that no node serves."""
    grace: float = 10.0
    """Age of a submitted job before the queue is asked for it."""
    watch: float = 15.0
    """Whether the Gearman servers respond."""
    prune: float = 3600.0
    """Runs that are older than ``RETENTION_DAYS``; while there are more of them, some go in each round."""


USUAL_PACE = Pace()


class Monitor:
    """Looks after the runs of one ledger."""

    def __init__(
        self, ledger: Ledger, client: QueueClient, pace: Pace = USUAL_PACE, liveness: Liveness | None = None
    ) -> None:
        """:param liveness: tells whether silence is the workers'; None: it always is."""
        self._ledger = ledger
        self._client = client
        self._pace = pace
        self._liveness = liveness
        self._watch = QueueWatch(client, pace.watch)
        self.merges = BackgroundMerges(ledger)
        self.starts = BackgroundStarts(ledger)
        self._next_queue_look = 0.0
        self._next_prune = 0.0
        self._told: set[tuple[int, str]] = set()
        self._lost: set[tuple[str, float]] = set()
        """Nodes whose silence is recorded, with when they were last heard of."""
        self._grabbed: dict[AttemptKey, float] = {}
        """Since when someone has had a job that no worker claims, by the ledger's clock."""

    def run(self, stop: threading.Event, alive: Callable[[], None] = lambda: None) -> None:
        """Look again and again until ``stop`` is set. Trouble with database or queue is logged and outlived.

        :param alive: called after every round, for a watchdog.
        """
        troubled = False
        while not stop.is_set():
            trouble = self.look()
            if trouble and not troubled:
                LOG.error("monitor: %s", trouble)
            elif troubled and not trouble:
                LOG.warning("monitor: back to normal")
            troubled = bool(trouble)
            alive()
            stop.wait(self._pace.round)

    def look(self) -> str:
        """Do one round and return what went wrong in it (empty: nothing)."""
        if self._liveness is not None:
            self._liveness.look()
        steps: list[Callable[[], None]] = [self._expire_leases, self._lose_silent, self._end_overdue]
        if time.monotonic() >= self._next_queue_look:
            self._next_queue_look = time.monotonic() + self._pace.queue
            steps += [self._pull_back, self._resubmit_lost, self._tell_unserved, self._find_news, self.starts.look]
        steps += [self._advance_split, self._withdraw, self._submit, self._watch.look]
        if self._ledger.settings.rules.retention_days and time.monotonic() >= self._next_prune:
            steps.append(self._prune)
        troubles = [trouble for trouble in map(_tried, steps) if trouble]
        return "; ".join(dict.fromkeys(troubles))

    def _expire_leases(self) -> None:
        for key in self._ledger.submissions.expire_leases():
            LOG.warning("%s: the submitter went away; the next attempt follows", key)

    def _lose_silent(self) -> None:
        try:
            silent = self._ledger.deadlines.silent()
        except LedgerError:
            if self._liveness is not None:
                self._liveness.disturbed()
            raise
        if self._liveness is not None and not silent:
            self._liveness.nobody_is_silent()
        elif self._liveness is not None and not self._liveness.is_good():
            return
        for attempt in silent:
            heard = max(attempt.heartbeat_at, attempt.claimed_at)
            message = f"the worker {attempt.worker} sent no heartbeat for {self._ledger.clock() - heard:.0f} s"
            LOG.warning("%s: %s", attempt.key, message)
            self._ledger.deadlines.lose_silent(attempt.key, message)

    def _end_overdue(self) -> None:
        for overdue in self._ledger.deadlines.overdue():
            LOG.warning("%s: %s", overdue.key, overdue.message)
            self._ledger.deadlines.expire(overdue)

    def _pull_back(self) -> None:
        ledger = self._ledger
        changed = ledger.deadlines.pull_back() + ledger.schedules.pull_back() + ledger.deliveries.pull_back()
        if changed:
            LOG.warning(
                "the clock was set back: %d runs, attempts, schedules and messages had times in the future", changed
            )

    def _resubmit_lost(self) -> None:
        old = [job for job in self._ledger.submissions.waiting(older_than=self._pace.grace) if self._is_ripe(job)]
        found = self._client.whereabouts(old)
        for job in found.lost:
            self._submit_again(job, "the queue no longer has the run, and no worker claimed it")
        kept = self._kept_for_long(found.grabbed)
        if kept and (self._liveness is None or self._liveness.is_good()):
            for job in kept:
                said = f"a client took the run from the queue and has not claimed it for {UNCLAIMED_SECONDS:g} s"
                self._submit_again(job, said)

    def _kept_for_long(self, grabbed: Sequence[QueuedJob]) -> list[QueuedJob]:
        """Return the jobs taken long ago and never claimed: by a client that is stuck, or not a worker.

        The queue does not report how long; only comparing two looks does.
        """
        now = self._ledger.clock()
        self._grabbed = {job.key: min(now, self._grabbed.get(job.key, now)) for job in grabbed}
        return [job for job in grabbed if now - self._grabbed[job.key] >= UNCLAIMED_SECONDS]

    def _submit_again(self, job: QueuedJob, message: str) -> None:
        LOG.warning("%s: %s", job.key, message)
        self._ledger.attempts.requeue(job.key, Release.QUEUE_LOST, message)

    def _is_ripe(self, job: QueuedJob) -> bool:
        """Each attempt waits twice as long: nodes that drop every job (a foreign key) must not make a run spin."""
        grace: float = self._pace.grace * 2 ** min(job.key.attempt - 1, MAX_DOUBLINGS)
        return self._ledger.clock() - job.submitted_at >= grace

    def _tell_unserved(self) -> None:
        waiting = self._ledger.submissions.waiting(older_than=self._pace.grace)
        if waiting and not self._ledger.queue.is_paused():
            served = self._client.functions()
            for job in waiting:
                self._tell(job, served)

    def _tell(self, job: QueuedJob, served: Mapping[str, FunctionStatus]) -> None:
        """Say once to each run that waits in vain why; the ledger's messages are the memory of all monitors."""
        status = served.get(job.function)
        told = (job.key.test_id, job.function)
        if (status is not None and status.workers) or told in self._told:
            return
        # the function has only a digest of long lists of plugins
        text = clean_line(f"waiting: no node serves {self._ledger.runs.get(job.key.test_id).spec.needs}")
        self._told.add(told)
        # recorded once however often this is tried, so before the message that keeps it from being tried again
        self._ledger.events.waits_in_vain(job.key, text)
        if not any(message.message == text for message in self._ledger.runs.messages(job.key.test_id)):
            self._ledger.runs.add_message(job.key, text)

    def _find_news(self) -> None:
        """Record first failures and lost nodes for those who subscribed."""
        self._ledger.events.find_failing()
        nodes = [node for node in lost(self._ledger) if (node.name, node.seen_at) not in self._lost]
        if nodes and (self._liveness is None or self._liveness.is_good()):
            for node in nodes:
                self._lost.add((node.name, node.seen_at))
                if self._ledger.events.node_lost(node):
                    LOG.warning("the node %s has stopped reporting", node.name)

    def _advance_split(self) -> None:
        for test_id in self._ledger.shards.going_on():
            try:
                if self._ledger.shards.advance(test_id):
                    self.merges.want(test_id)
            except RefstackError as error:
                # the others must not wait for one
                LOG.error("run %d: %s", test_id, error)

    def _withdraw(self) -> None:
        self._client.withdraw(self._ledger, is_last=True)

    def _submit(self) -> None:
        self._client.submit_pending(self._ledger)

    def _prune(self) -> None:
        days = self._ledger.settings.rules.retention_days
        # set first: what fails is tried again at the next hour, not in every round
        self._next_prune = time.monotonic() + self._pace.prune
        gone = self._ledger.retention.prune(self._ledger.clock() - self._ledger.settings.rules.retention_seconds)
        if gone:
            LOG.info("removed %d runs and results older than %g days", gone, days)
        if gone == PRUNED_AT_ONCE:
            self._next_prune = 0.0


def _tried(step: Callable[[], None]) -> str:
    try:
        step()
    except RefstackError as error:
        return str(error)
    except Exception as error:
        # a fault of one step must not end the watch over all the runs
        LOG.exception("monitor: %s", step.__name__)
        return f"{type(error).__name__} in {step.__name__}"
    return ""
