"""systemd and the running worker: what state the units are in, what the worker has not read yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from refstack_install import files
from refstack_install.errors import StepError
from refstack_install.system import System

PROGRAM = "/usr/bin/refstack-worker"
WORKER = "refstack-worker.service"
UNITS = ("refstack-run.socket", WORKER, "refstack-store-gc.timer")
"""In the order in which they are started."""

RELOAD = "reload"
RESTART = "restart"
PENDING = "/var/lib/refstack-install/pending"
DISCARD = "REFSTACK_INSTALL_DISCARD_RESULTS"


@dataclass(frozen=True)
class Unit:
    """A unit as systemd has it."""

    name: str
    enabled: bool
    active: bool


def states(system: System, names: Sequence[str] = UNITS) -> list[Unit]:
    """Return the units' states; one that does not exist is neither enabled nor active."""
    if not system.systemd_runs():
        return [Unit(name, _enabled_offline(system, name), False) for name in names]
    out = system.run(["systemctl", "show", "-p", "UnitFileState,ActiveState", "--value", *names]).out
    blocks = [block.split("\n") for block in out.strip("\n").split("\n\n")]
    found = []
    for name, block in zip(names, blocks):
        found.append(Unit(name, "enabled" in block, bool({"active", "reloading", "activating"} & set(block))))
    return found


def is_at_work(system: System, name: str) -> bool:
    """Tell whether a unit that ends by itself has been started and has not ended."""
    return system.run(["systemctl", "show", "-p", "ActiveState", "--value", name]).out.strip() == "activating"


def note_pending(system: System, what: str) -> None:
    """Note that the worker has to read its files again; a restart covers a reload."""
    if pending(system) != RESTART:
        files.write(files.Wanted(system.path(PENDING), what.encode(), 0o600))


def pending(system: System) -> str:
    """Return what the worker still needs: ``reload``, ``restart`` or nothing."""
    try:
        return (files.read(system.path(PENDING)) or b"").decode()
    except PermissionError:
        return ""


def clear_pending(system: System) -> None:
    """Note that the worker has read everything."""
    system.path(PENDING).unlink(missing_ok=True)


def last_words(system: System, unit: str) -> str:
    """Return the last lines that a unit said in the journal."""
    done = system.run(["journalctl", "-u", unit, "-n", "5", "-o", "cat", "--no-pager"])
    return done.out.strip().replace("\n", " | ")[-1000:] or f"see 'systemctl status {unit}'"


def keep_undelivered(system: System) -> None:
    """Refuse to remove a node that holds results which the server does not have. :raises StepError: it does."""
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
            f"{len(rows)} result(s) were not delivered yet ({runs})",
            todo="'refstack-worker spool flush' delivers them; 'remove --discard-results' throws them away",
        )


def _enabled_offline(system: System, name: str) -> bool:
    root = [] if system.is_live else [f"--root={system.root}"]
    return system.run(["systemctl", *root, "is-enabled", name]).out.strip() == "enabled"
