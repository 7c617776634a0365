"""The whole way of one job, from the queue to a clean node. Read :class:`Job` from top to bottom."""

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
from refstack_worker.contract.payload import Payload
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.environments.catalogue import Catalogue, Offer, Want
from refstack_worker.environments.environment import BuiltEnvironment, Environment
from refstack_worker.errors import PayloadError, RefstackError, RefusedError, ServerError, SpoolError
from refstack_worker.filesystem import make_folder
from refstack_worker.worker import logs
from refstack_worker.worker.attempt import hooks, testcases
from refstack_worker.worker.attempt import outcome as endings
from refstack_worker.worker.attempt.claimed import Notes
from refstack_worker.worker.attempt.cloud_cleanup import CloudCleanup
from refstack_worker.worker.attempt.environment_build import Building
from refstack_worker.worker.attempt.final_report import Voice
from refstack_worker.worker.attempt.outcome import Ending, Kind
from refstack_worker.worker.sandbox import leftovers
from refstack_worker.worker.sandbox.commands import Commands
from refstack_worker.worker.sandbox.runner import Command, Runner, Session
from refstack_worker.worker.server_api.attempts import ClaimedAttempt, Reporter
from refstack_worker.worker.server_api.heartbeat import Heart, Order, OrderBook
from refstack_worker.worker.server_api.reports import RunListener
from refstack_worker.worker.spool.spool import RESULT, Entry, Spool, Writer

LOG = logging.getLogger(__name__)

TIMEOUT_MARGIN = 15.0
"""Seconds beyond a run's own limit, in which ``execute_test`` ends itself and says so, before the worker does."""
POSTING_MARGIN = 900.0
"""Seconds more for a run that has its result and only posts it."""

NODE_REFUSED = frozenset({"host", "no-proof", "wrong-proof"})
"""Why a server refuses a claim that another node may make."""

FoundOffer = Union[Offer, RefstackError]
"""How a version is built, or why it cannot be: that is said after the claim, as the run's end."""


@dataclass(frozen=True)
class Services:
    """What all jobs of a worker share."""

    settings: WorkerSettings
    opener: Opener
    runner: Runner
    catalogue: Catalogue
    notes: Notes
    spool: Spool
    program: tuple[str, ...]
    """Start of ``execute_test``'s command line."""


@dataclass(frozen=True)
class Grabbed:
    """A job as the queue gave it."""

    function: str
    unique: str
    envelope: bytes


