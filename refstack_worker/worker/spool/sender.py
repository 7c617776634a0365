"""The threads that tell what lies in the spool, and meanwhile keep those attempts alive on the server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract.envelope import Opener
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Progress, Report
from refstack_worker.errors import RefstackError, RefusedError, ServerError
from refstack_worker.worker import logs
from refstack_worker.worker.attempt.outcome import NOT_POSTED, PASSED, TESTS_FAILED
from refstack_worker.worker.sandbox.commands import Commands
from refstack_worker.worker.sandbox.runner import Runner, Session
from refstack_worker.worker.server_api.attempts import ClaimedAttempt, Reporter
from refstack_worker.worker.server_api.reports import CleanupListener
from refstack_worker.worker.spool.spool import RESULT, Entry, Spool

LOG = logging.getLogger(__name__)

UNCLEARED = (
    "clean-up: it was cut off with the worker; what carries {prefix}, and the projects and users that Tempest made for"
    " its tests (tempest-…), may still be in the cloud"
)
"""Told to the vendor when nobody is left who could remove it."""
SPOOL_PATIENCE = 10
"""Seconds of one try; there will be others."""
IDLE_SECONDS = 15.0
"""How often the folder is looked at while nothing is in it and nobody says that something is."""


@dataclass(frozen=True)
class Tools:
    """What posting a result takes."""

    settings: WorkerSettings
    opener: Opener
    runner: Runner
    """Posts as the worker's own user, who alone can read the spool."""
    program: tuple[str, ...]


class Beats(threading.Thread):
    """The heartbeats of what lies in the spool, on their own, for a post may take long."""

    def __init__(self, spool: Spool, tools: Tools, heard_again: Callable[[Entry], None]) -> None:
        super().__init__(name="spool heartbeats", daemon=True)
        self._spool = spool
        self._tools = tools
        self._heard_again = heard_again
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._unheard: set[str] = set()
        self.unwanted: dict[str, str] = {}
        """Entry to why the server does not want it any more."""

    def stop(self) -> None:
        """End it."""
        self._stopped.set()
        self._wake.set()

    def nudge(self) -> None:
        """Look at the folder now."""
        self._wake.set()

    def run(self) -> None:
        """Beat for each result, as often as the server wants for the most urgent."""
        pause = 0.0
        while not self._stopped.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            entries = [entry for entry in self._spool.entries() if entry.kind == RESULT]
            pause = min([IDLE_SECONDS, *(entry.heartbeat_seconds for entry in entries)])
            self._unheard &= {entry.name for entry in entries}
            for entry in entries:
                with logs.about(entry.run):
                    self._beat(entry)

    def _beat(self, entry: Entry) -> None:
        try:
            beat(self._spool.held(entry, self._tools.opener), self._tools.settings)
        except RefusedError as error:
            self.unwanted[entry.name] = str(error)
            self._heard_again(entry)
        except RefstackError as error:
            LOG.debug("%s", error)  # the next try to post will say it
            self._unheard.add(entry.name)
        else:
            if entry.name in self._unheard:
                self._unheard.discard(entry.name)
                self._heard_again(entry)


