"""Booted Debian machines for the system tests: systemd as process 1, a network of its own, gone when the test ends.

    with Machine() as machine:
        machine.run("systemctl", "is-system-running")

A machine is a throw-away overlay on a cached root that is made once (``refstack_worker.builder.chroots``).
It reaches the test's host at ``machine.host``, machines that it is connected to, and nothing else: what it may fetch, a
``Mirror`` (``tests/support/mirror.py``) hands out there.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from refstack_worker import process
from refstack_worker.builder.chroots import CleanRoot, RootRecipe, base_root, default_cache
from refstack_worker.errors import ProcessError

BARE = ("ca-certificates", "dbus", "iproute2", "systemd", "systemd-sysv")
"""What makes a bare Debian bootable; nothing of the project, and no Python."""

BOOT_SECONDS = 90
HOSTS = "127.0.0.1 localhost {name}\n::1 localhost\n"

_numbers = itertools.count(1)


class Machine:
    """One booted machine."""

    def __init__(self, suite: str = "bookworm", include: tuple[str, ...] = BARE, hosts: bool = True) -> None:
        """:param hosts: write ``/etc/hosts``, which a minimal root lacks and every installed machine has."""
        self.suite = suite
        self.name = f"rs{os.getpid()}n{next(_numbers)}"
        self._include = include
        self._hosts = hosts
        self._clean = ExitStack()
        self._root: CleanRoot | None = None
        self._nspawn: subprocess.Popen[Any] | None = None
        self._leader = 0
        block = (os.getpid() * 64 + int(self.name.partition("n")[2])) % 16384
        self.host = f"10.213.{block // 64}.{block % 64 * 4 + 1}"
        """Address of the test's host, as the machine sees it."""
        self.address = f"10.213.{block // 64}.{block % 64 * 4 + 2}"
        """Address of the machine."""

    @property
    def path(self) -> Path:
        """The machine's root as the host sees it."""
        assert self._root is not None
        return self._root.path

    # its life

    def __enter__(self) -> Machine:
        try:
            self._root = self._clean.enter_context(CleanRoot(base_root(RootRecipe(self.suite, self._include), cache())))
            self._make_network()
            if self._hosts:
                self._root.write("etc/hosts", HOSTS.format(name=self.name))
            self._root.write("etc/hostname", f"{self.name}\n")
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()
        self._clean.close()

    def boot(self) -> None:
        """Start it and wait until its systemd has nothing left to start."""
        log = self._clean.enter_context(tempfile.TemporaryFile())
        self._nspawn = process.start(
            [
                *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--resolv-conf=off"),
                *(f"--machine={self.name}", f"--directory={self.path}", "--console=pipe"),
                f"--network-namespace-path=/run/netns/{self.name}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline and self._nspawn.poll() is None:
            state = self._state()
            if state in ("running", "degraded"):
                return
            time.sleep(0.1)
        log.seek(0)
        said = log.read()[-2000:].decode(errors="replace")
        raise AssertionError(f"{self.name} did not boot: {said}; {self._waits_for() if self._leader else 'it is gone'}")

    def _waits_for(self) -> str:
        with suppress(ProcessError):
            return self.run("systemctl", "list-jobs", "--no-pager", check=False).stdout
        return "its systemd does not answer"

    def _state(self) -> str:
        if not self._leader:
            assert self._nspawn is not None
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
            self._leader = int(children[0]) if children else 0
        if not self._leader:
            return ""
        with suppress(ProcessError):
            return self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return ""

    def power_off(self) -> None:
        """Shut it down in order; after 30 seconds by force."""
        if self._nspawn is None:
            return
        if self._nspawn.poll() is None and self._leader:
            with suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGRTMIN + 4)  # systemd: power off
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            process.kill_group(self._nspawn.pid)
            self._nspawn.wait()
        self._nspawn, self._leader = None, 0

    def _make_network(self) -> None:
        outside, inside = f"{self.name}h", f"{self.name}m"
        self._clean.callback(process.run, ["ip", "netns", "del", self.name], process.Options(check=False))
        process.run(["ip", "netns", "add", self.name])
        process.run(["ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", self.name])
        process.run(["ip", "addr", "add", f"{self.host}/30", "dev", outside])
        process.run(["ip", "link", "set", outside, "up"])
        within = ["ip", "-n", self.name]
        process.run([*within, "link", "set", "lo", "up"])
        process.run([*within, "addr", "add", f"{self.address}/30", "dev", inside])
        process.run([*within, "link", "set", inside, "up"])

    def connect(self, other: Machine) -> None:
        """Join two machines by a cable: each then reaches the other's ``address``."""
        ends = ((self, other, f"to-{other.name}"), (other, self, f"to-{self.name}"))
        [near, far] = [cable for _, _, cable in ends]
        pair = ["type", "veth", "peer", "name", far, "netns", other.name]
        process.run(["ip", "-n", self.name, "link", "add", near, *pair])
        for machine, peer, cable in ends:
            within = ["ip", "-n", machine.name]
            process.run([*within, "link", "set", cable, "up"])
            process.run([*within, "route", "add", peer.address, "dev", cable, "src", machine.address])

    # what is done in it

    def run(
        self, *argv: str | Path, check: bool = True, env: dict[str, str] | None = None, timeout: float = 600
    ) -> process.Completed:
        """Run a command as root in it."""
        options = process.Options(check=check, timeout=timeout, env=self._environment(env))
        return process.run([*self._enter(), *argv], options)

    def sh(self, script: str, check: bool = True, timeout: float = 600) -> str:
        """Run a shell script as root in it and return what it prints on both."""
        return self.run("sh", "-ec", f"exec 2>&1\n{script}", check=check, timeout=timeout).stdout

    def start(self, *argv: str | Path, **popen: Any) -> subprocess.Popen[Any]:
        """Start a command as root in it and return it running; ``power_off`` ends it with all the rest."""
        return process.start([*self._enter(), *argv], env=self._environment(None), **popen)

    def _enter(self) -> list[str]:
        assert self._leader, "not booted"
        return ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-p", "-n", "-C", "-r", "-w", "--"]

    @staticmethod
    def _environment(more: dict[str, str] | None) -> dict[str, str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", **(more or {})}

    def write(self, path: str, content: str | bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        """Write a file in it."""
        assert self._root is not None
        self._root.write(path, content, mode)
        if owner != "root:root":
            self.run("chown", owner, path)

    def read(self, path: str) -> str:
        """Return the content of a file in it."""
        return (self.path / path.lstrip("/")).read_text()

    def exists(self, path: str) -> bool:
        """Tell whether there is something of that name in it."""
        return os.path.lexists(self.path / path.lstrip("/"))

    def journal(self, unit: str) -> str:
        """Return what a unit wrote."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit, check=False).stdout

    def wait(self, what: str, condition: Callable[[], Any], seconds: float = 60) -> Any:
        """Ask until ``condition`` holds and return its output; fail with ``what`` after ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {seconds:g} s")
            time.sleep(0.1)


def cache() -> Path:
    """Return the folder that outlives test runs."""
    return default_cache()
