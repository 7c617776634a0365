"""Sends what lies in the spool, and keeps those attempts alive on the server until then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract.envelope import Opener
from refstack_worker.contract.execute_test import Reason, says_posted
from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.secrets import secret_values
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefstackError, RefusedError, ServerError
from refstack_worker.worker import logs
from refstack_worker.worker.sandbox.commands import Commands
from refstack_worker.worker.sandbox.listeners import CleanupListener
from refstack_worker.worker.sandbox.runner import Runner, Sandbox
from refstack_worker.worker.server_api.attempts import AttemptApi, ClaimedAttempt, earlier_prefixes
from refstack_worker.worker.spool.spool import RESULT, Spool, SpoolEntry

LOG = logging.getLogger(__name__)

NOT_CLEANED_UP = (
    "Couldn't clean up: the worker was killed. The cloud may still hold resources named {prefixes}, and the projects"
    " and users that Tempest created for its tests (tempest-…)."
)
"""Reported to the vendor when no process is left that could remove them."""
SPOOL_PATIENCE = 10
"""Seconds of one try; others follow."""
LAST_CHANCE_SECONDS = 3600.0
"""For which an entry that is too old is still tried."""
IDLE_SECONDS = 15.0
"""Interval between looks at the empty spool, if nothing wakes the thread."""


@dataclass(frozen=True)
class SenderTools:
    """What it takes to post a result."""

    settings: WorkerSettings
    opener: Opener
    runner: Runner
    """Posts as the worker's own user: no other user can read the spool."""
    program: tuple[str, ...]


class SpoolHeartbeats(threading.Thread):
    """Heartbeats for the results in the spool, in a thread of their own: a post may take long."""

    def __init__(self, spool: Spool, tools: SenderTools, wake: Callable[[SpoolEntry], None]) -> None:
        super().__init__(name="spool heartbeats", daemon=True)
        self._spool = spool
        self._tools = tools
        self._wake_sender = wake
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._unanswered: set[str] = set()
        self.unwanted: dict[str, str] = {}
        """Entry → why the server no longer wants it."""

    def stop(self) -> None:
        """End the thread after the current heartbeat."""
        self._stopped.set()
        self._wake.set()

    def nudge(self) -> None:
        """Look at the folder now."""
        self._wake.set()

    def run(self) -> None:
        pause = 0.0
        while not self._stopped.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            entries = [entry for entry in self._spool.entries() if entry.kind == RESULT]
            pause = min([IDLE_SECONDS, *(entry.heartbeat_seconds for entry in entries)])
            self._unanswered &= {entry.name for entry in entries}
            for entry in entries:
                with logs.about(entry.run):
                    self._send(entry)

    def _send(self, entry: SpoolEntry) -> None:
        try:
            send_heartbeat(self._spool.claimed(entry, self._tools.opener), self._tools.settings)
        except RefusedError as error:
            self.unwanted[entry.name] = str(error)
            self._wake_sender(entry)
        except RefstackError as error:
            LOG.debug("%s", error)  # the next try to post will log it
            self._unanswered.add(entry.name)
        else:
            if entry.name in self._unanswered:
                self._unanswered.discard(entry.name)
                self._wake_sender(entry)


