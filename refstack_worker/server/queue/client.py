"""The Gearman client: gives attempts to the queue, takes cancelled ones out, and knows what the queue holds.

The ledger decides what to submit. A submit has one of three outcomes (``server/queue/connection.py``), and only
an attempt that is surely not queued is tried again under its own number.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gear

from refstack_worker.config.server import KeySettings, ServerSettings
from refstack_worker.config.server_values import FLEET
from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import keys
from refstack_worker.contract import payload as payloads
from refstack_worker.errors import PayloadError, QueueError, RefstackError
from refstack_worker.server.domain.attempts import AttemptKey, QueuedJob, Release, Submission
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.connection import TIMEOUT, Cancelled, GearmanConnection, Job, Outcome, Submitted
from refstack_worker.server.queue.reports import (
    ConnectedWorker,
    FunctionStatus,
    connected_worker,
    function_status,
)

LOG = logging.getLogger(__name__)

AT_ONCE = 50
"""Attempts that are taken from the ledger under one lease."""
SEALING_SECONDS = 1.0
"""Time after which what has been sealed is submitted before more is."""
PRECEDENCE = {-1: gear.PRECEDENCE_LOW, 0: gear.PRECEDENCE_NORMAL, 1: gear.PRECEDENCE_HIGH}
WAITS = "recorded; waiting for the queue"
"""What a vendor reads while no Gearman server takes the run."""


@dataclass(frozen=True)
class Whereabouts:
    """What became of jobs that were given to the queue; those that it still has to give out are in neither list."""

    lost: list[QueuedJob]
    """The queue does not have them."""
    grabbed: list[QueuedJob]
    """The queue has given them to someone, who has not completed them."""


@dataclass(frozen=True)
class Sealed:
    """A submission and its envelope."""

    submission: Submission
    envelope: bytes

    @property
    def key(self) -> AttemptKey:
        return self.submission.key

    @property
    def digest(self) -> str:
        """By which the ledger knows the envelope."""
        return sealing.digest(self.envelope)

    @property
    def job(self) -> Job:
        spec = self.submission.spec
        return Job(spec.function, str(self.key), self.envelope, PRECEDENCE[max(-1, min(1, spec.priority))])


class QueueClient:
    """The server's side of the queue; safe to use from several threads, and from several processes at once."""

    def __init__(self, settings: ServerSettings, timeout: float = TIMEOUT) -> None:
        """Connect to nothing yet. :param timeout: seconds that a Gearman server gets for a connect or an answer."""
        self._settings = settings
        self._connections = {str(address): GearmanConnection(address, timeout) for address in settings.queue.servers}
        self._key_files = _KeyFiles(settings.keys)
        self._unsent = ""

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def submit_pending(self, ledger: Ledger, test_id: int | None = None) -> int:
        """Give the queue what the ledger has for it (of one run, or of all) and return how many jobs were queued.

        A queue that is away raises nothing: the runs stay recorded and are taken again later.

        :raises KeyFileError: the server's keys cannot be used; nothing can be submitted until they can.
        """
        done = 0
        while taken := ledger.submissions.next(AT_ONCE, test_id):
            queued = self._submit(ledger, taken)
            done += queued
            if queued < len(taken):
                break
        return done

    def seal(self, one: Submission) -> Sealed:
        """Seal a submission whose content the ledger has just checked.

        :raises KeyFileError: the server's keys cannot be used.
        :raises PayloadError: it is too large.
        """
        return Sealed(one, self._key_files.sealer().seal_bytes(self._payload(one).serialized(), one.node_keys))

    def submit_sealed(self, ledger: Ledger, ready: Sequence[Sealed]) -> int:
        """Submit what is sealed and noted in the ledger; return how many jobs were queued."""
        queued: list[QueuedJob] = []
        unsent: list[Sealed] = []
        message = ""
        try:
            for one in ready:
                answer = self._to_some_server(one.job)
                if answer.outcome is Outcome.QUEUED:
                    queued.append(QueuedJob(one.key, answer.server, answer.handle, one.job.function, 0.0))
                elif answer.outcome is Outcome.UNCERTAIN:
                    ledger.attempts.requeue(one.key, Release.QUEUE_LOST, answer.message)
                else:
                    message = message or answer.message
                    unsent.append(one)
        finally:
            if queued:
                ledger.submissions.submitted(queued)
        if unsent:
            ledger.submissions.failed([one.submission for one in unsent], f"{WAITS}: {message}")
        self._note(message)
        return len(queued)

    def withdraw(self, ledger: Ledger, is_last: bool = False) -> None:
        """Take out of the queue what was cancelled or superseded before a worker had it.

        What cannot be taken out for sure is left to a process with an older connection, or with ``is_last`` for good:
        the worker that takes it learns so when it claims, and drops it.
        """
        now = ledger.clock()
        gone = [job.key for job in ledger.submissions.to_withdraw() if self._take_out(job, now) or is_last]
        if gone:
            ledger.submissions.withdrawn(gone)

    def whereabouts(self, jobs: Iterable[QueuedJob]) -> Whereabouts:
        """Return where these jobs are; a server that cannot be asked has lost nothing."""
        by_server: dict[str, list[QueuedJob]] = defaultdict(list)
        for job in jobs:
            by_server[job.server].append(job)
        found = Whereabouts([], [])
        for server, theirs in by_server.items():
            self._look(server, theirs, found)
        return found

    def functions(self) -> Mapping[str, FunctionStatus]:
        """Return what all the Gearman servers together know, by function.

        :raises QueueError: none of them can be asked.
        """
        found: dict[str, FunctionStatus] = {}
        for _server, lines in self._ask_all(gear.StatusAdminRequest):
            for status in filter(None, map(function_status, lines)):
                old = found.get(status.name, FunctionStatus(status.name))
                found[status.name] = FunctionStatus(
                    status.name, old.jobs + status.jobs, old.running + status.running, old.workers + status.workers
                )
        return found

    def workers(self) -> list[ConnectedWorker]:
        """Return the workers that are connected to the Gearman servers. :raises QueueError: none can be asked."""
        found = [
            connected_worker(server, line)
            for server, lines in self._ask_all(gear.WorkersAdminRequest)
            for line in lines
        ]
        return [worker for worker in found if worker is not None and worker.functions]

    def servers(self) -> dict[str, str]:
        """Return each Gearman server and its trouble (empty: it answers)."""
        found: dict[str, str] = {}
        for name, connection in self._connections.items():
            try:
                connection.admin(gear.StatusAdminRequest())
                found[name] = ""
            except QueueError as error:
                found[name] = str(error)
        return found

    def _take_out(self, job: QueuedJob, now: float) -> bool:
        connection = self._connections.get(job.server)
        if connection is None or not job.handle:
            return True
        try:
            return connection.cancel(job.handle, now - job.submitted_at) is not Cancelled.UNSURE
        except QueueError as error:
            LOG.debug("%s: left in the queue: %s", job.key, error)
            return False

    def _submit(self, ledger: Ledger, taken: Sequence[Submission]) -> int:
        """Seal and submit in rounds of about a second: what is sealed never waits long for the rest."""
        waiting = list(taken)
        queued = 0
        while waiting:
            queued += self.submit_sealed(ledger, self._seal(ledger, waiting))
        return queued

    def _note(self, unsent: str) -> None:
        """Log once, not for each run and each try, why the queue takes none, and once that it takes them again."""
        if unsent and not self._unsent:
            LOG.warning("%s; runs wait in the ledger until the queue takes them", unsent)
        elif self._unsent and not unsent:
            LOG.warning("the queue accepts runs again")
        self._unsent = unsent

    def _seal(self, ledger: Ledger, waiting: list[Submission]) -> list[Sealed]:
        """Seal the first of ``waiting`` for about a second, and take them off the list."""
        try:
            sealer = self._key_files.sealer()
        except RefstackError as error:
            ledger.submissions.failed(waiting, f"{WAITS}: {error}")
            raise
        sealed: list[Sealed] = []
        deadline = time.monotonic() + SEALING_SECONDS
        while waiting and time.monotonic() < deadline:
            one = waiting.pop(0)
            try:
                sealed.append(Sealed(one, sealer.seal(self._payload(one), one.node_keys)))
            except PayloadError as error:
                LOG.warning("%s cannot be submitted: %s", one.key, error)
                ledger.submissions.unsubmittable(one.key, error.reason, str(error))
        mine = ledger.submissions.sealed([(one.submission, one.digest) for one in sealed])
        return [one for one in sealed if one.key in mine]

    def _payload(self, one: Submission) -> payloads.Payload:
        return payloads.Payload(
            test_id=one.key.test_id,
            attempt=one.key.attempt,
            callback=self._settings.web.address,
            conf_json=one.conf_json,
            secret=one.secret,
            submitted_at=payloads.now(),
            tempest_version=one.spec.tempest_version,
            openstack_release=one.spec.openstack_release,
            plugins=one.spec.plugins,
            testcases=one.spec.testcases,
            concurrency=one.spec.concurrency,
            timeout=one.spec.timeout,
            discover=one.spec.discover,
        )

    def _to_some_server(self, job: Job) -> Submitted:
        answer = Submitted(Outcome.NOT_SENT, message="no Gearman server is configured")
        for connection in self._by_preference(job.function):
            answer = connection.submit(job)
            if answer.outcome is not Outcome.NOT_SENT:
                break
        if answer.outcome is Outcome.UNCERTAIN:
            LOG.warning("%s: %s: %s", job.unique, answer.outcome.value, answer.message)
        return answer

    def _by_preference(self, function: str) -> list[GearmanConnection]:
        """Servers at which a node waits for this function first: a partition may keep the nodes from one of several."""
        connections = list(self._connections.values())
        return (
            connections
            if len(connections) == 1
            else sorted(connections, key=lambda connection: not _serves(connection, function))
        )

    def _look(self, server: str, jobs: Sequence[QueuedJob], found: Whereabouts) -> None:
        connection = self._connections.get(server)
        if connection is None:
            LOG.warning("gearman server %s is no longer in GEARMAN_SERVER; its jobs are submitted again", server)
            found.lost.extend(jobs)
            return
        try:
            known = connection.known([(str(job.key), job.handle) for job in jobs])
        except QueueError as error:
            LOG.debug("cannot ask about %d jobs: %s", len(jobs), error)
            return
        found.lost.extend(job for job in jobs if str(job.key) not in known)
        found.grabbed.extend(job for job in jobs if known.get(str(job.key)))

    def _ask_all(self, request: type[gear.AdminRequest]) -> list[tuple[str, list[str]]]:
        found: list[tuple[str, list[str]]] = []
        troubles: list[str] = []
        for name, connection in self._connections.items():
            try:
                found.append((name, connection.admin(request())))
            except QueueError as error:
                troubles.append(str(error))
        if not found:
            raise QueueError("; ".join(troubles) or "no Gearman server is configured")
        return found


class _KeyFiles:
    """The sealer made of two key files; read again when a file changed, so that a rotation needs no restart."""

    def __init__(self, files: KeySettings) -> None:
        self._paths = (files.sign, files.fleet)
        self._is_for_fleet = files.seal_to == FLEET
        self._read: tuple[object, sealing.Sealer] | None = None

    def sealer(self) -> sealing.Sealer:
        stamp = tuple(_stamp(path) for path in self._paths)
        if self._read is None or self._read[0] != stamp:
            sign, fleet = self._paths
            fleet_keys = keys.load_seal_public(fleet) if self._is_for_fleet else None
            self._read = (stamp, sealing.Sealer(keys.load_sign_private(sign), fleet_keys))
        return self._read[1]


def _serves(connection: GearmanConnection, function: str) -> bool:
    try:
        lines = connection.admin(gear.StatusAdminRequest())
    except QueueError:
        return False
    return any(status.name == function and status.workers for status in filter(None, map(function_status, lines)))


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
