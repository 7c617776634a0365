"""States of a node that tests wait for."""

from __future__ import annotations

from refstack_worker.contract import gearman_functions
from tests.integration.worker.conftest import VERSION, Node
from tests.support.processes import eventually
from tests.support.standin_server import Attempt

FUNCTION = gearman_functions.for_version(VERSION)


def clean(node: Node) -> None:
    """Wait until nothing of any run is left, and the queue has no job that is not complete."""
    eventually("the node is clean", node.is_clean)
    eventually("the job is complete", lambda: node.queue_status()[FUNCTION][:2] == (0, 0))


def running(node: Node, attempt: Attempt) -> None:
    eventually("it runs", lambda: attempt.state == "running" and node.pids)


def node_section(node: Node) -> dict[str, str]:
    base = node.folder / "node"
    return {"name": "node-1", "state_folder": str(base / "state"), "runtime_folder": str(base / "run")}
