"""One connection to one Gearman server, for asking and waiting: submit, status, cancel.

gear's own ``Client`` sends a job again to the next server when the first does not answer in time; here that would make
two jobs of one attempt. So this uses gear's ``Connection`` and packets directly, and says exactly what is known of a
job afterwards: queued, surely not queued, or uncertain.
"""

from __future__ import annotations

import enum
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import gear
from gear import constants

from refstack_worker.errors import QueueError
from refstack_worker.gearman import GET_STATUS_UNIQUE, STATUS_RES_UNIQUE, Address, send_at_once

LOG = logging.getLogger(__name__)
T = TypeVar("T")

TIMEOUT = 5.0
"""Seconds that a Gearman server gets to take a connection or to answer."""
RETRY_SECONDS = 1.0
"""Seconds after a failed connect in which a server counts as down without being tried."""
IDLE_SECONDS = 5.0
"""Seconds of silence after which a connection is tried with a question before a job is trusted to it."""
CLOCK_MARGIN = 5.0
"""Seconds by which the age of a job, measured with the database's clock, may be wrong."""
QUESTIONS_AT_ONCE = 200
"""Status questions that are sent before the answers are read."""
_NO_JOB = b"H:refstack:0"


class Outcome(enum.Enum):
    """What is known of a job after the try to submit it."""

    QUEUED = "queued"
    NOT_SENT = "not sent"
    """The server was not reached or refused: the same attempt may be tried again."""
    UNCERTAIN = "uncertain"
    """The connection broke or timed out after sending: the job may be queued, so this attempt number is spent."""


@dataclass(frozen=True)
class Job:
    """What is given to the queue."""

    function: str
    unique: str
    data: bytes
    precedence: int = gear.PRECEDENCE_NORMAL


@dataclass(frozen=True)
class Submitted:
    """The answer to a :class:`Job`."""

    outcome: Outcome
    server: str = ""
    """``host:port`` of the Gearman server."""
    handle: str = ""
    message: str = ""
    """Why the job was not queued."""


class Cancelled(enum.Enum):
    """A Gearman server's reply to the cancel of a queued job."""

    OK = "OK"
    UNKNOWN = "unknown"
    UNSURE = "unsure"
    """Not asked: the handle may name another job by now."""


_SUBMIT = {
    gear.PRECEDENCE_NORMAL: constants.SUBMIT_JOB_BG,
    gear.PRECEDENCE_LOW: constants.SUBMIT_JOB_LOW_BG,
    gear.PRECEDENCE_HIGH: constants.SUBMIT_JOB_HIGH_BG,
}


class _Connection(gear.Connection):  # type: ignore[misc]
    """gear's connection with a time limit, on a socket that sends at once."""

    def __init__(self, address: Address, timeout: float) -> None:
        super().__init__(address.host, address.port, client_id="refstack-server")
        self.timeout = timeout
        self.used = time.monotonic()
        self.since = 0.0
        """When it was made, by the steady clock."""

    def connect(self) -> None:
        self.conn = socket.create_connection((self.host, self.port), self.timeout)
        send_at_once(self.conn)
        self.connected = True
        self.since = time.monotonic()
        self.input_buffer = b""
        self.need_bytes = False

    def sendRaw(self, data: bytes) -> None:  # noqa: N802 - gear's name
        # gear's own begins from the start again when the socket took only a part
        with self.send_lock:
            self.conn.sendall(data)

    def read(self) -> Any:
        """Return the next packet or answered admin request. :raises OSError: none came in time, or the end."""
        found = self.readPacket()
        if found is None:
            raise ConnectionResetError("the server closed the connection")
        self.used = time.monotonic()
        return found

    def is_quiet(self) -> bool:
        """Return whether the peer is still there and has nothing to say, as it should between two questions."""
        poll = select.poll()
        poll.register(self.conn, select.POLLIN | select.POLLHUP | select.POLLERR)
        return not poll.poll(0)


