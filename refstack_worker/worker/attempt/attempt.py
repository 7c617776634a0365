"""One attempt on this node, from the Gearman job to a clean node. Read :class:`AttemptExecution` from top to bottom."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Union

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract import gearman_functions
from refstack_worker.contract.envelope import Opener
from refstack_worker.contract.execute_test import SUBUNIT_FILE, TEMPESTCONF, Reason
from refstack_worker.contract.payload import Payload
from refstack_worker.contract.secrets import secret_values
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.environments.catalogue import Catalogue, Offer, Want
from refstack_worker.environments.environment import BuiltEnvironment, Environment
from refstack_worker.errors import PayloadError, RefstackError, RefusedError, SealError, ServerError, SpoolError
from refstack_worker.filesystem import make_folder
from refstack_worker.worker import logs
from refstack_worker.worker.attempt import hooks, testcases
from refstack_worker.worker.attempt.claimed import ClaimRecords
from refstack_worker.worker.attempt.cloud_cleanup import CloudCleanup
from refstack_worker.worker.attempt.environment_build import EnvironmentBuild
from refstack_worker.worker.attempt.known_tests import known_tests
from refstack_worker.worker.attempt.outcome import (
    AttemptOutcome,
    AttemptReporter,
    OutcomeKind,
    after_error,
    after_exit,
    after_stop,
)
from refstack_worker.worker.attempt.stop_request import StopRequest
from refstack_worker.worker.attempt.time_limit import TimeLimit
from refstack_worker.worker.sandbox import leftovers
from refstack_worker.worker.sandbox.commands import Commands
from refstack_worker.worker.sandbox.listeners import RunListener
from refstack_worker.worker.sandbox.runner import Command, Runner, Sandbox
from refstack_worker.worker.server_api.attempts import AttemptApi, ClaimedAttempt
from refstack_worker.worker.server_api.heartbeat import Heartbeat
from refstack_worker.worker.spool.spool import RESULT, Spool, SpoolEntry, SpoolWriter

LOG = logging.getLogger(__name__)

TIMEOUT_MARGIN = 15.0
"""Seconds beyond the run's own limit, in which ``execute_test`` ends itself and says so, before the worker ends it."""

REFUSED_TO_NODE = frozenset({"host", "no-proof", "wrong-proof"})
"""Why a server refuses a claim that another node may make."""

OfferOrError = Union[Offer, RefstackError]
"""How a version is built, or why it cannot be: that is reported after the claim, as the end of the run."""


@dataclass(frozen=True)
class NodeServices:
    """What all attempts of a worker share."""

    settings: WorkerSettings
    opener: Opener
    runner: Runner
    catalogue: Catalogue
    claims: ClaimRecords
    spool: Spool
    program: tuple[str, ...]
    """Start of ``execute_test``'s command line."""


@dataclass(frozen=True)
class ReceivedJob:
    """A job as the queue delivered it."""

    function: str
    unique: str
    envelope: bytes


