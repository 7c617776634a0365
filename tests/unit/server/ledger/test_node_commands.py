from __future__ import annotations

import pytest

from refstack_worker.contract.node_command import NodeAction, NodeCommand
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.ledger import Ledger

NAME = "n" * 200
"""As long as a node's name can be."""


@pytest.fixture
def node(ledger: Ledger) -> str:
    ledger.nodes.record(Node(name=NAME, versions=(), slots=1, busy=0, tags=(), state="ready", software="1", time=1.0))
    return NAME


def test_a_command_is_repeated_until_the_node_confirms_it(ledger: Ledger, node: str) -> None:
    assert ledger.node_commands.pending(node, 0) is None
    command = ledger.node_commands.ask(node, NodeAction.PAUSE, "op")
    assert command == NodeCommand(1, NodeAction.PAUSE)
    assert ledger.node_commands.pending(node, 0) == command
    assert ledger.node_commands.pending(node, 0) == command
    assert ledger.node_commands.pending(node, 1) is None
    assert ledger.node_commands.pending(node, 0) is None, "also after the node was restarted and knows nothing of it"


def test_the_last_command_counts_and_ids_grow(ledger: Ledger, node: str) -> None:
    ledger.node_commands.ask(node, NodeAction.DRAIN, "op")
    second = ledger.node_commands.ask(node, NodeAction.RESUME, "op")
    assert ledger.node_commands.pending(node, 1) == second == NodeCommand(2, NodeAction.RESUME)
    ledger.node_commands.pending(node, 2)
    assert ledger.node_commands.ask(node, NodeAction.PAUSE, "op").id == 3


def test_a_node_that_never_reported_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="has not reported"):
        ledger.node_commands.ask("nobody", NodeAction.PAUSE, "op")
