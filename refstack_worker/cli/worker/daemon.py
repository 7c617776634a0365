"""The commands of ``refstack-worker`` that are about the daemon of this node."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.errors import RefstackError
from refstack_worker.version import software_version
from refstack_worker.worker import control_socket, main
from refstack_worker.worker.doctor import checks
from refstack_worker.worker.doctor.finding import BAD
from refstack_worker.worker.spool.spool import Spool, SpoolEntry

POLL_SECONDS = 0.2


class Unhealthy(RefstackError):
    """The node cannot do its work; the message says what is in the way."""

    exit_code = 1
    reason = "unhealthy"


def settings_of(app: Any) -> WorkerSettings:
    """Return the program's settings."""
    settings = app.settings
    assert isinstance(settings, WorkerSettings)  # noqa: S101 - for the type checker
    return settings


class Run(Command):
    """Be the worker of this node: take runs until TERM (gives running ones back) or USR1 (finishes them)."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Check the settings, and become the daemon."""
        main.become(settings_of(self.app).file, software_version())


class _Asking(Command):
    """A command that asks the daemon over its socket."""

    @property
    def _socket(self) -> Path:
        return settings_of(self.app).control_socket

    def ask(self, command: str) -> dict[str, Any]:
        """Ask, and return the answer."""
        return control_socket.ask(self._socket, command)


class Status(_Asking, ShowOne):
    """Show what the worker does: slots with their runs, versions, connections, spool, disks, last errors."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Ask and show."""
        status = self.ask("status")
        del status["ok"]
        if parsed_args.formatter in ("json", "yaml"):
            return tuple(status), tuple(status.values())
        return tuple(status), tuple(_shown(name, value) for name, value in status.items())


class Drain(_Asking):
    """Take no further run; wait until those that are running are done and the worker has ended."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--no-wait", action="store_true", help="say it and come back at once")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Say it, and wait."""
        self.ask("drain")
        last = ""
        while not parsed_args.no_wait and self._socket.exists():
            try:
                busy = [slot for slot in self.ask("status")["slots"] if slot["busy"]]
            except RefstackError:
                break
            line = "; ".join(_run_line(slot) for slot in busy) or "no run any more"
            if line != last:
                self.app.stdout.write(f"draining: {line}\n")
                last = line
            time.sleep(POLL_SECONDS)
        self.app.stdout.write("draining\n" if parsed_args.no_wait else "drained: the worker has ended\n")


class Pause(_Asking):
    """Take no further run until 'resume'; running ones go on."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Say it."""
        self.app.stdout.write(f"{self.ask('pause')['state']}\n")


class Resume(_Asking):
    """Take runs again after 'pause'."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Say it."""
        self.app.stdout.write(f"{self.ask('resume')['state']}\n")


class Health(_Asking, ShowOne):
    """Say whether the running worker can do its work; exit status 1 and the problems when not."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Ask and show."""
        self._problems = self.ask("health")
        return ("healthy", "state", "problems"), tuple(
            self._problems[name]
            if name != "problems" or parsed_args.formatter == "json"
            else "\n".join(self._problems[name])
            for name in ("healthy", "state", "problems")
        )

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show, then fail when there is a problem."""
        super().run(parsed_args)
        if not self._problems["healthy"]:
            raise Unhealthy("; ".join(self._problems["problems"]))
        return 0


class Metrics(_Asking):
    """Print the worker's metrics in Prometheus's text format."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask and print."""
        self.app.stdout.write(self.ask("metrics")["text"])


class Doctor(Lister):
    """Check everything on this node that is commonly wrong, and say how to mend it; exit status 1 when something is.

    Run it as root or as the worker's user. It changes nothing.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Check."""
        settings = settings_of(self.app)
        self._findings = checks.examine(settings)
        return ("Check", "Result", "Found", "To do"), [
            (finding.check, finding.result, finding.found, finding.todo) for finding in self._findings
        ]

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the findings, then fail when one is bad."""
        super().run(parsed_args)
        bad = [finding.check for finding in self._findings if finding.result == BAD]
        if bad:
            raise Unhealthy(f"{len(bad)} of {len(self._findings)} checks failed: {', '.join(bad)}")
        return 0


class SpoolList(Lister):
    """List what the server has not taken yet: results, and how runs ended."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Look into the folder."""
        settings = settings_of(self.app)
        spool = Spool(settings.spool_folder, settings.spool)
        columns = ("Run", "Kind", "Server", "Since", "Tries", "Next try", "Error")
        return columns, [_spool_row(entry) for entry in spool.entries()]


class SpoolFlush(_Asking):
    """Try everything in the spool now; waits until it is told or has failed once more."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Say what the command takes."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--wait", type=float, default=60.0, metavar="S", help="seconds to wait (default: 60)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Say it, and wait."""
        settings = settings_of(self.app)
        spool = Spool(settings.spool_folder, settings.spool)
        tries = {entry.name: entry.tries for entry in spool.entries()}
        self.ask("flush")
        deadline = time.monotonic() + parsed_args.wait
        while time.monotonic() < deadline:
            left = [entry for entry in spool.entries() if entry.name in tries]
            if all(entry.tries > tries[entry.name] for entry in left):
                break
            time.sleep(POLL_SECONDS)
        left = [entry for entry in spool.entries() if entry.name in tries]
        self.app.stdout.write(f"{len(tries) - len(left)} told, {len(left)} left\n")
        if left:
            raise Unhealthy("; ".join(f"{entry.run}: {entry.error or 'not tried yet'}" for entry in left[:5]))


def _spool_row(entry: SpoolEntry) -> tuple[Any, ...]:
    return (
        entry.run, entry.kind, entry.callback, _when(entry.since), entry.tries, _when(entry.next_try), entry.error,
    )  # fmt: skip


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else "now"


def _run_line(slot: dict[str, Any]) -> str:
    if "test_id" not in slot:
        return f"slot {slot['slot']}: {'a job that is not claimed yet' if slot['busy'] else 'free'}"
    progress = slot["progress"]
    tests = f", {progress['done']} of {progress['total'] or '?'} tests, {progress['failed']} failed"
    return (
        f"slot {slot['slot']}: test {slot['test_id']} attempt {slot['attempt']}, Tempest {slot['tempest_version']}, "
        f"{slot['state']} for {slot['seconds']} s{tests if slot['state'] == 'running' else ''}"
    )


def _shown(name: str, value: Any) -> Any:
    """Return a value of ``status`` as lines for a person."""
    if name == "slots":
        return "\n".join(_run_line(slot) for slot in value)
    if name == "since":
        return _when(value)
    if name == "spool":
        return f"{value['entries']} entries, {value['bytes']} bytes"
    if name == "gearman":
        return "\n".join(f"{item['server']} {'connected' if item['connected'] else 'NOT CONNECTED'}" for item in value)
    if name == "servers":
        return "\n".join(f"{item['url']} {item['problem'] or 'hears this node'}" for item in value)
    if name == "disks":
        return "\n".join(f"{item['folder']} {item['free_mb']} MiB free" for item in value)
    if name == "ended":
        return ", ".join(f"{count} {kind}" for kind, count in value.items())
    if name == "last_errors":
        return "\n".join(f"{_when(item['time'])} {item['reason']}: {item['message']}" for item in value)
    return "\n".join(map(str, value)) if isinstance(value, list) else value
