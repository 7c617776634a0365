"""The run's side of the socket: executes one run in a private folder and leaves nothing behind.

Started by systemd for each connection to ``refstack-run.socket`` (``Accept=yes``, as a fresh user) or by the worker
with one end of a socket pair; either way the connection is standard input. When it closes, for any reason, all
processes below this one are ended and the folder is removed; only then does this process end, and only then does the
worker read the end of the stream. ``docs/protocol.md`` describes the frames.

Imports the standard library and light modules of this package only: a run must not wait for imports.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import resource
import selectors
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from refstack_worker import process
from refstack_worker.errors import RefstackError, RunError
from refstack_worker.filesystem import remove_tree
from refstack_worker.worker.sandbox import frames
from refstack_worker.worker.sandbox.leftovers import MARK, folder_prefix

LOG = logging.getLogger("refstack_worker.run")

FOLDER = "{run}"
"""Placeholder of the run's folder in arguments and environment: the worker does not know where it will be."""
CHUNK = 1 << 20
"""Bytes of a result file in one frame."""
MAX_LINE = 256 * 1024
"""Bytes of one line of output; the rest of a longer line is dropped."""
MAX_BRACKETS = 100
"""Brackets in an event: one that this side can just parse may be nested too deeply to be encoded or parsed again."""
LEFTOVER_GRACE = 0.5
"""Seconds between TERM and KILL for processes that outlive their program."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIMITS = {"file": resource.RLIMIT_FSIZE, "memory": resource.RLIMIT_AS, "processes": resource.RLIMIT_NPROC}


class Lines:
    """Splits the output of a program into lines."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take bytes; an empty value marks the end."""
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:MAX_LINE]
        if not data and rest:
            whole, self._rest = [rest], b""
        for line in whole:
            self._take(line[:MAX_LINE])


