"""Starts a run in processes of its own: one interface, two ways to get a connection to the run's agent.

:class:`SystemdRunner` connects to the socket of ``refstack-run.socket``; systemd then starts the agent with a fresh
user, limits and hardening. :class:`EmbeddedRunner` starts the agent itself. Everything after that is the same.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import refstack_worker
from refstack_worker import process
from refstack_worker.config.worker import RunSettings
from refstack_worker.errors import RefstackError, RunError
from refstack_worker.worker.sandbox import frames, leftovers

LOG = logging.getLogger(__name__)

CHUNK = 1 << 20
CLOSE_SECONDS = 60.0
"""For the agent to end and remove everything after the connection is closed."""
CONNECT_SECONDS = 10.0
MAX_FRAMES_PER_SECOND = 2000
"""Events, lines and pieces of files of one run that are read; a run that writes faster has to wait."""


@dataclass(frozen=True)
class Command:
    """One program of a run. ``{run}`` in arguments and environment stands for the run's folder."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment except HOME and TMPDIR, which are in the run's folder."""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Name to content; written to the run's folder, readable by the run only."""
    results: tuple[str, ...] = ()
    """Files of the working folder ``{run}/work`` that are returned ..."""
    results_on: tuple[int, ...] = ()
    """... if the program ends with one of these statuses."""
    max_result: int = 512 * 2**20
    """Size limit of a result file in bytes."""
    grace: float = 1.5
    """Seconds between TERM and KILL."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """``file`` and ``memory`` in bytes, ``processes``."""

    def start_frame(self) -> tuple[dict[str, Any], bytes]:
        """Return header and body of the frame that starts it."""
        header = {
            "argv": list(self.argv),
            "env": dict(self.env),
            "files": [{"name": name, "bytes": len(data)} for name, data in self.files.items()],
            "grace": self.grace,
            "limits": dict(self.limits),
            "results": {"names": list(self.results), "on": list(self.results_on), "max_bytes": self.max_result},
        }
        return header, b"".join(self.files.values())


class ProcessListener(Protocol):
    """Handles the output of a program while it runs. An error that it raises ends the run."""

    def event(self, event: Mapping[str, Any]) -> None:
        """A JSON object on a line of standard output."""

    def log(self, line: str) -> None:
        """Any other line of output."""

    def file(self, name: str, data: bytes, last: bool) -> None:
        """A piece of a result file."""


@dataclass(frozen=True)
class ProcessExit:
    """How a program of a run ended."""

    status: int | None
    """Exit status, negative for a signal; None: it was never started, or the whole run was lost."""
    message: str = ""
    """Why there is no status."""
    lost: bool = False
    """The agent disappeared: it was killed, or the machine ran out of memory."""


class Sandbox:
    """The connection to one run's agent; programs follow one another in the same folder until it is closed."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = frames.FrameReader()
        self._writing = threading.Lock()
        self._stopped = False

    def run(self, command: Command, listener: ProcessListener, after_stop: bool = False) -> ProcessExit:
        """Run a program to its end.

        :param after_stop: run it even if the sandbox was stopped before: to clean up after what was stopped.
        :raises RunError: invalid data on the connection.
        """
        try:
            with self._writing:
                if self._stopped and not after_stop:
                    return ProcessExit(None, "stopped before it began")
                self._stopped = False
                frames.send(self._connection, "start", *command.start_frame())
            return self._follow(command, listener)
        except OSError as error:
            return ProcessExit(None, f"lost the connection to the run's processes: {error}", lost=True)

    def _follow(self, command: Command, listener: ProcessListener) -> ProcessExit:
        results, pace = _Results(command), OutputPace(MAX_FRAMES_PER_SECOND)
        while True:
            data = self._connection.recv(CHUNK)
            if not data:
                reason = "the run's processes were killed from outside (out of memory?)"
                return ProcessExit(None, reason, lost=True)
            for frame in self._reader.feed(data):
                if frame.kind == "end":
                    return _exit_of(frame)
                pace.count()
                if frame.kind == "file":
                    results.check(frame)
                _dispatch(listener, frame)

    def stop(self) -> None:
        """End the running program and everything that it started; :meth:`run` then returns. From any thread."""
        with suppress(OSError), self._writing:
            self._stopped = True
            frames.send(self._connection, "stop", {})

    def close(self) -> bool:
        """End everything and wait until it has gone.

        :returns: whether the agent confirmed it by closing its side.
        """
        try:
            self._connection.settimeout(CLOSE_SECONDS)
            self._connection.shutdown(socket.SHUT_WR)
            while self._connection.recv(CHUNK):
                pass
            return True
        except OSError as error:
            return isinstance(error, (ConnectionError, BrokenPipeError)) or error.errno == 107
        finally:
            self._connection.close()


