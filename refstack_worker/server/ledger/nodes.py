"""The nodes, as they last described themselves."""

from __future__ import annotations

import json

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.errors import NotFoundError
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Row,
    refused,
)

MAX_NODES = 5000
"""Nodes that are known at a time: the holder of the fleet's key could report without end, each time as another node."""


class Nodes(LedgerPart):
    """What the nodes say of themselves."""

    def record(self, node: Node) -> None:
        """Note what a node says of itself.

        :raises RefusedError: ``replayed``: its time is not newer than that of its last message; ``busy``: it is not
            known, and no more nodes are recorded.
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
                    _check_room(connection, node.name)
                    connection.execute(insert(table).values(name=node.name, **values))
        except IntegrityError:
            raise refused("replayed", "the node's message is not newer than its last; is its clock right?") from None

    def forget(self, name: str) -> None:
        """Remove a node from the list; it comes back with its next message. :raises NotFoundError: it is not listed."""
        with self.database.writing() as connection:
            gone = connection.execute(delete(queue_tables.node).where(queue_tables.node.c.name == name))
            if gone.rowcount == 0:
                raise NotFoundError(f"there is no node {name[:80]!r}")

    def all(self) -> list[Node]:
        """Return the last status report of each node, by name."""
        with self.database.reading() as connection:
            rows = connection.execute(select(queue_tables.node).order_by(queue_tables.node.c.name)).mappings().all()
        return [_node(row) for row in rows]


def _check_room(connection: Connection, name: str) -> None:
    table = queue_tables.node
    others = select(func.count()).select_from(table).where(table.c.name != name)
    if connection.execute(others).scalar_one() >= MAX_NODES:
        raise refused(
            "busy", f"{MAX_NODES} nodes are known; remove those that are gone ('refstack-queue worker forget')"
        )


def _node(row: Row) -> Node:
    versions, tags = (tuple(json.loads(row[name])) for name in ("versions", "tags"))
    names = ("name", "slots", "busy", "state", "software", "time", "seen_at")
    return Node(versions=versions, tags=tags, **{name: row[name] for name in names})
