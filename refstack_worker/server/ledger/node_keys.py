"""The ledger, as far as it knows the keys of single nodes: enrolled with a token, rotated, revoked."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.contract.enrolment import NOT_ITS_KEY, EnrolmentToken
from refstack_worker.contract.keys import key_id
from refstack_worker.contract.limits import MAX_RUN_SECONDS
from refstack_worker.errors import NotFoundError
from refstack_worker.server.db.node_key_tables import enrolment, node_key
from refstack_worker.server.domain.node_keys import NewToken, NodeKey
from refstack_worker.server.ledger.tokens import digest
from refstack_worker.server.ledger.transactions import LedgerPart, Row, refused

TOKEN_SECONDS = 3600.0
"""For which an enrolment token works, unless another time is asked for."""

_IS_ACTIVE = (node_key.c.revoked_at == 0) & (node_key.c.replaced_at == 0)
ACTIVE_KEYS = select(node_key.c.public).where(_IS_ACTIVE).order_by(node_key.c.id)

_USE_NEWER = "use the one that replaced it (reload the worker), or enrol the node again"


class NodeKeys(LedgerPart):
    """A node has one active key at a time; what it had before stays on record."""

    def new_token(self, node: str, server_key: str, by: str, seconds: float = TOKEN_SECONDS) -> NewToken:
        """Make a token with which one node enrols once; it is returned this once."""
        token, now = EnrolmentToken.new(server_key), self.clock()
        until = now + seconds
        values = {"node": node, "created_at": now, "expires_at": until, "created_by": by[:200]}
        with self.database.writing() as connection:
            connection.execute(delete(enrolment).where(or_(enrolment.c.expires_at <= now, enrolment.c.node == node)))
            connection.execute(insert(enrolment).values(digest=digest(token.secret), **values))
        return NewToken(str(token), node, until)

    def enrol(self, node: str, secret: str, public: bytes) -> NodeKey:
        """Give a node its key, which takes the place of the one that it has.

        :raises RefusedError: ``enrolment``: the token is unknown, used, too old, or for another node.
        """
        known = delete(enrolment).where(
            enrolment.c.digest == digest(secret), enrolment.c.node == node, enrolment.c.expires_at > self.clock()
        )
        with self.database.writing() as connection:
            if connection.execute(known).rowcount == 0:
                raise refused(
                    "enrolment",
                    f"the token was already used, has expired, or is for a different node (not {node}); make another",
                )
            _lock(connection, node)
            return self._replace(connection, node, public)

    def rotate(self, node: str, old: str, public: bytes) -> NodeKey:
        """Give a node another key in the place of its active one; the same again changes nothing.

        :raises RefusedError: ``revoked``, or ``key``: the old key is not the active one of that node.
        """
        with self.database.writing() as connection:
            _lock(connection, node)
            row = connection.execute(select(node_key).where(node_key.c.id == old)).mappings().first()
            former = _key(row) if row else None
            check_speaks_for(former, node, self.clock())
            is_known = select(node_key).where(node_key.c.id == key_id(public), node_key.c.node == node, _IS_ACTIVE)
            known = connection.execute(is_known).mappings().first()
            if known:
                return _key(known)
            if former is not None and former.state != "active":
                # in a backup of the node, say: its holder must not take the node's place
                raise refused(NOT_ITS_KEY, f"the key {old} of node {node} was replaced before; {_USE_NEWER}")
            return self._replace(connection, node, public)

    def revoke(self, name: str, by: str) -> list[NodeKey]:
        """Revoke all keys of a node, or the one of an id, and return them.

        :raises NotFoundError: there is none that is not revoked yet.
        """
        named = or_(node_key.c.node == name, node_key.c.id == name) & (node_key.c.revoked_by == "")
        with self.database.writing() as connection:
            connection.execute(delete(enrolment).where(enrolment.c.node == name))
            _lock(connection, name)
            rows = connection.execute(select(node_key).where(named)).mappings().all()
            if not rows:
                raise NotFoundError(f"{name[:200]}: no node or key of that name is enrolled")
            values = {"revoked_at": self.clock(), "revoked_by": by[:200]}
            connection.execute(update(node_key).where(named).values(values))
        return [_key({**row, **values}) for row in rows]

    def note_spoken(self, node: str, key: str) -> None:
        """Let the keys that a node's active key replaced speak no more: the worker uses the new one now."""
        with self.database.reading() as connection:
            rows = connection.execute(select(node_key).where(node_key.c.node == node)).mappings().all()
        is_active = any(one.id == key and one.state == "active" for one in map(_key, rows))
        former = [row["id"] for row in rows if row["replaced_at"] and not row["revoked_at"]]
        if is_active and former:
            ended = update(node_key).where(node_key.c.id.in_(former), node_key.c.revoked_at == 0)
            with self.database.writing() as connection:
                connection.execute(ended.values(revoked_at=self.clock()))

    def all(self) -> list[NodeKey]:
        """Return every key, by node, the newest first."""
        question = select(node_key).order_by(node_key.c.node, node_key.c.enrolled_at.desc())
        with self.database.reading() as connection:
            return [_key(row) for row in connection.execute(question).mappings().all()]

    def get(self, key: str) -> NodeKey | None:
        """Return the key of an id; None: no node enrolled it."""
        with self.database.reading() as connection:
            row = connection.execute(select(node_key).where(node_key.c.id == key)).mappings().first()
        return _key(row) if row else None

    def is_revoked(self, node: str) -> bool:
        """Return whether a node's keys were revoked and none was enrolled since."""
        question = select(node_key.c.revoked_at, node_key.c.replaced_at).where(node_key.c.node == node)
        with self.database.reading() as connection:
            rows = connection.execute(question).all()
        return any(revoked for revoked, _ in rows) and all(revoked or replaced for revoked, replaced in rows)

    def _replace(self, connection: Connection, node: str, public: bytes) -> NodeKey:
        now = self.clock()
        connection.execute(update(node_key).where(node_key.c.node == node, _IS_ACTIVE).values(replaced_at=now))
        made = NodeKey(key_id(public), node, base64.b64encode(public).decode(), now)
        try:
            connection.execute(insert(node_key).values(vars(made)))
        except IntegrityError:
            raise refused("enrolment", "this key was enrolled before; make another") from None
        return made