class AttemptExecution:
    """Carries out one job of the queue."""

    def __init__(self, services: NodeServices, job: ReceivedJob, stop_request: StopRequest) -> None:
        self._services = services
        self._settings = services.settings
        self._job = job
        self._stop_request = stop_request
        self._start = time.monotonic()
        self.since = time.time()
        self.claimed: ClaimedAttempt | None = None
        self.heartbeat: Heartbeat | None = None
        self._hooks_began = False

    def carry_out(self) -> AttemptOutcome:
        """Do everything that the job asks for; nothing of it stays on the node except what is in the spool."""
        try:
            payload, error = self._open()
            with logs.about(f"{payload.test_id}:{payload.attempt}"), _hidden(payload):
                self._check(payload)
                return self._claim_and_run(payload, error)
        except PayloadError as error:
            LOG.error("job %s dropped: %s", self._job.unique, error)
            return AttemptOutcome(OutcomeKind.DROPPED, error.reason, str(error), node_fault=True)

    def _open(self) -> tuple[Payload, PayloadError | None]:
        """Return the payload, or only its identity and why the rest cannot be read although it is signed."""
        opener, envelope = self._services.opener, self._job.envelope
        try:
            return opener.open(envelope), None
        except SealError:
            raise
        except PayloadError as error:
            return opener.open_identity(envelope), error

    def _check(self, payload: Payload) -> None:
        """Refuse a callback that is not configured: a payload must not make this node call any address."""
        if payload.callback.rstrip("/") not in (url.rstrip("/") for url in self._settings.server.urls):
            raise PayloadError(
                f"payload: callback {payload.callback} is not in server.urls; add it if this is your server"
            )

    def _claim_and_run(self, payload: Payload, unreadable: PayloadError | None) -> AttemptOutcome:
        """Claim the attempt and carry it out; drop it if the server refuses the claim.

        :param unreadable: the attempt fails with this error: another node would find the same.
        """
        offer = unreadable or self._offer(payload)
        version = offer.version if isinstance(offer, Offer) else payload.tempest_version
        node = self._settings.node.name
        claimed = ClaimedAttempt(payload, self._job.envelope, secrets.token_hex(16), node, version)
        api = AttemptApi(claimed, self._settings.server)
        try:
            lock = offer.lock if isinstance(offer, Offer) else None
            seconds = api.claim(self._stop_request.requested, lock.digest if lock else "")
        except (RefusedError, ServerError) as error:
            LOG.info("not claimed: %s", error)
            api.close()
            at_fault = not isinstance(error, RefusedError) or error.reason in REFUSED_TO_NODE
            return AttemptOutcome(OutcomeKind.DROPPED, error.reason, str(error), at_fault)
        LOG.info("claimed; Tempest %s", version or payload.openstack_release)
        self.claimed = claimed
        with self._kept_alive(api, seconds) as heartbeat:
            console_api = AttemptApi(claimed, self._settings.server)
            reporter = AttemptReporter(api, console_api, heartbeat, self._services.spool)
            if unreadable is None:
                outcome = self._build_and_run(claimed, reporter, offer)
            else:
                outcome = reporter.report_end(AttemptOutcome(OutcomeKind.FAILED, unreadable.reason, str(unreadable)))
        LOG.info("%s%s", outcome.kind.value, f": {outcome.message}" if outcome.message else "")
        return outcome

    def _build_and_run(self, claimed: ClaimedAttempt, reporter: AttemptReporter, offer: OfferOrError) -> AttemptOutcome:
        """Build, run, end. Whatever happens, the end is reported before anything is cleaned up."""
        payload = claimed.payload
        commands = Commands(self._services.program, self._settings, payload, claimed.token)
        folder = self._settings.run.environments / f"{payload.prefix}-{claimed.claim[:8]}"
        with EnvironmentBuild(folder, lambda: self._environment(folder, offer)) as build:
            try:
                reporter.heartbeat.state = RunState.BUILDING
                reporter.reports.add(Report(RunState.BUILDING, f"Preparing Tempest {claimed.tempest_version}"))
                commands = replace(commands, testcases=testcases.entries(claimed, self._settings))
                self._hooks_began = True
                hooks.run(self._settings.run.pre_run_hooks, claimed, self._hook_mark)
                environment = build.wait(self._stop_request.requested)
                if environment is not None:
                    return self._hooked(self._run(commands, reporter, environment), claimed)
                outcome = self._stopped_or(AttemptOutcome(OutcomeKind.STOPPED))
            except RefstackError as error:
                LOG.warning("%s", error)
                outcome = self._stopped_or(self._after_error(error, payload))
            except Exception as error:  # a bug must not leave a run that no node carries out
                LOG.exception("the attempt ends because of an unexpected error")
                outcome = unexpected(OutcomeKind.RELEASED, error)
            return self._hooked(reporter.report_end(outcome), claimed)

    def _hooked(self, outcome: AttemptOutcome, claimed: ClaimedAttempt) -> AttemptOutcome:
        """Run the hooks after a run, once, however it ended: they undo what those before it did, even in part."""
        if self._hooks_began:
            self._hooks_began = False
            hooks.run(self._settings.run.post_run_hooks, claimed, self._hook_mark, outcome.kind.value)
        return outcome

    def _run(self, commands: Commands, reporter: AttemptReporter, environment: BuiltEnvironment) -> AttemptOutcome:
        """Run the tests in the environment, then clean up the cloud."""
        claimed = reporter.api.claimed
        spool, runner = self._services.spool, self._services.runner
        command = commands.run(
            environment.path, self._seconds_left(claimed), known_tests(environment, claimed, self._settings)
        )
        with spool.writer(claimed) as writer:
            listener = RunListener(reporter.reports, reporter.heartbeat, reporter.console, writer)
            with runner.open(_sandbox_id(claimed)) as sandbox:
                over = threading.Event()
                self._stop_request.on_stop(lambda: None if over.is_set() else sandbox.stop())
                outcome = self._execute(sandbox, command, listener)
                if outcome.kind is OutcomeKind.SPOOLED:
                    outcome = self._keep_result(sandbox, commands, reporter, writer)
                reporter.report_end(outcome)
                # the clean-up has limits of its own; the time limit of the run goes on counting and must not end it
                over.set()
                cleanup = CloudCleanup(sandbox, commands, reporter.api, self._stop_request)
                cleanup.after(outcome, environment.path, listener.started)
        return outcome

    def _execute(self, sandbox: Sandbox, command: Command, listener: RunListener) -> AttemptOutcome:
        """Run one call of ``execute_test`` and return what follows from its end."""
        end = sandbox.run(command, listener)
        reason = self._stop_request.reason
        if reason is not None:
            return after_stop(reason, self._stop_request.message, end, listener.last)
        attempt = self.claimed.payload.attempt if self.claimed else 1
        return after_exit(end, listener.last, attempt)

    def _keep_result(
        self, sandbox: Sandbox, commands: Commands, reporter: AttemptReporter, writer: SpoolWriter
    ) -> AttemptOutcome:
        """Spool a result that was not posted; if the disk is full, go on posting it from the run's folder."""
        claimed = reporter.api.claimed
        try:
            if SUBUNIT_FILE not in writer.names:
                raise SpoolError(writer.problem or "the result is larger than limits.result_mb")
            writer.keep(SpoolEntry.of(claimed, RESULT, heartbeat_seconds=reporter.heartbeat.seconds))
            message = "the result is kept on this node and will be posted"
            return AttemptOutcome(OutcomeKind.SPOOLED, Reason.NOT_POSTED.value, message)
        except SpoolError as error:
            LOG.error("the result cannot be spooled: %s; posting it from the run's folder", error)
        deadline = time.monotonic() + self._settings.server.patience
        outcome = AttemptOutcome(OutcomeKind.SPOOLED)
        with self._services.spool.writer(claimed) as discarded:
            while outcome.kind is OutcomeKind.SPOOLED and time.monotonic() < deadline:
                listener = RunListener(reporter.reports, reporter.heartbeat, reporter.console, discarded)
                outcome = self._execute(sandbox, commands.post("{run}/work"), listener)
        if outcome.kind is OutcomeKind.SPOOLED:
            message = "the result could be neither posted nor spooled"
            return AttemptOutcome(OutcomeKind.RELEASED, "spool", message, node_fault=True)
        return outcome

    @contextmanager
    def _kept_alive(self, api: AttemptApi, seconds: float) -> Iterator[Heartbeat]:
        """While the context lasts the claim is recorded on disk, heartbeats go out, and the time limit runs."""
        claimed = api.claimed
        self.heartbeat = Heartbeat(api, self._stop_request, seconds, self._settings.server.patience)
        seconds = self._limit(claimed) + self._settings.run.stop_grace + TIMEOUT_MARGIN
        limit = TimeLimit(seconds, self.heartbeat, self._stop_request)
        with suppress(OSError):  # a full disk shows soon enough; the record only speeds up a restart
            self._services.claims.write(claimed)
        self.heartbeat.start()
        limit.start()
        try:
            yield self.heartbeat
        finally:
            limit.cancel()
            self.heartbeat.stop()
            api.close()
            with suppress(OSError):
                self._services.claims.remove(claimed)

    def _offer(self, payload: Payload) -> OfferOrError:
        discovers = payload.discover == TEMPESTCONF
        want = Want(payload.tempest_version, payload.openstack_release, payload.plugins, discovers)
        try:
            return self._services.catalogue.find(want)
        except RefstackError as error:
            return error

    def _environment(self, folder: Path, offer: OfferOrError) -> Environment:
        if isinstance(offer, RefstackError):
            raise offer
        make_folder(folder.parent)
        return Environment(offer, self._settings.environments, folder)

    @property
    def _hook_mark(self) -> str:
        return f"{leftovers.instance_of(self._settings.node.state_folder)}/hook"

    def _stopped_or(self, outcome: AttemptOutcome) -> AttemptOutcome:
        reason = self._stop_request.reason
        return outcome if reason is None else after_stop(reason, self._stop_request.message, None, None)

    def _after_error(self, error: RefstackError, payload: Payload) -> AttemptOutcome:
        functions = set()
        for tag in ("", *self._settings.node.tags):
            if payload.tempest_version:
                functions.add(gearman_functions.for_version(payload.tempest_version, tag, payload.plugins))
            else:
                functions.add(gearman_functions.for_release(payload.openstack_release, tag, payload.plugins))
        asks_for_more = payload.discover == TEMPESTCONF
        return after_error(error, asks_for_more or self._job.function not in functions)

    def _limit(self, claimed: ClaimedAttempt) -> int:
        return min(claimed.payload.timeout, self._settings.limits.max_timeout)

    def _seconds_left(self, claimed: ClaimedAttempt) -> float:
        return self._limit(claimed) - (time.monotonic() - self._start)


def unexpected(kind: OutcomeKind, error: Exception) -> AttemptOutcome:
    """Return the outcome after a bug of this program."""
    return AttemptOutcome(kind, "fault", f"unexpected error in the worker: {type(error).__name__}", node_fault=True)


def _sandbox_id(claimed: ClaimedAttempt) -> str:
    return f"{claimed.payload.test_id}-{claimed.payload.attempt}-{claimed.claim[:8]}"


def _hidden(payload: Payload) -> AbstractContextManager[None]:
    return logs.SECRETS.hidden({payload.secret, *secret_values(payload.conf_json)})
