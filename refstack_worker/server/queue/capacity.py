"""How many nodes are needed of which kind: for people, for scaling a pool, and for the estimate of a run's start."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from refstack_worker.contract import gearman_functions
from refstack_worker.contract.states import RunState
from refstack_worker.server.domain.nodes import Demand, Node
from refstack_worker.server.domain.runs import QueuePosition, Run, RunSpec
from refstack_worker.server.ledger.events import MAX_NODE_AGE
from refstack_worker.server.ledger.ledger import Ledger

Kind = tuple[str, str, str, str]
"""Tempest version, OpenStack release, plugins (JSON) and tag of runs that go to the same nodes."""

SILENT_SECONDS = 120.0
"""After which a node counts as gone; nodes speak every 30 s."""


def demand(ledger: Ledger) -> list[Demand]:
    """Return what waits and runs for each kind of node, what waited for longest first."""
    nodes = alive(ledger)
    kinds: dict[Kind, dict[str, float]] = {}
    for row in ledger.queue.waiting():
        key = (row["tempest_version"], row["openstack_release"], row["plugins"], row["tag"])
        found = kinds.setdefault(key, {"queued": 0, "running": 0, "since": 0.0})
        if row["state"] == RunState.QUEUED.value:
            found.update(queued=row["runs"], since=row["since"])
        else:
            found["running"] += row["runs"]
    rows = [_demand(ledger, nodes, key, found) for key, found in kinds.items()]
    return sorted(rows, key=lambda row: (-row.waited, row.function))


def place(ledger: Ledger, run: Run) -> QueuePosition | None:
    """Return where a run stands in the queue; None: it does not wait."""
    if run.state is not RunState.QUEUED:
        return None
    spec = run.spec
    slots = sum(node.slots for node in alive(ledger) if _serves(node, spec))
    ahead = ledger.queue.ahead(run.test_id)
    took = ledger.queue.usual_seconds(run.test_id)
    seconds = None if not slots or took is None else (ahead // slots) * took
    return QueuePosition(ahead, slots, 0.0 if slots and ahead < _free(ledger, run) else seconds)


def alive(ledger: Ledger) -> list[Node]:
    """Return the nodes that were heard of lately."""
    now = ledger.clock()
    return [node for node in ledger.nodes.all() if now - node.seen_at < SILENT_SECONDS]


def lost(ledger: Ledger) -> list[Node]:
    """Return the nodes that have stopped reporting lately, without having been drained."""
    now = ledger.clock()
    ages = ((node, now - node.seen_at) for node in ledger.nodes.all() if node.state != "draining")
    return [node for node, age in ages if SILENT_SECONDS <= age < MAX_NODE_AGE]


def _demand(ledger: Ledger, nodes: Sequence[Node], kind: Kind, found: Mapping[str, float]) -> Demand:
    version, release, plugins, tag = kind
    spec = RunSpec(version, release, plugins=json.loads(plugins), tag=tag)
    slots = sum(node.slots for node in nodes if _serves(node, spec))
    queued, running = int(found["queued"]), int(found["running"])
    return Demand(
        function=spec.function,
        version=version or release,
        queued=queued,
        running=running,
        waited=max(0.0, ledger.clock() - found["since"]) if queued else 0.0,
        slots=slots,
        needed=max(0, queued + running - slots),
    )


def _free(ledger: Ledger, run: Run) -> int:
    return sum(node.slots - node.busy for node in alive(ledger) if _serves(node, run.spec))


def _serves(node: Node, spec: RunSpec) -> bool:
    version, tag = spec.tempest_version, spec.tag
    # nodes tell no releases: which version serves a release is theirs to know
    fits = not version or gearman_functions.is_served(node.versions, version, spec.plugins)
    return node.state == "ready" and fits and (not tag or tag in node.tags)