class Forwarder(threading.Thread):
    """Tries each entry again with growing pauses, until the server takes it or refuses it for good."""

    def __init__(self, spool: Spool, tools: Tools) -> None:
        super().__init__(name="spool", daemon=True)
        self._spool = spool
        self._tools = tools
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._session: Session | None = None
        self._beats = Beats(spool, tools, self._heard_again)

    def stop(self) -> None:
        """End it; a post under way is broken off and made again later."""
        self._stopped.set()
        self._beats.stop()
        self._wake.set()
        session = self._session
        if session is not None:
            session.stop()
        if self.is_alive():
            self.join()

    def nudge(self) -> None:
        """Look at the folder now."""
        self._beats.nudge()
        self._wake.set()

    def run(self) -> None:
        """Tell what is due."""
        self._beats.start()
        while not self._stopped.is_set():
            entries = self._spool.entries()
            for entry in entries:
                if not self._stopped.is_set():
                    self._look_after(entry)
            self._wake.wait(self._pause(entries))
            self._wake.clear()

    def _pause(self, entries: list[Entry]) -> float:
        if not entries:
            return IDLE_SECONDS
        now = time.time()
        return min([IDLE_SECONDS, *(max(0.05, entry.next_try - now) for entry in entries)])

    def _heard_again(self, entry: Entry) -> None:
        """The server is back, or does not want it any more: no reason to wait."""
        self._spool.due_now(entry)
        self._wake.set()

    def _look_after(self, entry: Entry) -> None:
        with logs.about(entry.run):
            try:
                if self._spool.is_too_old(entry):
                    LOG.error("given up after %g days: %s", self._tools.settings.spool.keep_days, entry.error)
                    self._spool.remove(entry)
                elif entry.name in self._beats.unwanted:
                    raise RefusedError(self._beats.unwanted.pop(entry.name))
                elif self._spool.is_due(entry):
                    self._tell(entry)
            except RefusedError as error:
                LOG.warning("the server does not want it any more: %s", error)
                self._spool.remove(entry)
            except (RefstackError, OSError) as error:
                LOG.warning("still in the spool: %s", error)
                self._spool.failed(entry, str(error))

    def _tell(self, entry: Entry) -> None:
        held = self._spool.held(entry, self._tools.opener)
        with logs.SECRETS.hidden({held.payload.secret, *logs.secret_values(held.payload.conf_json)}):
            if entry.kind == RESULT:
                self._post(entry, held)
            else:
                self._say(entry, held)
                self._spool.remove(entry)
                LOG.info("told: %s %s", entry.kind, entry.message)

    def _say(self, entry: Entry, held: ClaimedAttempt) -> None:
        reporter = Reporter(held, self._tools.settings.server)
        try:
            if entry.status:
                reporter.report(Report(RunState(entry.status), entry.message, entry.reason), 0.0)
            else:
                self._release(entry, held, reporter)
        finally:
            reporter.close()

    def _release(self, entry: Entry, held: ClaimedAttempt, reporter: Reporter) -> None:
        """Give an attempt back; if its run had ended, it was cut off while the node cleared up after it."""
        try:
            reporter.release(entry.message or entry.reason, 0.0)
        except RefusedError as error:
            if error.reason == "ended":
                reporter.report(Report(message=UNCLEARED.format(prefix=held.payload.prefix)), 0.0)
            raise

    def _post(self, entry: Entry, held: ClaimedAttempt) -> None:
        beat(held, self._tools.settings)
        commands = Commands(self._tools.program, self._tools.settings, held)
        listener = CleanupListener()
        with self._tools.runner.open(f"post-{entry.name}") as self._session:
            end = self._session.run(commands.post(str(self._spool.path(entry)), SPOOL_PATIENCE), listener)
        self._session = None
        said = str(listener.last.get("message", end.message))
        if end.status in (PASSED, TESTS_FAILED):
            self._spool.remove(entry)
            LOG.info("result posted from the spool")
        elif end.status == NOT_POSTED and listener.last.get("reason") == "refused":
            raise RefusedError(said)
        else:
            raise ServerError(said or f"execute_test ended with status {end.status}")


def beat(held: ClaimedAttempt, settings: WorkerSettings) -> None:
    """Say that an attempt whose result is on its way is alive.

    :raises RefusedError: the server does not want it any more.
    :raises ServerError: not heard.
    """
    reporter = Reporter(held, settings.server)
    try:
        orders = reporter.heartbeat(RunState.POSTING, Progress())
        if orders.order == "cancel":
            reporter.report(Report(RunState.CANCELLED, "cancelled before its result was posted", "cancelled"), 0.0)
    finally:
        reporter.close()
    if orders.order != "go":
        raise RefusedError(f"the server says {orders.order} ({orders.reason})")