def _lock(connection: Connection, node: str) -> None:
    """Let changes to a node's keys follow each other: two at once could leave two active, or one past a revocation."""
    rows = select(node_key.c.id).where(node_key.c.node == node).order_by(node_key.c.enrolled_at, node_key.c.id)
    connection.execute(rows.with_for_update()).all()


def active_keys(connection: Connection) -> tuple[str, ...]:
    """Return the public keys (base64) that payloads are sealed to now, as the caller's transaction sees them."""
    found: Sequence[str] = connection.execute(ACTIVE_KEYS).scalars().all()
    return tuple(found)


def check_speaks_for(key: NodeKey | None, node: str, now: float) -> None:
    """Refuse a message signed with a key that is not the node's, was revoked, or was replaced and is used no more.

    A worker reads a new key when its runs have ended, and until then it speaks with the old one.

    :raises RefusedError: ``revoked``, ``key``.
    """
    if key is None or key.node != node:
        raise refused(NOT_ITS_KEY, f"this is not a key of node {node}")
    if key.state == "revoked":
        raise refused("revoked", f"the key {key.id} of node {node} was revoked; enrol it again if it is yours")
    if key.state == "replaced" and (key.revoked_at or now > key.replaced_at + MAX_RUN_SECONDS):
        # in a backup of the node, say
        raise refused(NOT_ITS_KEY, f"the key {key.id} of node {node} was replaced before; {_USE_NEWER}")


def _key(row: Row) -> NodeKey:
    return NodeKey(**row)
