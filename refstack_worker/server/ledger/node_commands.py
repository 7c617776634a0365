"""What operators ask of a node: kept until the node confirms it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract.node_command import NodeAction, NodeCommand
from refstack_worker.errors import NotFoundError
from refstack_worker.server.db import queue_tables
from refstack_worker.server.ledger.transactions import LedgerPart

_SETTING = queue_tables.setting
_PREFIX = "node:"


class NodeCommands(LedgerPart):
    """The last command to each node, with its number; a new one replaces one that is not confirmed yet."""

    def ask(self, node: str, action: NodeAction, by: str) -> NodeCommand:
        """Ask something of a node; it does that with its next report. :raises NotFoundError: no such node."""
        with self.database.writing() as connection:
            known = select(queue_tables.node.c.name).where(queue_tables.node.c.name == node)
            if connection.execute(known).first() is None:
                raise NotFoundError(f"node {node[:200]}: it has not reported to this server")
            last = self._read(connection, node)
            command = NodeCommand(int(last.get("id", 0)) + 1, action)
            self._write(connection, node, {**command.to_json(), "done": False}, by)
        return command

    def pending(self, node: str, confirmed: int) -> NodeCommand | None:
        """Return the command that a node has yet to carry out.

        :param confirmed: id of the last command that the node says it has carried out; 0 for none.
        """
        with self.database.reading() as connection:
            last = self._read(connection, node)
        if not last or last["done"]:
            return None
        if last["id"] == confirmed:
            with self.database.writing() as connection:
                self._confirm(connection, node, confirmed)
            return None
        return NodeCommand(last["id"], NodeAction(last["action"]))

    def waiting(self, nodes: Iterable[str]) -> dict[str, str]:
        """Return what some nodes were asked for and have not confirmed yet: node → action."""
        with self.database.reading() as connection:
            asked = select(_SETTING.c.name, _SETTING.c.value).where(_SETTING.c.name.like(f"{_PREFIX}%"))
            last = {name: json.loads(value) for name, value in connection.execute(asked)}
        found = {node: last.get(_name(node), {}) for node in nodes}
        return {node: str(command["action"]) for node, command in found.items() if command and not command["done"]}

    def _confirm(self, connection: Connection, node: str, confirmed: int) -> None:
        last = self._read(connection, node)
        if last.get("id") == confirmed:  # else another command came meanwhile
            values = {"value": json.dumps({**last, "done": True})}
            connection.execute(update(_SETTING).where(_SETTING.c.name == _name(node)).values(values))

    def _read(self, connection: Connection, node: str) -> dict[str, Any]:
        value = connection.execute(select(_SETTING.c.value).where(_SETTING.c.name == _name(node))).scalar()
        read: dict[str, Any] = json.loads(value) if value else {}
        return read

    def _write(self, connection: Connection, node: str, value: dict[str, Any], by: str) -> None:
        values = {"value": json.dumps(value), "changed_at": self.clock(), "changed_by": by[:200]}
        existing = update(_SETTING).where(_SETTING.c.name == _name(node))
        if connection.execute(existing.values(values)).rowcount == 0:
            connection.execute(insert(_SETTING).values(name=_name(node), **values))


def _name(node: str) -> str:
    """Return the name of the setting; a node's own name may be longer than one."""
    return f"{_PREFIX}{hashlib.sha256(node.encode()).hexdigest()[:32]}"
