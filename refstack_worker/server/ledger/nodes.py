"""The ledger, as operators see it: nodes, the pause of the whole queue, API tokens."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.errors import NotFoundError
from refstack_worker.server.db import account_tables, queue_tables
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.submissions import queue_is_paused
from refstack_worker.server.ledger.transactions import LedgerBase, Row, new_id, refused

_TOKENS = account_tables.token
TOKEN_PREFIX = "rsq_"  # noqa: S105 - what a token begins with, so that scanners recognise one that leaked
_USED_EVERY = 60.0
"""Seconds between two notes of when a token was used: not a write for every request."""
# a random secret is looked up by its digest: the time that takes tells nothing of other secrets
_TOKEN = select(_TOKENS).where(_TOKENS.c.digest == bindparam("of_secret"))


class NodeLedger(LedgerBase):
    """Nodes, pause, tokens."""

    def node_seen(self, node: Node) -> None:
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

    def nodes(self) -> list[Node]:
        """Return what the nodes last said of themselves, by name."""
        with self.database.reading() as connection:
            rows = connection.execute(select(queue_tables.node).order_by(queue_tables.node.c.name)).mappings().all()
        return [_node(row) for row in rows]

    def pause(self, by: str) -> None:
        """Stop giving runs to workers; those that are held go on."""
        self._set_paused("yes", by)

    def resume(self, by: str) -> None:
        """Go on giving runs to workers."""
        self._set_paused("no", by)

    def is_paused(self) -> bool:
        """Return whether the whole queue is paused."""
        with self.database.reading() as connection:
            return queue_is_paused(connection)

    def count_states(self) -> dict[str, int]:
        """Return how many runs there are in each state; states without runs are left out."""
        run = queue_tables.run
        question = select(run.c.state, func.count().label("runs")).group_by(run.c.state).order_by(run.c.state)
        with self.database.reading() as connection:
            rows = connection.execute(question).mappings().all()
        return {row["state"]: row["runs"] for row in rows}

    def add_token(
        self, name: str, scopes: Sequence[str], user_id: int | None = None, expires_at: float = 0.0
    ) -> tuple[Token, str]:
        """Make an API token; its secret is returned this once and kept nowhere.

        :raises NotFoundError: there is no such user.
        """
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = {
            "name": name[:200],
            "digest": _digest(secret),
            "scopes": " ".join(sorted(set(scopes))),
            "user_id": user_id,
            "created_at": self.clock(),
            "expires_at": expires_at,
        }
        try:
            with self.database.writing() as connection:
                added = connection.execute(insert(_TOKENS).values(row))
                made = connection.execute(select(_TOKENS).where(_TOKENS.c.id == new_id(added)))
                return _token(made.mappings().one()), secret
        except IntegrityError:
            raise NotFoundError(f"there is no user {user_id}") from None

    def tokens(self) -> list[Token]:
        """Return all the tokens, revoked and expired ones too."""
        with self.database.reading() as connection:
            rows = connection.execute(select(_TOKENS).order_by(_TOKENS.c.id)).mappings().all()
        return [_token(row) for row in rows]

    def revoke_token(self, token_id: int) -> None:
        """End a token for good. :raises NotFoundError: there is none of that id."""
        with self.database.writing() as connection:
            gone = update(_TOKENS).where(_TOKENS.c.id == token_id)
            if connection.execute(gone.values(revoked_at=self.clock())).rowcount == 0:
                raise NotFoundError(f"there is no token {token_id}")

    def token(self, secret: str) -> Token | None:
        """Return the token with this secret, if it is good now."""
        now = self.clock()
        with self.database.reading() as connection:
            row = connection.execute(_TOKEN, {"of_secret": _digest(secret)}).mappings().first()
        if row is None or row["revoked_at"] or 0 < row["expires_at"] <= now:
            return None
        if row["last_used_at"] < now - _USED_EVERY:
            with self.database.writing() as connection:
                used = update(_TOKENS).where(_TOKENS.c.id == row["id"])
                connection.execute(used.values(last_used_at=now))
        return _token(row)

    def _set_paused(self, value: str, by: str) -> None:
        values = {"value": value, "changed_at": self.clock(), "changed_by": by[:200]}
        table = queue_tables.setting
        with self.database.writing() as connection:
            if not _changed(connection, values):
                connection.execute(insert(table).values(name="paused", **values))


def _changed(connection: Connection, values: dict[str, object]) -> bool:
    known = update(queue_tables.setting).where(queue_tables.setting.c.name == "paused")
    return bool(connection.execute(known.values(values)).rowcount)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _node(row: Row) -> Node:
    versions, tags = (tuple(json.loads(row[name])) for name in ("versions", "tags"))
    names = ("name", "slots", "busy", "state", "software", "time", "seen_at")
    return Node(versions=versions, tags=tags, **{name: row[name] for name in names})


def _token(row: Row) -> Token:
    names = ("id", "name", "user_id", "created_at", "expires_at", "revoked_at", "last_used_at")
    return Token(scopes=tuple(row["scopes"].split()), **{name: row[name] for name in names})
