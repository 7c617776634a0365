"""``refstack-queue worker …`` from anywhere, with an operator's token."""

from __future__ import annotations

import time

from refstack_worker.server.domain.nodes import Node
from tests.system.web.site import Site
from tests.unit.cli.queue.conftest import CallAs


def test_a_node_is_listed_shown_asked_and_forgotten(site: Site, call_as: CallAs) -> None:
    site.ledger.nodes.record(Node("node-1", ("47.0.0",), 2, 1, ("eu",), "ready", "0.1", time.time()))
    (row,) = call_as("operator", "worker", "list", "-f", "json").json
    assert (row["Node"], row["State"], row["Slots"], row["Tags"]) == ("node-1", "ready", 2, "eu")
    assert call_as("operator", "worker", "show", "node-1", "-f", "json").json["versions"] == "47.0.0"
    assert call_as("operator", "worker", "show", "b").status == 6
    assert "drain within 30 s" in call_as("operator", "worker", "drain", "node-1").out
    (row,) = call_as("operator", "worker", "list", "-f", "json").json
    assert row["State"] == "ready, drain asked"
    command = site.ledger.node_commands.pending("node-1", 0)
    assert command is not None and command.action.value == "drain"
    assert call_as("ann", "worker", "forget", "node-1").status == 8, "operators alone"
    assert call_as("operator", "worker", "forget", "node-1").status == 0
    assert call_as("operator", "worker", "list", "-f", "json").json == []
    gone = call_as("operator", "worker", "forget", "node-1")
    assert gone.status == 6 and "there is no node 'node-1'" in gone.err
