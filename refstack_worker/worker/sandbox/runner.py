"""How a run is given to processes of its own: one interface, two ways to get the connection.

:class:`SystemdRunner` connects to the socket of ``refstack-run.socket``, so systemd starts a fresh user, limits and
hardening around the run's agent; :class:`EmbeddedRunner` starts the agent itself. From there on it is the same.
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
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import refstack_worker
from refstack_worker import process
from refstack_worker.config.worker import RunSettings
from refstack_worker.errors import RefstackError, RunError
from refstack_worker.worker.sandbox import frames, leftovers

LOG = logging.getLogger(__name__)

CHUNK = 1 << 20
LEAVE_SECONDS = 60.0
"""For the agent to end and remove everything after the connection is closed."""
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Command:
    """One program of a run. ``{run}`` in arguments and environment stands for the run's folder."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment, but for HOME and TMPDIR, which lie in the run's folder."""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Name to content; they are written into the run's folder, readable to the run alone."""
    results: tuple[str, ...] = ()
    """Files of the working folder ``{run}/work`` that come back ..."""
    results_on: tuple[int, ...] = ()
    """... when the program ends with one of these statuses."""
    max_result: int = 512 * 2**20
    """Bytes of a result file at most."""
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


class Listener(Protocol):
    """Who hears what a program says while it runs. An error that it raises ends the run."""

    def event(self, event: Mapping[str, Any]) -> None:
        """A JSON object that stood on a line of its standard output."""

    def log(self, line: str) -> None:
        """Any other line of its output."""

    def file(self, name: str, data: bytes, last: bool) -> None:
        """A piece of a result file."""


@dataclass(frozen=True)
class End:
    """How a program ended."""

    status: int | None
    """Exit status, negative for a signal; None: it was never started, or the whole run was lost."""
    message: str = ""
    """Why there is no status."""
    lost: bool = False
    """The agent went away: killed, or the machine out of memory."""


class Session:
    """One run's connection; programs follow one another in the same folder until it is closed."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = frames.Reader()
        self._writing = threading.Lock()
        self._stopped = False

    def run(self, command: Command, listener: Listener, after_stop: bool = False) -> End:
        """Carry out a program to its end.

        :param after_stop: also when the session was stopped before: to clear up after what was stopped.
        :raises RunError: what comes over the connection makes no sense.
        """
        try:
            with self._writing:
                if self._stopped and not after_stop:
                    return End(None, "stopped before it began")
                self._stopped = False
                frames.send(self._connection, "start", *command.start_frame())
            while True:
                data = self._connection.recv(CHUNK)
                if not data:
                    return End(None, "the processes of the run were killed from outside (out of memory?)", lost=True)
                for frame in self._reader.feed(data):
                    if frame.kind == "end":
                        return End(frame.header.get("status"), str(frame.header.get("message", "")))
                    _tell(listener, frame)
        except OSError as error:
            return End(None, f"the connection to the processes of the run broke: {error}", lost=True)

    def stop(self) -> None:
        """End the program that runs and everything that it started; :meth:`run` returns then. From any thread."""
        with suppress(OSError), self._writing:
            self._stopped = True
            frames.send(self._connection, "stop", {})

    def close(self) -> bool:
        """End everything and wait until it is gone.

        :returns: whether the agent said so by closing its side.
        """
        try:
            self._connection.settimeout(LEAVE_SECONDS)
            self._connection.shutdown(socket.SHUT_WR)
            while self._connection.recv(CHUNK):
                pass
            return True
        except OSError as error:
            return isinstance(error, (ConnectionError, BrokenPipeError)) or error.errno == 107
        finally:
            self._connection.close()


class Runner(ABC):
    """Where runs get their processes from."""

    name = ""
    """As ``[run] runner`` has it."""

    @abstractmethod
    def connect(self, run_id: str) -> tuple[socket.socket, subprocess.Popen[bytes] | None]:
        """Return a connection to a fresh agent, and its process where it is a child.

        :raises RunError: there is none.
        """

    @abstractmethod
    def sweep(self, run_id: str) -> None:
        """Remove what an agent that was killed could not."""

    def open(self, run_id: str) -> OpenRun:
        """Return the context of one run; leaving it ends all of its processes and removes its folder."""
        return OpenRun(self, run_id)


class OpenRun:
    """``with runner.open(run_id) as session``"""

    def __init__(self, runner: Runner, run_id: str) -> None:
        self._runner = runner
        self._run_id = run_id
        self._session: Session | None = None
        self._agent: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Session:
        connection, self._agent = self._runner.connect(self._run_id)
        self._session = Session(connection)
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        said = self._session is None or self._session.close()
        if self._agent is not None:
            said = _wait(self._agent) and said
        if not said:
            LOG.error("run %s: its agent did not end in %g s", self._run_id, LEAVE_SECONDS)
        self._runner.sweep(self._run_id)


class SystemdRunner(Runner):
    """Runs as fresh users, by ``refstack-run.socket``."""

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
        """Nothing: systemd ends the control group and removes the unit's folders by itself."""


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
    """Return the runner that the settings ask for; ``auto`` takes systemd's where its socket is there."""
    if settings.runner == "systemd" or (settings.runner == "auto" and settings.socket.is_socket()):
        return SystemdRunner(settings.socket)
    return EmbeddedRunner(settings.folder, instance)


def _wait(agent: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + LEAVE_SECONDS
    try:
        agent.wait(max(0.0, deadline - time.monotonic()))
        return True
    except subprocess.TimeoutExpired:
        process.kill_group(agent.pid)
        agent.wait()
        return False


def _tell(listener: Listener, frame: frames.Frame) -> None:
    if frame.kind == "event":
        event = frame.header.get("event")
        if isinstance(event, dict):
            listener.event(event)
    elif frame.kind == "log":
        listener.log(str(frame.header.get("line", "")))
    elif frame.kind == "file":
        listener.file(str(frame.header.get("name", "")), frame.body, bool(frame.header.get("last")))
    else:
        raise RunError(f"run socket: a frame {frame.kind!r} is not expected here")
