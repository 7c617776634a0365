from __future__ import annotations

import pytest

from refstack_worker.contract.node_command import NodeAction, NodeCommand, read_command


@pytest.mark.parametrize("action", list(NodeAction))
def test_a_command_is_read_back(action: NodeAction) -> None:
    assert read_command({"seconds": 30, "command": NodeCommand(3, action).to_json()}) == NodeCommand(3, action)


@pytest.mark.parametrize(
    "command",
    [
        None,
        "pause",
        [],
        {},
        {"id": 1},
        {"id": 0, "action": "pause"},
        {"id": True, "action": "pause"},
        {"id": 1, "action": "x"},
        {"id": 1, "action": []},
    ],
)
def test_anything_else_is_no_command(command: object) -> None:
    assert read_command({"command": command}) is None
    assert read_command({}) is None
