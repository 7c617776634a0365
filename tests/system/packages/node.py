"""A machine with the project's packages on it: a node with its queue beside it, set up as the README says."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.machines import Machine
from tests.support.mirror import Mirror

URL = "http://127.0.0.1:8000"
TOKEN_FILE = "/root/token"
KEYRING = "refstack-archive-keyring.gpg"


@dataclass
class Node:
    """The machine and what is done on it."""

    machine: Machine
    mirror: Mirror
    repository: Path

    def add_source(self) -> str:
        """Add the project's repository as the documentation says; returns what ``apt-get update`` says."""
        machine = self.machine
        proxy = f'Acquire::http::Proxy "http://{machine.host}:{self.mirror.port}";\nAcquire::Retries "0";\n'
        machine.write("etc/apt/apt.conf.d/99test", proxy)
        machine.write(f"usr/share/keyrings/{KEYRING}", (self.repository / KEYRING).read_bytes())
        machine.write("etc/apt/sources.list.d/refstack.sources", (self.repository / "refstack.sources").read_bytes())
        return machine.sh("apt-get update")

    def install(self, *names: str) -> str:
        """Install packages and return what apt says."""
        return self.machine.sh(f"apt-get -y --no-install-recommends install {shlex.join(names)}")

    def set_up_queue(self) -> None:
        """Configure and start the queue's services and gearmand's, with tokens for the tests."""
        machine = self.machine
        machine.write("etc/refstack/refstack.cfg", f'TEST_METHOD = "gearman"\nAPP_ADDRESS = "{URL}"\n')
        machine.sh(
            "chgrp refstack-queue /etc/refstack/refstack.cfg\n"
            "runuser -u refstack-queue -- refstack-queue keys generate /etc/refstack/keys\n"
            "runuser -u refstack-queue -- refstack-queue db upgrade\n"
            "systemctl restart gearman-job-server\n"
            "systemctl enable --now refstack-queue-api refstack-queue-monitor\n"
        )
        made = self.queue_admin("token", "create", "test", "--scope", "operator", "-f", "json")
        machine.write(TOKEN_FILE, json.loads(made)["token"] + "\n", 0o600)
        machine.wait("the queue's API", lambda: self.queue("run", "list", "-f", "json", check=False) is not None, 30)

    def set_up_worker(self, more: str = "") -> None:
        """Configure and start the worker."""
        text = (
            f'[server]\nurls = ["{URL}"]\n[gearman]\nservers = ["127.0.0.1:4730"]\n[limits]\nmin_free_mb = 64\n{more}'
        )
        self.machine.write("etc/refstack-worker/conf.d/site.toml", text)
        self.machine.sh(
            "install -m 600 /etc/refstack/keys/fleet.key /etc/refstack-worker/fleet.key\n"
            "install -m 644 /etc/refstack/keys/sign.pub /etc/refstack-worker/server.pub\n"
            "systemctl enable --now refstack-worker\n"
        )

    def queue_admin(self, *words: str) -> str:
        """Run a ``refstack-queue`` command as the queue's own user."""
        return self.machine.run("runuser", "-u", "refstack-queue", "--", "refstack-queue", *words).stdout

    def queue(self, *words: str, check: bool = True) -> Any:
        """Run a ``refstack-queue`` command as a vendor does; its answer as JSON, or ``None`` when it failed."""
        env = {"REFSTACK_URL": URL, "REFSTACK_TOKEN_FILE": TOKEN_FILE}
        done = self.machine.run("refstack-queue", *words, check=check, env=env)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def trigger(self, conf: dict[str, Any], version: str, tests: list[str], plugins: tuple[str, ...] = ()) -> int:
        """Trigger a run and return its id. :param plugins: ``NAME==VERSION`` of each that the run asks for."""
        return int(self.create(conf, version, tests, plugins)["test_id"])

    def create(
        self, conf: dict[str, Any], version: str, tests: list[str], plugins: tuple[str, ...] = (), *more: str
    ) -> dict[str, Any]:
        """Return what ``refstack-queue run create`` answers."""
        self.machine.write("root/conf.json", json.dumps(conf), 0o600)
        words = [word for test in tests for word in ("--testcases", test)]
        words += [word for plugin in plugins for word in ("--plugin", plugin)]
        made: dict[str, Any] = self.queue(
            "run", "create", "--tempest-version", version, "--conf-json", "@/root/conf.json", *words,
            "--concurrency", "2", *more, "-f", "json",
        )  # fmt: skip
        return made

    def run(self, test_id: int) -> dict[str, Any]:
        """Return what the server says of a run."""
        found: dict[str, Any] = self.queue("run", "show", str(test_id), "-f", "json")
        return found

    def wait_state(self, test_id: int, states: tuple[str, ...], seconds: float = 180) -> dict[str, Any]:
        """Wait until a run is in one of these states."""
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(self.run(test_id))
            return found["state"] in states

        try:
            self.machine.wait(f"run {test_id} {' or '.join(states)}", there, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {found}; {self.machine.journal('refstack-worker')[-3000:]}") from None
        return found

    def status(self) -> dict[str, Any]:
        """Return the daemon's status."""
        found: dict[str, Any] = json.loads(self.machine.run("refstack-worker", "status", "-f", "json").stdout)
        return found

    def functions(self) -> str:
        """Return what gearmand says of its functions."""
        return self.machine.sh("gearadmin --status || (printf 'status\\n'; sleep 1) | nc -q1 127.0.0.1 4730")
