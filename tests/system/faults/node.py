"""A node: a network namespace with everything that runs in it, and a small disk of its own that outlives its power."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refstack_worker.errors import RefstackError
from refstack_worker.worker import control_socket
from tests.support.processes import TOP, Program, eventually
from tests.support.processes import _toml as toml
from tests.system.faults.gates import CloudGate

NOWHERE = "02:00:00:00:00:ff"
"""A hardware address that no machine has: what is sent there is dropped silently."""
DISK_MB = 96

HOOK = """#!/bin/sh
# a part of the run that is slow: until the file is gone, in the first attempt alone
[ "$REFSTACK_ATTEMPT" = 1 ] || exit 0
while [ -e {hold} ]; do echo "$REFSTACK_TEST_ID" > {seen}; sleep 0.1; done
"""


def address(number: int, network: int, host: int) -> str:
    """Return an address of this process's own: in networks of four, one for each number from 0 to 7."""
    block = _block(number)
    return f"10.{network}.{block // 64}.{block % 64 * 4 + host}"


def _block(number: int) -> int:
    return (os.getpid() * 8 + number) % 16000


class Node:
    """One machine of the fleet."""

    def __init__(self, number: int, folder: Path, cloud_ports: Sequence[int]) -> None:
        self.name = f"rsf{_block(number)}"
        self._gateway = address(number, 214, 1)
        self._address = address(number, 214, 2)
        self.folder = folder
        self.cloud_gate = CloudGate(cloud_ports)
        self.worker: Program | None = None
        self.environment: dict[str, str] = {}
        """Of the worker, from its next start on."""
        self.has_power = False

    @property
    def worker_config(self) -> Path:
        return self.folder / "worker.toml"

    @property
    def control(self) -> Path:
        """The worker's socket."""
        return self.folder / "run" / "control.sock"

    @property
    def namespace(self) -> Path:
        return Path("/run/netns", self.name)

    @property
    def hold(self) -> Path:
        """While this file is there, the node's hook before a run waits."""
        return self.folder / "hold"

    @property
    def seen(self) -> Path:
        """The hook waits and says so here."""
        return self.folder / "seen"

    def create(self) -> None:
        """Make its disk and switch it on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mount(self.folder, DISK_MB)
        (self.folder / "pre-run.d").mkdir()
        hook = self.folder / "pre-run.d" / "10-slow"
        hook.write_text(HOOK.format(hold=self.hold, seen=self.seen))
        hook.chmod(0o755)
        self.power_on()

    def remove(self) -> None:
        """Switch it off and take its disk away."""
        self.power_off()
        unmount(self.folder)

    def power_on(self) -> None:
        """Plug it in: the network, and nothing that runs."""
        outside, inside = f"{self.name}h", f"{self.name}n"
        _ip("netns", "add", self.name)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", self.name)
        _ip("addr", "add", f"{self._gateway}/30", "dev", outside)
        _ip("link", "set", outside, "up")
        for words in (["addr", "add", f"{self._address}/30", "dev", inside], ["link", "set", inside, "up"]):
            _ip("-n", self.name, *words)
        _ip("-n", self.name, "route", "add", "default", "via", self._gateway)
        _ip("-n", self.name, "link", "set", "lo", "up")
        self.cloud_gate.listen(self.namespace)
        self.has_power = True

    def power_off(self) -> None:
        """Cut it off and end everything at once, without notice; its disk stays as it is."""
        if not self.has_power:
            return
        self.has_power = False
        self.black_hole(True)
        while self.pids():
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.worker is not None:
                self.worker.process.poll()
        self.cloud_gate.leave()
        _ip("link", "del", f"{self.name}h")
        _ip("netns", "del", self.name)

    def black_hole(self, on: bool) -> None:
        """Drop every packet between node and server, both ways, without a word; or let them pass again."""
        verb = ["replace"] if on else ["del"]
        more = ["lladdr", NOWHERE, "nud", "permanent"] if on else []
        _ip("neigh", *verb, self._address, *more, "dev", f"{self.name}h")
        _ip("-n", self.name, "neigh", *verb, self._gateway, *more, "dev", f"{self.name}n")

    def pids(self) -> set[int]:
        """Return the processes of the node; zombies are none."""
        done = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        return {pid for pid in map(int, done.stdout.split()) if _is_alive(pid)}

    def configure(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the worker's settings."""
        self.worker_config.write_text(toml(sections, {}))

    def start_worker(self) -> Program:
        """Start ``refstack-worker run`` and wait until it answers."""
        words = ["nsenter", f"--net={self.namespace}", "--", sys.executable, "-m", "refstack_worker.cli.worker.main"]
        words += ["--config", str(self.worker_config), "run"]
        program = Program(words, self.folder / "worker.log", self.environment)
        self.worker = program

        def is_up() -> bool:
            assert program.process.poll() is None, f"the worker ended\n{program.text()[-3000:]}"
            return bool(self.ask("status"))

        eventually(lambda: f"the worker answers\n{program.text()[-2000:]}", is_up)
        return program

    def ask(self, command: str) -> dict[str, Any]:
        """Ask the worker; nothing if it does not answer."""
        try:
            return control_socket.ask(self.control, command)
        except (RefstackError, OSError, ValueError):
            return {}

    def is_connected(self) -> bool:
        """Whether the worker has its queue."""
        return any(item["connected"] for item in self.ask("status").get("gearman", ()))

    def end_worker(self) -> None:
        """End it in whatever state it is."""
        if self.worker is not None and self.has_power:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.worker.pid, signal.SIGCONT)
            self.worker.end(15)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``refstack-worker`` on the node to its end."""
        argv = [
            "nsenter",
            f"--net={self.namespace}",
            "--",
            sys.executable,
            "-m",
            "refstack_worker.cli.worker.main",
            *words,
        ]
        env = {**os.environ, "PYTHONPATH": str(TOP)}
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=env)

    def left(self) -> list[str]:
        """Return what is left of runs on the node: folders, notes, spooled things, processes."""
        found = [f"{name}/{path.name}" for name in ("runs", "environments") for path in (self.folder / name).glob("*")]
        for name in ("held", "spool"):
            found += [f"state/{name}/{path.name}" for path in (self.folder / "state" / name).glob("*")]
        own = {self.worker.pid} if self.worker is not None else set()
        return found + [f"process {pid}: {_command(pid)}" for pid in self.pids() - own]


def mount(folder: Path, size_mb: int) -> None:
    """Put a small disk there."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0755", "tmpfs", str(folder)], check=True)


def unmount(folder: Path) -> None:
    """Take it away."""
    subprocess.run(["umount", "-l", str(folder)], check=False, stderr=subprocess.DEVNULL)


def fill(folder: Path) -> Path:
    """Fill a small disk to the last byte; return the file to remove."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    return path


def wait_ended(pids: set[int], patience: float = 30.0) -> None:
    """Wait until none of these processes is alive."""
    eventually(
        lambda: f"still alive: {[_command(pid) for pid in pids if _is_alive(pid)]}",
        lambda: not any(_is_alive(pid) for pid in pids),
        patience,
    )


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")[:120]
    return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