class SpoolSender(threading.Thread):
    """Tries each entry with growing pauses until the server accepts it or refuses it for good."""

    def __init__(self, spool: Spool, tools: SenderTools) -> None:
        super().__init__(name="spool", daemon=True)
        self._spool = spool
        self._tools = tools
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._sandbox: Sandbox | None = None
        self._heartbeats = SpoolHeartbeats(spool, tools, self._try_now)
        self._too_old: dict[str, float] = {}
        """Entries that are too old, and since when they are found so, by the steady clock."""

    def stop(self) -> None:
        """End the thread; a post under way is aborted and repeated later."""
        self._stopped.set()
        self._heartbeats.stop()
        self._wake.set()
        sandbox = self._sandbox
        if sandbox is not None:
            sandbox.stop()
        if self.is_alive():
            self.join()

    def nudge(self) -> None:
        """Look at the folder now."""
        self._heartbeats.nudge()
        self._wake.set()

    def run(self) -> None:
        self._heartbeats.start()
        while not self._stopped.is_set():
            for entry in self._spool.entries():
                if self._stopped.is_set():
                    return
                self._handle(entry)
            self._wake.wait(self._pause())
            self._wake.clear()

    def _pause(self) -> float:
        entries = self._spool.entries()
        if not entries:
            return IDLE_SECONDS
        now = time.time()
        return min([IDLE_SECONDS, *(max(0.05, entry.next_try - now) for entry in entries)])

    def _try_now(self, entry: SpoolEntry) -> None:
        """The server is back, or no longer wants the entry: there is no reason to wait."""
        self._spool.due_now(entry)
        self._wake.set()

    def _handle(self, entry: SpoolEntry) -> None:
        with logs.about(entry.run):
            try:
                if entry.name in self._heartbeats.unwanted:
                    raise RefusedError(self._heartbeats.unwanted.pop(entry.name))
                elif self._spool.is_due(entry):
                    self._send(entry)
            except RefusedError as error:
                LOG.warning("removed from the spool, the server no longer wants it: %s", error)
                self._spool.remove(entry)
            except (RefstackError, OSError) as error:
                self._failed(entry, error)

    def _failed(self, entry: SpoolEntry, error: Exception) -> None:
        if self._is_given_up(entry):
            LOG.error("given up after %g days: %s", self._tools.settings.spool.keep_days, error)
            self._spool.remove(entry)
        else:
            LOG.warning("still in the spool: %s", error)
            self._spool.failed(entry, str(error))

    def _is_given_up(self, entry: SpoolEntry) -> bool:
        """Return whether an entry is too old, and has been for a while: a clock that is wrong may be set right."""
        if not self._spool.is_too_old(entry):
            self._too_old.pop(entry.name, None)
            return False
        since = self._too_old.setdefault(entry.name, time.monotonic())
        return time.monotonic() - since >= LAST_CHANCE_SECONDS

    def _send(self, entry: SpoolEntry) -> None:
        claimed = self._spool.claimed(entry, self._tools.opener)
        with logs.SECRETS.hidden({claimed.payload.secret, *secret_values(claimed.payload.conf_json)}):
            if entry.kind == RESULT:
                self._post(entry, claimed)
            else:
                self._report(entry, claimed)
                self._spool.remove(entry)
                LOG.info("sent from the spool: %s %s", entry.kind, entry.message)

    def _report(self, entry: SpoolEntry, claimed: ClaimedAttempt) -> None:
        api = AttemptApi(claimed, self._tools.settings.server)
        try:
            if entry.status:
                api.report(Report(RunState(entry.status), entry.message, entry.reason), 0.0)
            else:
                self._release(entry, claimed, api)
        finally:
            api.close()

    def _release(self, entry: SpoolEntry, claimed: ClaimedAttempt, api: AttemptApi) -> None:
        """Give an attempt up; if its run had ended, the worker was killed while it cleaned up."""
        try:
            api.release(entry.message or entry.reason, 0.0)
        except RefusedError as error:
            if error.reason == "ended":
                payload = claimed.payload
                # what a lost attempt left is removed after a later one, so that may be there too
                prefixes = " or ".join(f"{prefix}…" for prefix in (payload.prefix, *earlier_prefixes(payload)))
                api.report(Report(message=NOT_CLEANED_UP.format(prefixes=prefixes)), 0.0)
            raise

    def _post(self, entry: SpoolEntry, claimed: ClaimedAttempt) -> None:
        send_heartbeat(claimed, self._tools.settings)
        commands = Commands(self._tools.program, self._tools.settings, claimed.payload, claimed.token)
        listener = CleanupListener()
        with self._tools.runner.open(f"post-{entry.name}") as self._sandbox:
            end = self._sandbox.run(commands.post(str(self._spool.path(entry)), SPOOL_PATIENCE), listener)
        self._sandbox = None
        message = listener.last.message if listener.last else end.message
        if says_posted(end.status, listener.last):
            self._spool.remove(entry)
            LOG.info("result posted from the spool")
        elif listener.last and listener.last.reason == Reason.REFUSED:
            raise RefusedError(message)
        else:
            raise ServerError(message or f"execute_test ended with status {end.status}")


def send_heartbeat(claimed: ClaimedAttempt, settings: WorkerSettings) -> None:
    """Keep an attempt alive whose result waits in the spool.

    :raises RefusedError: the server no longer wants it.
    :raises ServerError: no reply.
    """
    api = AttemptApi(claimed, settings.server)
    try:
        answer = api.heartbeat(Progress())
        if answer.reply is HeartbeatReply.CANCEL:
            api.report(Report(RunState.CANCELLED, "cancelled before its result was posted", "cancelled"), 0.0)
    finally:
        api.close()
    if answer.reply is not HeartbeatReply.GO:
        raise RefusedError(f"the server replied {answer.reply.value} ({answer.reason})")
