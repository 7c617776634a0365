"""The calls about one attempt: claim, heartbeat, report, release (``docs/protocol.md``)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from refstack_worker.config.worker import ServerLinkSettings
from refstack_worker.contract import attempt_token
from refstack_worker.contract.console import BATCH_SECONDS, Batch
from refstack_worker.contract.durations import read_durations
from refstack_worker.contract.heartbeat import HeartbeatAnswer, bounded_seconds, heartbeat_body, interval
from refstack_worker.contract.messages import clean_line
from refstack_worker.contract.payload import Payload
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import ServerError
from refstack_worker.worker.server_api.connection import ServerConnection

CONSOLE_TIMEOUT = 5.0
DURATIONS_TIMEOUT = 5.0
HEARTBEAT_TIMEOUT = 5.0
"""Seconds for a heartbeat: a late one is worth nothing, the next one is due."""
MAX_EARLIER = 3
"""Earlier attempts whose leftovers are removed too: the node of a lost attempt could not do it."""
MAX_IDLE_SECONDS = 5.0
"""A connection that would be idle for longer is closed: the server of a large fleet would hold thousands open."""


@dataclass(frozen=True)
class ClaimedAttempt:
    """An attempt that this worker has claimed, or is about to claim."""

    payload: Payload
    envelope: bytes = field(repr=False)
    """The payload, sealed, as it arrived."""
    claim: str = field(repr=False)
    """Random id of this claim."""
    worker: str
    """Name of the node."""
    tempest_version: str

    @property
    def run(self) -> str:
        """The attempt in messages: ``<test id>:<attempt>``."""
        return f"{self.payload.test_id}:{self.payload.attempt}"

    @property
    def token(self) -> str:
        """The bearer token that proves that this worker holds the claim."""
        return attempt_token.join(self.payload.secret, self.claim)


def earlier_prefixes(payload: Payload) -> list[str]:
    """Return the prefixes of the attempts before this one, as far as what they left is removed after it."""
    first = max(1, payload.attempt - MAX_EARLIER)
    return [payload.prefix_of(number) for number in range(first, payload.attempt)]


@dataclass(frozen=True)
class ConsoleReply:
    """The server's reply to console lines."""

    next: int
    """Number of the line that it expects next."""
    seconds: float
    """Interval between batches."""
    full: bool
    """It keeps no more lines of this attempt."""


class AttemptApi:
    """One attempt's calls to its server."""

    def __init__(self, claimed: ClaimedAttempt, settings: ServerLinkSettings) -> None:
        self.claimed = claimed
        payload = claimed.payload
        self._settings = settings
        self._connection = ServerConnection(payload.callback, settings, claimed.token)
        self._path = f"/worker/v1/runs/{payload.test_id}/attempts/{payload.attempt}"
        self._pause = 0.0
        """Seconds to the next heartbeat."""

    def close(self) -> None:
        """Close the connections to the server."""
        self._connection.close()

    def claim(self, given_up: threading.Event, lock_digest: str = "") -> float:
        """Claim the attempt. :returns: seconds between heartbeats.

        :param lock_digest: SHA-256 of the environment's lock; the verdict names it.
        :raises RefusedError: another worker claimed it, or it is over.
        :raises ServerError: the server could not be asked.
        """
        body = {**self._claim, "tempest_version": self.claimed.tempest_version}
        if lock_digest:
            body["lock"] = lock_digest
        patience = self._settings.patience
        reply = self._connection.post_with_retries(f"{self._path}/claim", body, patience, given_up)
        self._pause = interval(reply)
        return self._pause

    def heartbeat(self, progress: Progress) -> HeartbeatAnswer:
        """Keep the claim alive and send the progress.

        :raises RefusedError: the attempt no longer belongs to this worker.
        :raises ServerError: no usable reply.
        """
        body = heartbeat_body(self.claimed.claim, self.claimed.worker, progress)
        is_last = self._pause > MAX_IDLE_SECONDS
        reply = self._connection.post(f"{self._path}/heartbeat", body, HEARTBEAT_TIMEOUT, is_last)
        try:
            answer = HeartbeatAnswer.from_json(reply)
        except ValueError:
            raise ServerError(f"heartbeat: unknown instruction {str(reply.get('order'))[:40]!r} in the reply") from None
        self._pause = answer.heartbeat_seconds
        return answer

    def console(self, batch: Batch) -> ConsoleReply:
        """Send lines of the live console, once.

        :raises RefusedError: the server takes none from this worker.
        :raises ServerError: no usable reply.
        """
        reply = self._connection.post(f"{self._path}/console", {**self._claim, **batch.to_json()}, CONSOLE_TIMEOUT)
        number = reply.get("next")
        if not isinstance(number, int) or isinstance(number, bool):
            raise ServerError("console: the reply does not say which line the server expects next")
        return ConsoleReply(number, bounded_seconds(reply.get("seconds"), BATCH_SECONDS), reply.get("full") is True)

    def durations(self) -> dict[str, float]:
        """Return how many seconds tests took in earlier runs, by name.

        :raises RefusedError: the attempt no longer belongs to this worker.
        :raises ServerError: no usable reply.
        """
        reply = self._connection.post(f"{self._path}/durations", self._claim, DURATIONS_TIMEOUT, last=True)
        try:
            return read_durations(reply)
        except ValueError as error:
            raise ServerError(f"durations: {error}") from None

    def report(self, report: Report, patience: float | None = None) -> None:
        """Report a state, a message, or both (``update-test-status``).

        :raises RefusedError: the attempt is superseded or over.
        :raises ServerError: the server did not take it within ``patience`` seconds.
        """
        body = {
            **report.to_json(),
            "message": clean_line(report.message),
            "payload": self.claimed.envelope.decode("ascii"),
            "test_id": self.claimed.payload.test_id,
            "attempt": self.claimed.payload.attempt,
            "worker": self.claimed.worker,
        }
        self._connection.post_with_retries("/update-test-status/", body, self._limit(patience))

    def release(self, reason: str, patience: float | None = None) -> None:
        """Give the attempt up; the server makes the next one at once. Raises as :meth:`report` does."""
        body = {**self._claim, "reason": clean_line(reason)}
        self._connection.post_with_retries(f"{self._path}/release", body, self._limit(patience))

    def _limit(self, patience: float | None) -> float:
        return self._settings.patience if patience is None else min(patience, self._settings.patience)

    @property
    def _claim(self) -> dict[str, Any]:
        return {"claim": self.claimed.claim, "worker": self.claimed.worker}