class Job:
    """One job of the queue."""

    def __init__(self, services: Services, grabbed: Grabbed, orders: OrderBook) -> None:
        self._services = services
        self._settings = services.settings
        self._grabbed = grabbed
        self._orders = orders
        self._began = time.monotonic()
        self.since = time.time()
        self.held: ClaimedAttempt | None = None
        self.heart: Heart | None = None

    def carry_out(self) -> Ending:
        """Do everything that the job asks for; nothing of it is left on the node afterwards but what is spooled."""
        try:
            payload = self._services.opener.open(self._grabbed.envelope)
            with logs.about(f"{payload.test_id}:{payload.attempt}"), _hidden(payload):
                self._check(payload)
                return self._claim(payload)
        except PayloadError as error:
            LOG.error("job %s dropped: %s", self._grabbed.unique, error)
            return Ending(Kind.DROPPED, error.reason, str(error), node_fault=True)

    def _check(self, payload: Payload) -> None:
        """Refuse a callback that is not configured: nobody makes this node call where he likes."""
        if payload.callback.rstrip("/") not in (url.rstrip("/") for url in self._settings.server.urls):
            raise PayloadError(
                f"payload: its server {payload.callback} is none of this node's; add it to server.urls if it is yours"
            )

    def _claim(self, payload: Payload) -> Ending:
        """Become the one who carries out this attempt, or drop it."""
        offer = self._offer(payload)
        version = offer.version if isinstance(offer, Offer) else payload.tempest_version
        held = ClaimedAttempt(payload, self._grabbed.envelope, secrets.token_hex(16), self._settings.node.name, version)
        reporter = Reporter(held, self._settings.server)
        try:
            seconds = reporter.claim(self._orders.given)
        except (RefusedError, ServerError) as error:
            LOG.info("not taken: %s", error)
            reporter.close()
            at_fault = not isinstance(error, RefusedError) or error.reason in NODE_REFUSED
            return Ending(Kind.DROPPED, error.reason, str(error), at_fault)
        LOG.info("claimed; Tempest %s", version or payload.openstack_release)
        self.held = held
        with self._alive(reporter, seconds) as heart:
            voice = Voice(reporter, heart, self._services.spool)
            ending = self._build_and_run(held, voice, offer)
        LOG.info("%s%s", ending.kind.value, f": {ending.message}" if ending.message else "")
        return ending

    def _build_and_run(self, held: ClaimedAttempt, voice: Voice, offer: FoundOffer) -> Ending:
        """Build, run, end. Whatever happens, the last word is told before things are cleared away."""
        commands = Commands(self._services.program, self._settings, held)
        folder = self._settings.run.environments / f"{held.payload.prefix}-{held.claim[:8]}"
        with Building(folder, lambda: self._environment(folder, offer)) as building:
            try:
                voice.heart.state = RunState.BUILDING
                voice.teller.say(Report(RunState.BUILDING, f"building Tempest {held.tempest_version}"))
                commands = replace(commands, testcases=testcases.entries(held, self._settings))
                hooks.run(self._settings.run.pre_run_hooks, held, self._hook_mark)
                built = building.wait(self._orders.given)
                if built is not None:
                    return self._run(commands, voice, built)
                ending = self._ordered_or(Ending(Kind.STOPPED))
            except RefstackError as error:
                LOG.warning("%s", error)
                ending = self._ordered_or(self._of_error(error, held.payload))
            except Exception as error:  # a fault of this program must not leave a run that nobody holds
                LOG.exception("the run ends by a fault of this program")
                ending = Ending(
                    Kind.RELEASED, "fault", f"a fault of the worker: {type(error).__name__}", node_fault=True
                )
            return voice.last_word(ending)

    def _run(self, commands: Commands, voice: Voice, built: BuiltEnvironment) -> Ending:
        """The run itself, in an environment that is ready; then what it left in the cloud."""
        held = commands.held
        spool, runner = self._services.spool, self._services.runner
        with spool.writer(held) as writer:
            listener = RunListener(voice.teller, voice.heart, writer)
            with runner.open(f"{held.payload.test_id}-{held.payload.attempt}-{held.claim[:8]}") as session:
                over = threading.Event()
                self._orders.on_order(lambda: None if over.is_set() else session.stop())
                ending = self._execute(session, commands.run(built.path, self._seconds_left(held)), listener)
                if ending.kind is Kind.SPOOLED:
                    ending = self._keep_result(session, commands, voice, writer)
                voice.last_word(ending)
                # the clean-up has limits of its own; that of the run, which goes on counting, is not to end it
                over.set()
                cleanup = CloudCleanup(session, commands, voice.reporter, self._orders)
                cleanup.after(ending, built.path, listener.started)
        hooks.run(self._settings.run.post_run_hooks, held, self._hook_mark, ending.kind.value)
        return ending

    def _execute(self, session: Session, command: Command, listener: RunListener) -> Ending:
        """Carry out one call of ``execute_test`` and say what follows."""
        end = session.run(command, listener)
        order = self._orders.order
        if order is not None:
            return endings.of_order(order, self._orders.reason, end)
        attempt = self.held.payload.attempt if self.held else 1
        return endings.of_end(end, listener.last, attempt)

    def _keep_result(self, session: Session, commands: Commands, voice: Voice, writer: Writer) -> Ending:
        """Keep a result that was not posted; if the disk does not take it, go on posting from the run's folder."""
        try:
            if "subunit" not in writer.names:
                raise SpoolError(writer.problem or "the result is larger than limits.result_mb")
            writer.keep(Entry.of(commands.held, RESULT, heartbeat_seconds=voice.heart.seconds))
            return Ending(Kind.SPOOLED, "not-posted", "the result is kept on this node and will be posted")
        except SpoolError as error:
            LOG.error("the result cannot be kept: %s; posting it from the run's folder", error)
        deadline = time.monotonic() + self._settings.server.patience
        ending = Ending(Kind.SPOOLED)
        with self._services.spool.writer(commands.held) as nowhere:
            while ending.kind is Kind.SPOOLED and time.monotonic() < deadline:
                listener = RunListener(voice.teller, voice.heart, nowhere)
                ending = self._execute(session, commands.post("{run}/work"), listener)
        if ending.kind is Kind.SPOOLED:
            return Ending(Kind.RELEASED, "spool", "the result could be neither posted nor kept", node_fault=True)
        return ending

    @contextmanager
    def _alive(self, reporter: Reporter, seconds: float) -> Iterator[Heart]:
        """While it lasts the attempt is noted on disk, the server hears of it, and its time is limited."""
        held = reporter.held
        self.heart = Heart(reporter, self._orders, seconds, self._settings.server.patience)
        watch = _Watch(self._limit(held) + TIMEOUT_MARGIN, self.heart, self._orders)
        with suppress(OSError):  # a full disk shows itself soon enough; the note only speeds up a restart
            self._services.notes.write(held)
        self.heart.start()
        watch.start()
        try:
            yield self.heart
        finally:
            watch.cancel()
            self.heart.stop()
            reporter.close()
            with suppress(OSError):
                self._services.notes.remove(held)

    def _offer(self, payload: Payload) -> FoundOffer:
        want = Want(payload.tempest_version, payload.openstack_release, payload.plugins)
        try:
            return self._services.catalogue.find(want)
        except RefstackError as error:
            return error

    def _environment(self, folder: Path, offer: FoundOffer) -> Environment:
        if isinstance(offer, RefstackError):
            raise offer
        make_folder(folder.parent)
        return Environment(offer, self._settings.environments, folder)

    @property
    def _hook_mark(self) -> str:
        return f"{leftovers.instance_of(self._settings.node.state_folder)}/hook"

    def _ordered_or(self, ending: Ending) -> Ending:
        order = self._orders.order
        return ending if order is None else endings.of_order(order, self._orders.reason, None)

    def _of_error(self, error: RefstackError, payload: Payload) -> Ending:
        wanted = set()
        for tag in ("", *self._settings.node.tags):
            if payload.tempest_version:
                wanted.add(gearman_functions.for_version(payload.tempest_version, tag))
            else:
                wanted.add(gearman_functions.for_release(payload.openstack_release, tag))
        return endings.of_error(error, bool(payload.plugins) or self._grabbed.function not in wanted)

    def _limit(self, held: ClaimedAttempt) -> int:
        return min(held.payload.timeout, self._settings.limits.max_timeout)

    def _seconds_left(self, held: ClaimedAttempt) -> float:
        return self._limit(held) - (time.monotonic() - self._began)


class _Watch(threading.Thread):
    """Orders the end of a run whose time is over; one that only posts any more gets the time for it."""

    def __init__(self, seconds: float, heart: Heart, orders: OrderBook) -> None:
        super().__init__(name="time limit", daemon=True)
        self._seconds = seconds
        self._heart = heart
        self._orders = orders
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """End the watch."""
        self._cancelled.set()

    def run(self) -> None:
        """Wait, and give the order."""
        if self._cancelled.wait(self._seconds):
            return
        if self._heart.state is RunState.POSTING and self._cancelled.wait(POSTING_MARGIN):
            return
        self._orders.give(Order.TIMEOUT, f"the run did not end within its time limit of {self._seconds:.0f} s")


def _hidden(payload: Payload) -> AbstractContextManager[None]:
    return logs.SECRETS.hidden({payload.secret, *logs.secret_values(payload.conf_json)})
