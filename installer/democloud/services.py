"""The processes of a test cloud: started below a folder, found again by their ids, ended together."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from democloud.ports import POLL_SECONDS, CloudError
from refstack_worker import process

GRACE_SECONDS = 10.0
MARK = "REFSTACK_TEST_CLOUD"
"""Environment variable by which all the processes of a cloud are found; its value is the cloud's folder."""


@dataclass
class Services:
    """The running services of one cloud.

    ``tied``: they end with the process that started them, even if that is killed. ``user``: the account they run as
    (only root can choose one).
    """

    folder: Path
    tied: bool = True
    user: str | None = None
    pids: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Name to process id and start time; the time tells the process from a later one with the same id."""

    def start(
        self, name: str, argv: Sequence[str | Path], env: Mapping[str, str], pass_fds: Sequence[int] = ()
    ) -> None:
        """Start a service; its output goes to ``<folder>/log/<name>.log``.

        :param pass_fds: file descriptors that it inherits under the same numbers.

        :raises ProcessError: it cannot be started.
        """
        logs = self.folder / "log"
        logs.mkdir(exist_ok=True)
        home = str(self.folder)
        own = {"PATH": "/usr/bin:/bin:/usr/sbin", "LANG": "C.UTF-8", "HOME": home, MARK: home, **env}
        with open(logs / f"{name}.log", "ab") as log:
            started = process.start(
                [*self._wrapper(), *argv], cwd=self.folder, env=own, stdin=-3, stdout=log, stderr=log,
                start_new_session=True, pass_fds=pass_fds,
            )  # fmt: skip
        self.pids[name] = (started.pid, start_time(started.pid))
        self._save()

    def check(self, name: str) -> None:
        """Raise :class:`CloudError` with the end of its log when a service has ended."""
        pid, started = self.pids[name]
        if not alive(pid, started):
            log = (self.folder / "log" / f"{name}.log").read_text(errors="replace")
            raise CloudError(f"{name} of the test cloud ended: {log[-1500:]}")

    def stop(self, *names: str, seconds: float = GRACE_SECONDS) -> None:
        """End these services (all of them without a name): TERM, then KILL; returns when they are gone.

        :param seconds: between the two.
        """
        chosen = {name: self.pids.pop(name) for name in names or tuple(self.pids) if name in self.pids}
        for signum, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, GRACE_SECONDS)):
            for pid, started in chosen.values():
                if alive(pid, started):
                    process.kill_group(pid, signum)
            deadline = time.monotonic() + patience
            while any(alive(*each) for each in chosen.values()) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        for pid, _ in chosen.values():
            process.kill_group(pid)
        if not self.pids:
            self._kill_others()
        self._save()

    def _kill_others(self) -> None:
        """End what the services started outside their process groups, such as Erlang's and privsep's helpers."""
        mark = f"{MARK}={self.folder}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)

    def load(self) -> None:
        """Take over the services that another process started below the same folder."""
        with suppress(FileNotFoundError):
            saved = json.loads((self.folder / "pids.json").read_text())
            self.pids = {name: (entry[0], entry[1]) for name, entry in saved.items() if alive(entry[0], entry[1])}

    def _wrapper(self) -> list[str]:
        words: list[str] = []
        if self.tied:
            words += ["--pdeathsig", "TERM"]
        if self.user and os.geteuid() == 0:
            words += ["--reuid", self.user, "--regid", _group(self.user), "--clear-groups"]
        return [shutil.which("setpriv") or "/usr/bin/setpriv", *words, "--"] if words else []

    def _save(self) -> None:
        (self.folder / "pids.json").write_text(json.dumps(self.pids))


def alive(pid: int, started: str) -> bool:
    """Tell whether the process that began at ``started`` still runs; a zombie does not."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z" and fields[19] == started


def start_time(pid: int) -> str:
    """When a process began, in clock ticks since boot (field 22 of ``/proc/<pid>/stat``); empty if it is gone."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _group(user: str) -> str:
    import pwd

    return str(pwd.getpwnam(user).pw_gid)
