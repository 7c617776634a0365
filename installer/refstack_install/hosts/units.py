"""The worker's systemd units: their state, and settings that the running worker has not read yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from refstack_install import files
from refstack_install.errors import StepError, VerifyError
from refstack_install.system import System

PROGRAM = "/usr/bin/refstack-worker"
WORKER = "refstack-worker.service"
TIMER = "refstack-store-gc.timer"
UNITS = ("refstack-run.socket", WORKER, TIMER)
"""In the order in which they are started."""

RELOAD = "reload"
RESTART = "restart"
PENDING = "/var/lib/refstack-install/pending"
INVALID_SETTINGS = 3
"""Exit status of the worker's commands (docs/exit-codes.md)."""
DISCARD = "REFSTACK_INSTALL_DISCARD_RESULTS"


@dataclass(frozen=True)
class UnitState:
    """The state of a systemd unit."""

    name: str
    enabled: bool
    active: bool
    """Running, or about to: also a worker that systemd starts again in some seconds."""
    failed: bool = False
    """Ended, and systemd does not start it again."""


def states(system: System, names: Sequence[str] = UNITS) -> list[UnitState]:
    """Return the units' states; a missing unit is neither enabled nor active."""
    if not system.systemd_runs():
        return [UnitState(name, _enabled_offline(system, name), False) for name in names]
    out = system.run(["systemctl", "show", "-p", "UnitFileState,ActiveState", "--value", *names]).out
    blocks = [block.split("\n") for block in out.strip("\n").split("\n\n")]
    return [
        UnitState(name, "enabled" in block, bool({"active", "reloading", "activating"} & set(block)), "failed" in block)
        for name, block in zip(names, blocks)
    ]


def is_activating(system: System, name: str) -> bool:
    """Return whether a oneshot unit is running, or another is starting or waits to be started again."""
    return system.run(["systemctl", "show", "-p", "ActiveState", "--value", name]).out.strip() == "activating"


def is_paused(system: System) -> bool:
    """Return whether the running worker was paused; False also if none runs here."""
    if not system.systemd_runs() or not system.path(PROGRAM).exists():
        return False
    try:
        return bool(json.loads(system.run([PROGRAM, "status", "-f", "json"]).out)["state"] == "paused")
    except (ValueError, KeyError, TypeError):
        return False


def note_pending(system: System, action: str) -> None:
    """Record that the worker must read its files again; a restart includes a reload."""
    if pending(system) != RESTART:
        files.write(files.TargetFile(system.path(PENDING), action.encode(), 0o600))


def pending(system: System) -> str:
    """Return what the worker still needs: ``reload``, ``restart`` or an empty string."""
    try:
        return (files.read(system.path(PENDING)) or b"").decode()
    except PermissionError:
        return ""


def clear_pending(system: System) -> None:
    """Record that the worker has read all its files."""
    system.path(PENDING).unlink(missing_ok=True)


def log_tail(system: System, unit: str) -> str:
    """Return a unit's last log lines."""
    done = system.run(["journalctl", "-u", unit, "-n", "5", "-o", "cat", "--no-pager"])
    return done.out.strip().replace("\n", " | ")[-1000:] or f"see 'systemctl status {unit}'"


def check_settings(system: System) -> None:
    """Let the installed worker check its settings and keys. :raises VerifyError: they are not valid."""
    if not system.is_live or not system.path(PROGRAM).exists():
        return
    done = system.run([PROGRAM, "config", "check"])
    if done.status == INVALID_SETTINGS:  # other statuses: a version that cannot check them yet
        reason = done.output_tail.replace("\n", " | ")
        raise VerifyError("the worker's settings are not valid", reason, "correct the answers and run again")


def refuse_if_undelivered(system: System) -> None:
    """Protect results that the server does not have yet. :raises StepError: the node holds such results."""
    if not system.path(PROGRAM).exists() or system.environ.get(DISCARD):
        return
    done = system.run([PROGRAM, "spool", "list", "-f", "json"])
    try:
        rows = json.loads(done.out)
    except ValueError:
        return
    if rows:
        runs = ", ".join(str(next(iter(row.values()))) for row in rows[:10])
        raise StepError(
            f"{len(rows)} result(s) have not been delivered yet ({runs})",
            todo="deliver them with 'refstack-worker spool flush', or discard them with 'remove --discard-results'",
        )


def _enabled_offline(system: System, name: str) -> bool:
    root = [] if system.is_live else [f"--root={system.root}"]
    return system.run(["systemctl", *root, "is-enabled", name]).out.strip() == "enabled"