class OutputPace:
    """Lets a number of things through in each second, and holds up the rest.

    A run that prints without end would otherwise take the processor from the other slots and their heartbeats. While
    nothing is read, the run itself has to wait.
    """

    def __init__(
        self,
        per_second: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._since = clock()
        self._count = 0

    def count(self) -> None:
        """Count one more; returns when it may pass."""
        now = self._clock()
        if now - self._since >= 1.0:
            self._since, self._count = now, 0
        elif self._count >= self._per_second:
            self._sleep(1.0 - (now - self._since))
            self._since, self._count = self._clock(), 0
        self._count += 1


class _Results:
    """Accepts only the result files that a command asked for, within their size limit.

    The agent is not trusted: it runs as the same user as the run.
    """

    def __init__(self, command: Command) -> None:
        self._limit = command.max_result
        self._sizes = dict.fromkeys(command.results, 0)

    def check(self, frame: frames.Frame) -> None:
        """:raises RunError: the file was not asked for, or is larger than allowed."""
        name = str(frame.header.get("name", ""))
        if name not in self._sizes:
            raise RunError(f"run socket: unexpected result file {name[:80]!r}")
        self._sizes[name] += len(frame.body)
        if self._sizes[name] > self._limit:
            raise RunError(f"run socket: result file {name!r} is larger than {self._limit} bytes")


class Runner(ABC):
    """Provides the sandboxes in which runs are carried out."""

    name = ""
    """As in the setting ``run.runner``."""

    @abstractmethod
    def connect(self, run_id: str) -> tuple[socket.socket, subprocess.Popen[bytes] | None]:
        """Return a connection to a new agent, and its process if it is a child of this one.

        :raises RunError: no agent can be started.
        """

    @abstractmethod
    def sweep(self, run_id: str) -> None:
        """Remove what an agent that was killed could not remove."""

    @contextmanager
    def open(self, run_id: str) -> Iterator[Sandbox]:
        """Yield the sandbox of one run; leaving the context ends all of its processes and removes its folder."""
        connection, agent = self.connect(run_id)
        sandbox = Sandbox(connection)
        try:
            yield sandbox
        finally:
            is_confirmed = sandbox.close()
            if agent is not None:
                is_confirmed = _wait(agent) and is_confirmed
            if not is_confirmed:
                LOG.error("run %s: its agent did not end within %g s", run_id, CLOSE_SECONDS)
            self.sweep(run_id)


class SystemdRunner(Runner):
    """Runs with a fresh user each, through ``refstack-run.socket``."""

    name = "systemd"

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(self, run_id: str) -> tuple[socket.socket, None]:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(str(self._path))
        except OSError as error:
            connection.close()
            raise RunError(
                f"{self._path}: {error.strerror or error}; run 'systemctl start refstack-run.socket'"
            ) from error
        connection.settimeout(None)
        return connection, None

    def sweep(self, run_id: str) -> None:
        """Do nothing: systemd ends the control group and removes the unit's folders."""


class EmbeddedRunner(Runner):
    """Runs as the worker's own user, each below an agent that is a child of the worker."""

    name = "embedded"

    def __init__(self, folder: Path, instance: str) -> None:
        self._folder = folder
        self._instance = instance

    def connect(self, run_id: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ours, theirs = socket.socketpair()
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "TMPDIR": str(self._folder),
            "PYTHONPATH": str(Path(refstack_worker.__path__[0]).parent),
            leftovers.MARK: f"{self._instance}/{run_id}",
        }
        with theirs:
            try:
                agent = process.start(
                    [sys.executable, "-s", "-m", "refstack_worker.worker.sandbox.agent"],
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env=env,
                    start_new_session=True,
                )
            except RefstackError as error:
                ours.close()
                raise RunError(str(error)) from error
        return ours, agent

    def sweep(self, run_id: str) -> None:
        mark = f"{self._instance}/{run_id}"
        killed = leftovers.end(mark, patience=0.0)
        folders = leftovers.sweep_folders(self._folder, leftovers.folder_prefix(mark))
        if killed or folders:
            LOG.warning("run %s: its agent was killed; ended %d processes, removed %d folders", run_id, killed, folders)


def choose(settings: RunSettings, instance: str) -> Runner:
    """Return the runner of the settings; ``auto`` means systemd if its socket exists."""
    if settings.runner == "systemd" or (settings.runner == "auto" and settings.socket.is_socket()):
        return SystemdRunner(settings.socket)
    return EmbeddedRunner(settings.folder, instance)


def _wait(agent: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + CLOSE_SECONDS
    try:
        agent.wait(max(0.0, deadline - time.monotonic()))
        return True
    except subprocess.TimeoutExpired:
        process.kill_group(agent.pid)
        agent.wait()
        return False


def _exit_of(frame: frames.Frame) -> ProcessExit:
    status = frame.header.get("status")
    if status is not None and (not isinstance(status, int) or isinstance(status, bool)):
        raise RunError("run socket: invalid exit status")
    return ProcessExit(status, str(frame.header.get("message", "")))


def _dispatch(listener: ProcessListener, frame: frames.Frame) -> None:
    if frame.kind == "event":
        event = frame.header.get("event")
        if isinstance(event, dict):
            listener.event(event)
    elif frame.kind == "log":
        listener.log(str(frame.header.get("line", "")))
    elif frame.kind == "file":
        listener.file(str(frame.header.get("name", "")), frame.body, bool(frame.header.get("last")))
    else:
        raise RunError(f"run socket: unexpected frame {frame.kind!r}")
