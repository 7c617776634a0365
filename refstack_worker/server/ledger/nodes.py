"""The nodes, as they last described themselves."""

from __future__ import annotations

import json

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Row,
    refused,
)


class Nodes(LedgerPart):
    """What the nodes say of themselves."""

    def record(self, node: Node) -> None:
        """Note what a node says of itself.

        :raises RefusedError: ``replayed``: its time is not newer than that of its last message.
        """
        values = {
            "versions": json.dumps(list(node.versions)),
            "tags": json.dumps(list(node.tags)),
            "slots": node.slots,
            "busy": node.busy,
            "state": node.state,
            "software": node.software,
            "time": node.time,
            "seen_at": self.clock(),
        }
        table = queue_tables.node
        try:
            with self.database.writing() as connection:
                newer = update(table).where(table.c.name == node.name, table.c.time < node.time)
                if connection.execute(newer.values(values)).rowcount == 0:
                    connection.execute(insert(table).values(name=node.name, **values))
        except IntegrityError:
            raise refused("replayed", "the node's message is not newer than its last; is its clock right?") from None

    def forget(self, name: str) -> None:
        """Remove a node from the list; it comes back with its next message."""
        with self.database.writing() as connection:
            connection.execute(delete(queue_tables.node).where(queue_tables.node.c.name == name))

    def all(self) -> list[Node]:
        """Return the last status report of each node, by name."""
        with self.database.reading() as connection:
            rows = connection.execute(select(queue_tables.node).order_by(queue_tables.node.c.name)).mappings().all()
        return [_node(row) for row in rows]


def _node(row: Row) -> Node:
    versions, tags = (tuple(json.loads(row[name])) for name in ("versions", "tags"))
    names = ("name", "slots", "busy", "state", "software", "time", "seen_at")
    return Node(versions=versions, tags=tags, **{name: row[name] for name in names})
