"""The heartbeat of an attempt: a thread that keeps the claim alive and passes on what the server wants."""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from refstack_worker.contract.heartbeat import FINISHED_GRACE, HeartbeatAnswer, HeartbeatReply
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.worker import logs
from refstack_worker.worker.server_api.attempts import AttemptApi

LOG = logging.getLogger(__name__)


class StopListener(Protocol):
    """What learns from the heartbeat that the attempt has to end. Each call returns False if that was known."""

    def cancel(self, why: str) -> bool:
        """The server wants the attempt cancelled."""

    def supersede(self, why: str) -> bool:
        """The attempt no longer belongs to this worker."""

    def lose_server(self, why: str) -> bool:
        """The server did not answer for longer than it may take."""


class Heartbeat(threading.Thread):
    """Sends heartbeats until it is stopped; the run's thread sets ``progress`` and, for the time limit, ``state``."""

    def __init__(self, api: AttemptApi, listener: StopListener, seconds: float, patience: float) -> None:
        super().__init__(name=f"heartbeat {api.claimed.run}", daemon=True)
        self.state = RunState.CLAIMED
        self.progress = Progress()
        self.seconds = seconds
        """Interval that the server last asked for."""
        self._api = api
        self._listener = listener
        self._patience = patience
        self._stopped = threading.Event()
        self._last_reply = time.monotonic()
        self._finished: float | None = None

    def stop(self) -> None:
        """End the thread; waits for a heartbeat under way."""
        self._stopped.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join()

    def run(self) -> None:
        with logs.about(self._api.claimed.run):
            due = time.monotonic()
            while not self._stopped.wait(max(0.0, due - time.monotonic())):
                due = time.monotonic() + self.seconds
                self._send()

    def _send(self) -> None:
        try:
            answer = self._api.heartbeat(self.progress)
        except RefusedError as error:
            self._supersede(error.reason)
        except ServerError as error:
            self._no_reply(error)
        else:
            self._last_reply = time.monotonic()
            self.seconds = answer.heartbeat_seconds
            self._obey(answer)

    def _obey(self, answer: HeartbeatAnswer) -> None:
        if answer.reply is HeartbeatReply.CANCEL:
            if not self._stopped.is_set() and self._listener.cancel(answer.reason):
                LOG.info("the server cancelled the attempt%s", f" ({answer.reason})" if answer.reason else "")
        elif answer.reply is HeartbeatReply.STOP and not self._may_end_itself(answer.reason):
            self._supersede(answer.reason)

    def _may_end_itself(self, reason: str) -> bool:
        """Return whether the server stops the run because it has its result, and only just received it."""
        if reason != RunState.FINISHED.value:
            return False
        if self._finished is None:
            self._finished = self._last_reply
        return self._last_reply - self._finished < FINISHED_GRACE

    def _supersede(self, reason: str) -> None:
        if not self._stopped.is_set() and self._listener.supersede(reason):
            LOG.info("the server stopped the attempt%s", f" ({reason})" if reason else "")

    def _no_reply(self, error: ServerError) -> None:
        silence = time.monotonic() - self._last_reply
        LOG.warning("no reply to heartbeats for %.0f s: %s", silence, error)
        if silence > self._patience:
            self._listener.lose_server(f"no reply for {silence:.0f} s")