class GearmanConnection:
    """The connection to one Gearman server; it is made when needed, kept, and made again after a failure.

    Safe to use from several threads: one question at a time.
    """

    def __init__(self, address: Address, timeout: float = TIMEOUT) -> None:
        self.address = address
        self._timeout = timeout
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._down_until = 0.0
        self._knows_uniques = True

    def submit(self, job: Job) -> Submitted:
        """Submit a background job and say what is known of it; never raises for a server that is away."""
        with self._lock:
            try:
                connection = self._connected()
            except QueueError as error:
                return Submitted(Outcome.NOT_SENT, str(self.address), message=str(error))
            try:
                answer = _submit(connection, job)
            except (OSError, ValueError, IndexError, gear.GearmanError) as error:
                self._drop()
                message = f"{self.address}: no answer to a submitted job: {error or type(error).__name__}"
                return Submitted(Outcome.UNCERTAIN, str(self.address), message=message)
        if answer.ptype == constants.JOB_CREATED:
            return Submitted(Outcome.QUEUED, str(self.address), bytes(answer.data).decode("utf-8", "replace"))
        return Submitted(Outcome.NOT_SENT, str(self.address), message=f"{self.address}: {_error_text(answer)}")

    def admin(self, request: gear.AdminRequest) -> list[str]:
        """Return the lines of the answer to an admin request. :raises QueueError: the server cannot be asked."""
        return self._asked(lambda connection: _admin(connection, request))

    def cancel(self, handle: str, age: float) -> Cancelled:
        """Make the server forget a queued job. gearmand says OK for a running one too, and it runs on.

        After a restart a handle names another job, so this asks only over a connection that has been up since the job
        was submitted. gearmand goes on to call a cancelled job known until a worker asks.

        :param age: seconds since the job was submitted. Not a time: the clock of this machine may be wrong.
        :raises QueueError: the server cannot be asked.
        """
        if not handle or not handle.isprintable() or " " in handle:
            raise QueueError(f"{handle!r} is not a job handle")

        def question(connection: _Connection) -> Cancelled:
            if time.monotonic() - connection.since < age + CLOCK_MARGIN:
                return Cancelled.UNSURE
            lines = _admin(connection, gear.CancelJobAdminRequest(handle))
            return Cancelled.OK if lines and lines[0].startswith("OK") else Cancelled.UNKNOWN

        return self._asked(question)

    def known(self, jobs: Sequence[tuple[str, str]]) -> dict[str, bool]:
        """Return which of these jobs (unique, handle) the server still has, and whether it has given it to a worker.

        :raises QueueError: the server cannot be asked.
        """
        found: dict[str, bool] = {}
        for start in range(0, len(jobs), QUESTIONS_AT_ONCE):
            some = jobs[start : start + QUESTIONS_AT_ONCE]
            found.update(self._asked(lambda connection, some=some: self._known(connection, some)))
        return found

    def close(self) -> None:
        """Close the connection; the next question makes a new one."""
        with self._lock:
            self._drop()

    def _asked(self, question: Callable[..., T]) -> T:
        with self._lock:
            connection = self._connected()
            try:
                return question(connection)
            except (OSError, ValueError, IndexError, gear.GearmanError) as error:
                self._drop()
                raise QueueError(f"gearman server {self.address}: {error or type(error).__name__}") from error

    def _connected(self) -> _Connection:
        if self._connection is not None and not self._is_alive(self._connection):
            self._drop()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _is_alive(self, connection: _Connection) -> bool:
        if not connection.is_quiet():
            return False
        if time.monotonic() - connection.used < IDLE_SECONDS:
            return True
        try:
            _ask_handle(connection, _NO_JOB)
            return bool(connection.read().ptype == constants.STATUS_RES)
        except OSError:
            return False

    def _connect(self) -> _Connection:
        if time.monotonic() < self._down_until:
            raise QueueError(f"gearman server {self.address}: cannot be reached (tried a moment ago)")
        connection = _Connection(self.address, self._timeout)
        try:
            connection.connect()
        except OSError as error:
            self._down_until = time.monotonic() + RETRY_SECONDS
            raise QueueError(
                f"gearman server {self.address}: cannot be reached: {error.strerror or error}; "
                "is it running, and is GEARMAN_SERVER right?"
            ) from error
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._connection.disconnect()
            self._connection = None
            self._knows_uniques = True

    def _known(self, connection: _Connection, jobs: Sequence[tuple[str, str]]) -> dict[str, bool]:
        for unique, handle in jobs:
            if self._knows_uniques:
                connection.sendPacket(gear.Packet(constants.REQ, GET_STATUS_UNIQUE, unique.encode("utf-8")))
            _ask_handle(connection, handle.encode("utf-8") or _NO_JOB)
        by_unique: dict[str, tuple[bool, bool]] = {}
        by_handle: list[tuple[bool, bool]] = []
        while len(by_handle) < len(jobs):
            packet = connection.read()
            if packet.ptype == STATUS_RES_UNIQUE:
                by_unique[packet.getArgument(0).decode("utf-8", "replace")] = _known_and_running(packet)
            elif packet.ptype == constants.STATUS_RES:
                by_handle.append(_known_and_running(packet))
        # gear's own server answers by handle alone
        self._knows_uniques = bool(by_unique)
        answers = {unique: by_unique.get(unique, told) for (unique, _handle), told in zip(jobs, by_handle)}
        return {unique: is_running for unique, (is_known, is_running) in answers.items() if is_known}


def _submit(connection: _Connection, job: Job) -> Any:
    data = b"\0".join((job.function.encode("utf-8"), job.unique.encode("utf-8"), job.data))
    connection.sendPacket(gear.Packet(constants.REQ, _SUBMIT[job.precedence], data))
    while True:
        packet = connection.read()
        if packet.ptype in (constants.JOB_CREATED, constants.ERROR):
            return packet


def _known_and_running(packet: Any) -> tuple[bool, bool]:
    return packet.getArgument(1) == b"1", packet.getArgument(2) == b"1"


def _admin(connection: _Connection, request: gear.AdminRequest) -> list[str]:
    connection.admin_requests.append(request)
    connection.sendRaw(request.getCommand())
    connection.read()
    lines = bytes(request.response).decode("utf-8", "replace").splitlines()
    return [line for line in lines if line != "."]


def _ask_handle(connection: _Connection, handle: bytes) -> None:
    connection.sendPacket(gear.Packet(constants.REQ, constants.GET_STATUS, handle))


def _error_text(packet: Any) -> str:
    words = bytes(packet.data).split(b"\0")
    return "refused the job: " + " ".join(word.decode("utf-8", "replace") for word in words if word)
