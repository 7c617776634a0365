"""What the server asks of a node as a whole, in its reply to the node's status (``docs/protocol.md``)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class NodeAction(str, enum.Enum):
    """What the node is to do."""

    PAUSE = "pause"
    """Take no more runs until it is resumed."""
    RESUME = "resume"
    DRAIN = "drain"
    """Take no more runs, and end the worker when the running ones are done."""


@dataclass(frozen=True)
class NodeCommand:
    """One command. The server repeats it until the node confirms its id."""

    id: int
    """Larger than that of each earlier command to this node."""
    action: NodeAction

    def to_json(self) -> dict[str, Any]:
        """Return the value of ``command`` in the server's reply."""
        return {"id": self.id, "action": self.action.value}


def read_command(reply: Mapping[str, Any]) -> NodeCommand | None:
    """Return the command in the server's reply; None if there is none, or none that this software knows."""
    value = reply.get("command")
    if not isinstance(value, Mapping):
        return None
    number = value.get("id")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        return None
    try:
        return NodeCommand(number, NodeAction(value.get("action")))
    except ValueError:
        return None
