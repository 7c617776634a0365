"""The commands of ``refstack-worker`` that run the daemon of this node, or talk to it."""

from __future__ import annotations

import argparse
import functools
import logging
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.show import ShowOne

from refstack_worker.config.worker import CONTROL_SOCKET, RUNTIME, WorkerSettings
from refstack_worker.errors import ConfigError, RefstackError
from refstack_worker.version import software_version
from refstack_worker.worker import control_socket, main

LOG = logging.getLogger(__name__)

POLL_SECONDS = 0.2


class Unhealthy(RefstackError):
    """The node cannot do its work; the message says why."""

    exit_code = 1
    reason = "unhealthy"


def settings_of(app: Any) -> WorkerSettings:
    settings = app.settings
    assert isinstance(settings, WorkerSettings)  # noqa: S101 - for the type checker
    return settings


class RunWorker(Command):
    """Run the worker of this node until TERM (releases the running attempts) or USR1 (finishes them)."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Check the settings, then replace this process with the daemon."""
        main.become(settings_of(self.app).file, software_version())


class DaemonCommand(Command):
    """A command that talks to the daemon over its socket."""

    @functools.cached_property
    def _socket(self) -> Path:
        try:
            return settings_of(self.app).control_socket
        except ConfigError as error:
            # the daemon may well run with the settings from before the file was changed
            usual = RUNTIME / CONTROL_SOCKET
            if not usual.is_socket():
                raise
            LOG.warning("%s; asking the worker at %s", error, usual)
            return usual

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command to the daemon and return its response."""
        return control_socket.ask(self._socket, command)


class Status(DaemonCommand, ShowOne):
    """Show the state of the worker: slots with their runs, versions, connections, spool, disks, last errors."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        status = self.ask("status")
        del status["ok"]
        if parsed_args.formatter in ("json", "yaml"):
            return tuple(status), tuple(status.values())
        return tuple(status), tuple(_shown(name, value) for name, value in status.items())


class Drain(DaemonCommand):
    """Take no more runs; wait until the running ones are done and the worker has ended."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--no-wait", action="store_true", help="return at once instead of waiting")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.ask("drain")
        last = ""
        while not parsed_args.no_wait and self._socket.exists():
            try:
                busy = [slot for slot in self.ask("status")["slots"] if slot["busy"]]
            except RefstackError:
                break
            line = "; ".join(_run_line(slot) for slot in busy) or "no runs left"
            if line != last:
                self.app.stdout.write(f"draining: {line}\n")
                last = line
            time.sleep(POLL_SECONDS)
        self.app.stdout.write("draining\n" if parsed_args.no_wait else "drained: the worker has ended\n")


class Pause(DaemonCommand):
    """Take no more runs until 'resume', also after a restart; running ones continue."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.app.stdout.write(f"{self.ask('pause')['state']}\n")


class Resume(DaemonCommand):
    """Take runs again after 'pause'."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.app.stdout.write(f"{self.ask('resume')['state']}\n")


class Health(DaemonCommand, ShowOne):
    """Show whether the worker can do its work; exits with 1 and lists the problems if not."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        self._problems = self.ask("health")
        return ("healthy", "state", "problems"), tuple(
            self._problems[name]
            if name != "problems" or parsed_args.formatter == "json"
            else "\n".join(self._problems[name])
            for name in ("healthy", "state", "problems")
        )

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show it, then fail if there is a problem."""
        super().run(parsed_args)
        if not self._problems["healthy"]:
            raise Unhealthy("; ".join(self._problems["problems"]))
        return 0


class Metrics(DaemonCommand):
    """Print the worker's metrics in Prometheus's text format."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        self.app.stdout.write(self.ask("metrics")["text"])


def utc(seconds: float) -> str:
    """Return a time for a table; ``now`` for 0."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else "now"


def _run_line(slot: dict[str, Any]) -> str:
    if "test_id" not in slot:
        return f"slot {slot['slot']}: {'claiming a job' if slot['busy'] else 'free'}"
    progress = slot["progress"]
    tests = f", {progress['done']} of {progress['total'] or '?'} tests, {progress['failed']} failed"
    return (
        f"slot {slot['slot']}: test {slot['test_id']} attempt {slot['attempt']}, Tempest {slot['tempest_version']}, "
        f"{slot['state']} for {slot['seconds']} s{tests if slot['state'] == 'running' else ''}"
    )


def _shown(name: str, value: Any) -> Any:
    """Return a value of ``status`` as text for a table."""
    if name == "slots":
        return "\n".join(_run_line(slot) for slot in value)
    if name == "since":
        return utc(value)
    if name == "state" and value == "paused":
        return "paused: takes no runs until 'refstack-worker resume'"
    if name in ("spool", "store", "ended"):
        return ", ".join(f"{count} {what}" for what, count in value.items())
    if name == "keys":
        return "\n".join(f"{kind}: {' '.join(ids)}" for kind, ids in value.items())
    if name == "gearman":
        return "\n".join(f"{item['server']} {'connected' if item['connected'] else 'NOT CONNECTED'}" for item in value)
    if name == "servers":
        return "\n".join(f"{item['url']} {item['problem'] or 'accepts reports from this node'}" for item in value)
    if name == "disks":
        return "\n".join(f"{item['folder']} {item['free_mb']} MiB free" for item in value)
    if name == "last_errors":
        return "\n".join(f"{utc(item['time'])} {item['reason']}: {item['message']}" for item in value)
    return "\n".join(map(str, value)) if isinstance(value, list) else value
