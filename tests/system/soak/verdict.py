"""What became of everything: from the ledger, the disks, the processes, the queue and the cloud."""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.process_table import files_with
from tests.support.processes import eventually
from tests.system.faults.accounts import ENDS, Account, accounts, unnamed
from tests.system.faults.place import Place

SETTLE = 120.0
"""Seconds for nodes and queue to be clean after the last run: spools, and jobs of attempts that are over."""
ATTEMPTS = 3
"""Attempts that may be lost, or meet a full disk, before a run fails."""


@dataclass
class Verdict:
    """The outcome of a soak."""

    wrong: list[str] = field(default_factory=list)
    """What is not accounted for; empty: all is."""
    excused: list[str] = field(default_factory=list)
    """Runs that did not finish, and why that is right."""
    states: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    """How many runs took so many attempts."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How attempts ended."""
    results: int = 0
    tests: int = 0
    jobs_with_dead_workers: int = 0
    """That gearmand does not know to be dead."""
    left_in_cloud: list[str] = field(default_factory=list)
    """What the vendors' messages named."""

    def report(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {name: dict(sorted(value.items())) if isinstance(value, Counter) else value
                for name, value in vars(self).items()}  # fmt: skip


def judge(place: Place, recorded: Sequence[int], cloud_before: set[str]) -> Verdict:
    """Look at everything, once all runs have ended and no fault is on."""
    verdict = Verdict()
    _settle(place)
    verdict.jobs_with_dead_workers = (_counted(place) or (0, 0))[1]
    found = accounts(place)
    if sorted(found) != sorted(set(recorded)) or len(recorded) != len(set(recorded)):
        verdict.wrong.append(f"{len(recorded)} runs were recorded, the ledger has {len(found)}")
    for test_id, account in found.items():
        _count(verdict, account)
        verdict.wrong += [f"run {test_id}: {text}" for text in account.wrong()]
        if account.run["state"] != "finished":
            _excuse(verdict, account)
    said = "\n".join(row["message"] for account in found.values() for row in account.said)
    verdict.left_in_cloud = sorted(place.in_cloud() - cloud_before)
    verdict.wrong += [f"left in the cloud, named to no vendor: {name}" for name in unnamed(verdict.left_in_cloud, said)]
    gone = cloud_before - place.in_cloud()
    verdict.wrong += [f"gone from the cloud: {name}" for name in sorted(gone)]
    verdict.wrong += _left(place)
    return verdict


def _settle(place: Place) -> None:
    with contextlib.suppress(AssertionError):
        eventually("all is clean", lambda: not _left(place), SETTLE)


def _count(verdict: Verdict, account: Account) -> None:
    verdict.states[account.run["state"]] += 1
    verdict.attempts[len(account.attempts)] += 1
    verdict.outcomes.update(account.outcomes)
    verdict.results += len(account.results)
    verdict.tests += len(account.tests)


def _excuse(verdict: Verdict, account: Account) -> None:
    """A run may fail when each of its first attempts met a fault, as docs/worker.md and RunRules have it."""
    run = account.run
    what = f"run {run['test_id']} {run['state']} ({run['reason']}: {run['message']}): {', '.join(account.outcomes)}"
    lost = sum(outcome == "lost" for outcome in account.outcomes)
    met = run["reason"] in ("machine", "killed") and len(account.attempts) >= ATTEMPTS
    if run["state"] == "failed" and (lost >= ATTEMPTS or met):
        verdict.excused.append(what)
    else:
        verdict.wrong.append(what)


def _left(place: Place) -> list[str]:
    """What is still anywhere although every run has ended."""
    wrong = []
    for number, node in enumerate(place.nodes, 1):
        wrong += [f"left on node {number}: {text}" for text in node.left()]
        if not node.is_connected():
            wrong.append(f"node {number} does not work: {node.ask('status') or 'it does not answer'}")
    wrong += [f"left on the server: {path.name}" for path in place.disk.rglob("*") if path.is_file()]
    wrong += _queue(place)
    open_attempts = place.rows("SELECT count(*) AS n FROM queue_attempt WHERE is_open")[0]["n"]
    if open_attempts:
        wrong.append(f"{open_attempts} attempts are open")
    return wrong + _fleet(place)


def _queue(place: Place) -> list[str]:
    """Jobs that wait in gearmand although no run does."""
    counted = _counted(place)
    if counted is None:
        return ["gearmand does not answer"]
    return [f"{total - running} jobs wait in gearmand" for total, running in [counted] if total > running]


def _counted(place: Place) -> tuple[int, int] | None:
    """Jobs of all functions, and those of them that gearmand believes to be with a worker; ``None``: it is away.

    A worker whose node lost its power never closed its connection: without ``--keepalive`` gearmand waits for it.
    """
    with contextlib.suppress(OSError), socket.create_connection((place.host, place.queue_port), 5) as line:
        line.sendall(b"status\n")
        told = b""
        while not told.endswith(b".\n"):
            told += line.recv(65536)
        rows = [row.split("\t") for row in told.decode().splitlines() if "\t" in row]
        return sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows)
    return None


def _fleet(place: Place) -> list[str]:
    """What the server thinks of the nodes."""
    nodes: list[dict[str, Any]] = place.api.get("/v1/nodes")["nodes"]
    told = {node["name"]: node for node in nodes}
    names = [f"node-{number}" for number in range(1, len(place.nodes) + 1)]
    return [
        f"the server does not see {name} ready: {told.get(name)}" for name in names if not _is_ready(told.get(name))
    ]


def _is_ready(node: dict[str, Any] | None) -> bool:
    return node is not None and node["state"] == "ready"


def has_ended(states: Mapping[str, int], count: int) -> bool:
    """Whether so many runs are there and all have ended."""
    return sum(states.values()) >= count and not set(states) - set(ENDS)


def by_state(place: Place) -> dict[str, int]:
    """Count the runs by state."""
    rows = place.rows("SELECT state, count(*) AS n FROM queue_run GROUP BY state")
    return {row["state"]: row["n"] for row in rows}


def passwords(place: Place) -> list[str]:
    """Files in which the cloud's password stands."""
    return [f"the password stands in {path}" for path in files_with(place.cloud.admin_password, place.root)]
