"""What a node says of itself is kept; a message that was sent before is refused."""

from __future__ import annotations

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
