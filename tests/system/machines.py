"""Booted Debian machines for the tests: systemd is process 1, what is done in them is gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from refstack_worker import process
from refstack_worker.builder.roots import CleanRoot, RootRecipe, base_root
from refstack_worker.errors import ProcessError

CACHE = Path(os.environ.get("REFSTACK_TEST_CACHE") or Path.home() / ".cache" / "refstack-worker-tests")
BARE = ("ca-certificates", "dbus", "python3", "systemd", "systemd-sysv")
"""What a bare node has beside the essential packages and apt."""
BOOT_SECONDS = 60.0
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"


@dataclass(frozen=True)
class Recipe:
    """What machine is wanted."""

    suite: str = "bookworm"
    include: tuple[str, ...] = BARE
    network: bool = True
    """The host's network (so ports are shared with it); without it a loopback of its own, and nothing else."""
    binds: Mapping[Path, str] = field(default_factory=dict)
    """Folders of the host, read-only, and where they appear."""
    size: str = ""
    """Limit of what may be written (``2G``)."""


class Machine:
    """A machine that is up while the context lasts."""

    def __init__(self, recipe: Recipe = Recipe()) -> None:
        self.recipe = recipe
        self.root = CleanRoot(base_root(RootRecipe(recipe.suite, recipe.include), CACHE), recipe.size)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.pid = 0
        """Its process 1, as the host counts."""

    @property
    def path(self) -> Path:
        """Its root folder, as the host sees it."""
        return self.root.path

    def __enter__(self) -> Machine:
        self.root.__enter__()
        try:
            self.root.write("/etc/hosts", HOSTS)
            self.root.write("/etc/machine-id", "")
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()
        self.root.__exit__()

    def boot(self) -> None:
        """Switch it on and wait until it is up."""
        words: list[str | Path] = [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--console=pipe",
        ]
        words += [f"--directory={self.path}", "--machine=refstack-test"]
        words += ["--resolv-conf=copy-host"] if self.recipe.network else ["--private-network"]
        words += [f"--bind-ro={host}:{inside}" for host, inside in self.recipe.binds.items()]
        self._nspawn = process.start(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._is_up():
            if time.monotonic() > deadline or self._nspawn.poll() is not None:
                raise ProcessError(f"{self.path}: does not come up")
            time.sleep(0.1)
        self.run(["systemctl", "is-system-running", "--wait"], check=False)

    def power_off(self) -> None:
        """Switch it off, hard after a while."""
        if self._nspawn is None:
            return
        if self.pid and self._nspawn.poll() is None:
            self.run(["systemctl", "poweroff"], check=False)
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
        self._nspawn, self.pid = None, 0

    def kill(self) -> None:
        """Pull the plug."""
        if self._nspawn is not None:
            process.kill_group(self._nspawn.pid, signal.SIGKILL)
            if self.pid:
                process.kill_group(self.pid, signal.SIGKILL)
            self._nspawn.wait()

    def run(
        self,
        argv: Sequence[str | Path],
        check: bool = True,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        timeout: float = 900,
    ) -> process.Completed:
        """Run a command on it. :raises ProcessError: it failed (unless ``check`` is off)."""
        options = process.Options(input=input, check=check, timeout=timeout, env={**os.environ, **ENVIRONMENT})
        return process.run(self.command(argv, env), options)

    def start(self, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command on it and return it running."""
        return process.start(
            self.command(argv, env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def command(self, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> list[str]:
        """Return the words that run a command on it."""
        words = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-p", "-C", "-n", "--", "env", "-i", "-C", "/"]
        words += [f"{name}={value}" for name, value in {**ENVIRONMENT, **(env or {})}.items()]
        return [*words, *(str(word) for word in argv)]

    def write(self, inside: str, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file on it."""
        self.root.write(inside, content, mode)

    def read(self, inside: str) -> str:
        """Return what a file of it holds."""
        return self.path.joinpath(inside.lstrip("/")).read_text()

    def state(self, unit: str) -> str:
        """Return a unit's active state."""
        return self.run(["systemctl", "is-active", unit], check=False).stdout.strip()

    def journal(self, unit: str = "") -> str:
        """Return the journal, of one unit if that is named."""
        words = ["journalctl", "--no-pager", "-o", "short-monotonic", *(["-u", unit] if unit else [])]
        return self.run(words, check=False).stdout

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        found = children.read_text().split() if children.exists() else []
        if not found:
            return False
        self.pid = int(found[0])
        # before that its mounts are not complete, and a command would look at the host's files
        if not Path(f"/proc/{self.pid}/root/run/systemd/private").exists():
            return False
        return self.run(["systemctl", "is-system-running"], check=False).stdout.strip() in (
            "running",
            "degraded",
            "starting",
        )
