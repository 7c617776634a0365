"""What a node says of itself is kept; a message that was sent before is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import refusal


def test_node_is_recorded_and_no_message_twice(ledger: Ledger) -> None:
    node = Node("node-1", ("47.0.0",), 2, 1, ("eu",), "ready", "1.0", time=100.0)
    ledger.nodes.record(node)
    assert refusal(lambda: ledger.nodes.record(node)) == "replayed"
    ledger.nodes.record(Node("node-1", (), 2, 0, (), "draining", "1.0", time=101.0))
    (found,) = ledger.nodes.all()
    assert (found.state, found.versions, found.seen_at) == ("draining", (), ledger.clock())


def test_nodes_without_number_are_not_recorded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refstack_worker.server.ledger.nodes.MAX_NODES", 2)
    first, second, third = (Node(f"node-{number}", (), 1, 0, (), "ready", "1.0", time=1.0) for number in range(3))
    ledger.nodes.record(first)
    ledger.nodes.record(second)
    assert refusal(lambda: ledger.nodes.record(third)) == "busy"
    # those that are known go on, and a replayed message is distinguished from a new node
    ledger.nodes.record(replace(second, time=2.0))
    assert refusal(lambda: ledger.nodes.record(second)) == "replayed"
    ledger.nodes.forget("node-0")
    ledger.nodes.record(third)
    assert [node.name for node in ledger.nodes.all()] == ["node-1", "node-2"]