class Agent:
    """One connection, one folder, one program at a time."""

    def __init__(self, connection: socket.socket, base: Path | None) -> None:
        self._connection = connection
        self._base = base
        self._reader = frames.FrameReader()
        self._selector = selectors.DefaultSelector()
        self._pipes: dict[Any, Lines] = {}
        self._child: subprocess.Popen[bytes] | None = None
        self._header: Mapping[str, Any] = {}
        self._status: int | None = None
        self._open = True
        self.folder: Path | None = None

    def serve(self) -> None:
        """Execute what arrives on the connection until it closes; then end and remove everything."""
        become_subreaper()
        try:
            self._selector.register(self._connection, selectors.EVENT_READ, self._receive)
            self._selector.register(_wake_on_signals(self._on_signal), selectors.EVENT_READ, self._woken)
            while self._open:
                for key, _ in self._selector.select():
                    key.data(key.fileobj)
        except OSError as error:
            LOG.warning("run socket: %s", error)
        finally:
            self._leave()

    def _leave(self) -> None:
        process.end_tree(os.getpid(), self._grace)
        if self.folder is not None:
            remove(self.folder)

    @property
    def _grace(self) -> float:
        return float(self._header.get("grace", 1.5))

    # what comes in

    def _receive(self, _: Any) -> None:
        data = self._connection.recv(CHUNK)
        if not data:
            self._open = False
            return
        for frame in self._reader.feed(data):
            if frame.kind == "start":
                self._start(frame)
            elif frame.kind == "stop":
                self._stop()
            else:
                raise RunError(f"run socket: unexpected frame {frame.kind!r}")

    def _on_signal(self, signum: int) -> None:
        if signum != signal.SIGCHLD:
            self._open = False

    def _woken(self, pipe: Any) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(pipe, 512):
                pass
        self._collect()

    def _collect(self) -> None:
        """Collect the exit status of the program, and of every orphan that became a child of this process."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if self._child is not None and pid == self._child.pid:
                    self._status = os.waitstatus_to_exitcode(status)
        if self._child is not None and self._status is not None:
            self._finish(self._status)

    # what is done

    def _start(self, frame: frames.Frame) -> None:
        if self._child is not None:
            raise RunError("run socket: a program is already running")
        self._header = frame.header
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix=folder_prefix(os.environ.get(MARK, "")), dir=self._base))
        folder = str(self.folder)
        self._write_files(frame, self.folder)
        for name in ("work", "tmp"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        argv = [str(word).replace(FOLDER, folder) for word in frame.header["argv"]]
        env = {str(name): str(text).replace(FOLDER, folder) for name, text in frame.header["env"].items()}
        if MARK in os.environ:
            env[MARK] = os.environ[MARK]
        limits = frame.header.get("limits", {})
        try:
            child = process.start(
                argv,
                cwd=self.folder / "work",
                env={**env, "HOME": folder, "TMPDIR": str(self.folder / "tmp")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=lambda: _before_exec(limits),
            )
        except RefstackError as error:
            self._send("end", {"status": None, "message": str(error)})
            return
        self._child, self._status = child, None
        self._follow(child.stdout, Lines(self._line_of_stdout))
        self._follow(child.stderr, Lines(lambda line: self._send("log", {"line": line.decode("utf-8", "replace")})))

    def _write_files(self, frame: frames.Frame, folder: Path) -> None:
        at = 0
        for item in frame.header.get("files", ()):
            name, size = str(item["name"]), int(item["bytes"])
            if "/" in name or name in ("", ".", "..", "work", "tmp"):
                raise RunError(f"run socket: invalid file name {name!r}")
            write_private(folder / name, frame.body[at : at + size])
            at += size

    def _follow(self, pipe: Any, lines: Lines) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipes[pipe] = lines
        self._selector.register(pipe, selectors.EVENT_READ, lambda source: self._read(source, lines))

    def _read(self, pipe: Any, lines: Lines) -> bool:
        """Read what a pipe holds. :returns: whether there may be more."""
        try:
            data = os.read(pipe.fileno(), CHUNK)
        except BlockingIOError:
            return False
        lines.feed(data)
        if not data:
            self._selector.unregister(pipe)
            del self._pipes[pipe]
            pipe.close()
        return bool(data)

    def _line_of_stdout(self, line: bytes) -> None:
        try:
            event = json.loads(line) if line.count(b"[") + line.count(b"{") <= MAX_BRACKETS else None
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict):
            self._send("event", {"event": event})
        else:
            self._send("log", {"line": line.decode("utf-8", "replace")})

    def _stop(self) -> None:
        if self._child is None:
            return
        process.end_tree(os.getpid(), self._grace)
        self._finish(-signal.SIGKILL if self._status is None else self._status)

    def _finish(self, status: int) -> None:
        """End what the program left running, send its output and result files, and its exit status."""
        self._child = None
        process.end_tree(os.getpid(), LEFTOVER_GRACE)
        for pipe, lines in list(self._pipes.items()):
            while self._read(pipe, lines):
                pass
        results = self._header.get("results", {})
        names = results.get("names", ()) if status in results.get("on", ()) else ()
        sent = [name for name in names if self._send_file(name)]
        self._send("end", {"status": status, "files": sent})

    def _send_file(self, name: str) -> bool:
        """Send a result file if it exists and is a regular file (a run can make links)."""
        path = Path(self.folder or "/nowhere", "work", os.path.basename(name))
        try:
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        state = os.fstat(number)
        if not stat.S_ISREG(state.st_mode) or state.st_size > self._header["results"]["max_bytes"]:
            os.close(number)
            LOG.warning("%s: not a regular file, or too large; not sent", name)
            return False
        with open(number, "rb") as stream:
            left = state.st_size
            while True:
                data = stream.read(min(CHUNK, left))
                left -= len(data)
                last = not data or left <= 0
                self._send("file", {"name": name, "last": last}, data)
                if last:
                    return True

    def _send(self, kind: str, header: Mapping[str, Any], body: bytes = b"") -> None:
        try:
            frames.send(self._connection, kind, header, body)
        except OSError:
            self._open = False  # the worker has gone; serve() ends


def become_subreaper() -> None:
    """Become the parent of the run's orphans, so that none escapes by forking twice."""
    if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise RunError("this kernel has no sub-reapers (Linux 3.4 or newer is needed)")


def _before_exec(limits: Mapping[str, int]) -> None:
    """In the child: die with the agent, write no core file (it would hold passwords), and set the limits."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, number in limits.items():
        _, hard = resource.getrlimit(_LIMITS[name])
        value = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(_LIMITS[name], (value, value))


def _wake_on_signals(notify: Callable[[int], None]) -> int:
    """Return a pipe that becomes readable when a child ends or this process is asked to end."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda number, _: notify(number))
    return reading


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only this user can read, replacing an existing one."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)


def remove(folder: Path) -> None:
    """Remove a run's folder, also if the run took away the permissions of its folders."""
    try:
        remove_tree(folder)
    except OSError as error:
        LOG.error("%s: cannot be removed (%s); remove it by hand, it may hold secrets", folder, error.strerror)


def base_folder() -> Path | None:
    """Return where to create the run's folder: the unit's runtime folder; None for the default of temporary files."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(runtime) if runtime else None


def main() -> int:
    """Serve the connection on standard input."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    os.umask(0o077)
    try:
        connection = socket.socket(fileno=os.dup(0))
        connection.getpeername()
        with contextlib.suppress(OSError), open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        Agent(connection, base_folder()).serve()
    except OSError as error:
        LOG.error("standard input is not a connection to a worker: %s", error)
        return RunError.exit_code
    except RefstackError as error:
        LOG.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
