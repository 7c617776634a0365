"""API tokens, and the browser sessions that begin with one."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.db import account_tables
from refstack_worker.server.domain.accounts import Session, Token
from refstack_worker.server.ledger.disabled import is_disabled
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Row,
    Transactions,
    new_id,
    refused,
)

_TOKENS = account_tables.token
TOKEN_PREFIX = "rsq_"  # noqa: S105 - what a token begins with, so that scanners recognise one that leaked
CACHE_SECONDS = 1.0
"""For which a token is believed without a look at the database: a revoked one works that much longer elsewhere."""
CACHED_TOKENS = 1000
FORGOTTEN_AT_ONCE = 100
MAX_SESSIONS = 100
"""Browsers that are signed in with one token; the next signs out the one that came first."""
_USED_EVERY = 60.0
"""Seconds between two notes of when a token was used: not a write for every request."""
# a random secret is looked up by its digest: the time that takes tells nothing of other secrets
_IS_DISABLED = is_disabled(_TOKENS.c.user_id).label("is_disabled")
_TOKEN = select(_TOKENS, _IS_DISABLED).where(_TOKENS.c.digest == bindparam("of_secret"))


class Tokens(LedgerPart):
    """API tokens; of their secrets only digests are kept."""

    def __init__(self, transactions: Transactions) -> None:
        super().__init__(transactions)
        self._cache: dict[str, tuple[Row, float]] = {}
        """Digest to row, and until when it is believed, by the steady clock."""

    def add(
        self,
        name: str,
        scopes: Sequence[str],
        user_id: int | None = None,
        expires_at: float = 0.0,
        parent_id: int | None = None,
    ) -> tuple[Token, str]:
        """Make an API token; its secret is returned this once and kept nowhere.

        :param parent_id: the token with which it is made, and with which it is revoked; 0: one that is not stored,
            as that of a command on the server.
        :raises NotFoundError: there is no such user.
        :raises RefusedError: ``wrong-token``: the parent has ended, though it may still be in a cache.
        """
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = {
            "name": name[:200],
            "digest": digest(secret),
            "scopes": " ".join(sorted(set(scopes))),
            "user_id": user_id,
            "created_at": self.clock(),
            "expires_at": expires_at,
            "parent_id": parent_id or None,
        }
        try:
            with self.database.writing() as connection:
                if parent_id:
                    self._check_parent(connection, parent_id)
                added = connection.execute(insert(_TOKENS).values(row))
                made = connection.execute(select(_TOKENS).where(_TOKENS.c.id == new_id(added)))
                return _token(made.mappings().one()), secret
        except IntegrityError:
            raise NotFoundError(f"there is no user {user_id}") from None

    def add_session(self, name: str, scopes: Sequence[str], user_id: int) -> Token:
        """Make the token that represents a browser that signed in elsewhere; remove this user's ended ones.

        It lives as long as a browser's session.
        """
        now = self.clock()
        row = {
            "name": name[:200],
            "digest": digest(secrets.token_urlsafe(32)),
            "scopes": " ".join(sorted(set(scopes))),
            "user_id": user_id,
            "created_at": now,
            "expires_at": now + self.settings.web.session_hours * 3600,
            "is_session": True,
        }
        ended = (_TOKENS.c.revoked_at > 0) | (_TOKENS.c.expires_at <= now)
        own = _TOKENS.c.is_session & (_TOKENS.c.user_id == user_id)
        with self.database.writing() as connection:
            connection.execute(delete(_TOKENS).where(own, ended))
            added = connection.execute(insert(_TOKENS).values(row))
            made = connection.execute(select(_TOKENS).where(_TOKENS.c.id == new_id(added)))
            return _token(made.mappings().one())

    def all(self) -> list[Token]:
        """Return all the tokens, revoked and expired ones too."""
        return self._tokens(select(_TOKENS))

    def of_user(self, user_id: int | None) -> list[Token]:
        """Return the tokens of a user, revoked and expired ones too. :param user_id: None: those that have no user."""
        return self._tokens(select(_TOKENS).where(_TOKENS.c.user_id == user_id))

    def forget_ended(self, user_id: int | None, kept: int) -> None:
        """Remove a user's tokens that have ended. :param kept: of the latest, so many stay in the list."""
        ended = (_TOKENS.c.revoked_at > 0) | ((_TOKENS.c.expires_at > 0) & (_TOKENS.c.expires_at <= self.clock()))
        # by descending ids, so that what one of them has made goes before it
        old = select(_TOKENS.c.id, _TOKENS.c.parent_id).where(_TOKENS.c.user_id == user_id, ended)
        old = old.order_by(_TOKENS.c.id.desc()).offset(kept).limit(FORGOTTEN_AT_ONCE)
        with self.database.writing() as connection:
            for token_id, parent_id in connection.execute(old).all():
                _remove(connection, token_id, parent_id)

    def _tokens(self, question: Any) -> list[Token]:
        with self.database.reading() as connection:
            return [_token(row) for row in connection.execute(question.order_by(_TOKENS.c.id)).mappings().all()]

    def revoke(self, token_id: int) -> None:
        """End a token for good, and all that were made with it. :raises NotFoundError: no such id."""
        with self.database.writing() as connection:
            gone = update(_TOKENS).where(_TOKENS.c.id == token_id)
            if connection.execute(gone.values(revoked_at=self.clock())).rowcount == 0:
                raise NotFoundError(f"there is no token {token_id}")
            self._cache.clear()
            parents = [token_id]
            while parents:
                made = select(_TOKENS.c.id).where(_TOKENS.c.parent_id.in_(parents), _TOKENS.c.revoked_at == 0)
                parents = list(connection.execute(made).scalars().all())
                ended = update(_TOKENS).where(_TOKENS.c.id.in_(parents))
                connection.execute(ended.values(revoked_at=self.clock()))

    def remove(self, token_id: int) -> None:
        """Take a token that has ended out of the list.

        :raises NotFoundError: no such id.
        :raises StateError: it is still good.
        """
        with self.database.writing() as connection:
            row = connection.execute(select(_TOKENS).where(_TOKENS.c.id == token_id)).mappings().first()
            if row is None:
                raise NotFoundError(f"there is no token {token_id}")
            if not row["revoked_at"] and not 0 < row["expires_at"] <= self.clock():
                raise StateError(f"token {token_id} is still valid; revoke it first")
            _remove(connection, token_id, row["parent_id"])

    def _check_parent(self, connection: Connection, parent_id: int) -> None:
        """Refuse a token that is being revoked: what it makes now would be missed. A revocation waits until then."""
        same = select(_TOKENS.c.revoked_at, _TOKENS.c.expires_at).where(_TOKENS.c.id == parent_id).with_for_update()
        row = connection.execute(same).first()
        if row is None or row.revoked_at or 0 < row.expires_at <= self.clock():
            raise refused("wrong-token", "this API token is unknown, revoked or expired")

    def find(self, secret: str) -> Token | None:
        """Return the token with this secret, if it is good now, or was less than ``CACHE_SECONDS`` ago."""
        now = self.clock()
        row = self._row(digest(secret))
        if row is None or row["revoked_at"] or row["is_disabled"] or 0 < row["expires_at"] <= now:
            return None
        if row["last_used_at"] < now - _USED_EVERY:
            with self.database.writing(is_lasting=False) as connection:
                used = update(_TOKENS).where(_TOKENS.c.id == row["id"])
                connection.execute(used.values(last_used_at=now))
            self._cache.clear()
        return _token(row)

    def _row(self, of_secret: str) -> Row | None:
        """Return the row of a token; a client asks many times a second, and a token hardly ever changes."""
        now = time.monotonic()
        row, until = self._cache.get(of_secret, (None, 0.0))
        if now < until:
            return row
        with self.database.reading() as connection:
            row = connection.execute(_TOKEN, {"of_secret": of_secret}).mappings().first()
        if row is not None and not row["is_disabled"]:
            if len(self._cache) >= CACHED_TOKENS:
                self._cache.clear()
            self._cache[of_secret] = (row, now + CACHE_SECONDS)
        return row


class Sessions(LedgerPart):
    """Browsers that are signed in."""

    def add(self, token: Token) -> str:
        """Let a browser in that showed a token; return the session's secret, of which only the digest is kept.

        Of many browsers of one token the first are signed out.
        """
        secret = secrets.token_urlsafe(32)
        now = self.clock()
        until = now + self.settings.web.session_hours * 3600
        row = {"digest": digest(secret), "token_id": token.id, "created_at": now, "expires_at": until}
        table = account_tables.session
        older = select(table.c.digest).where(table.c.token_id == token.id).order_by(table.c.created_at.desc())
        with self.database.writing() as connection:
            connection.execute(delete(table).where(table.c.expires_at <= now))
            too_many = connection.execute(older.offset(MAX_SESSIONS - 1).limit(FORGOTTEN_AT_ONCE)).scalars().all()
            connection.execute(delete(table).where(table.c.digest.in_(too_many)))
            connection.execute(insert(table).values(row))
        return secret

    def find(self, secret: str) -> Session | None:
        """Return the session with this secret, if it and its token are good now."""
        now = self.clock()
        joined = account_tables.session.join(
            account_tables.token, account_tables.token.c.id == account_tables.session.c.token_id
        )
        question = (
            select(account_tables.token, account_tables.session.c.expires_at.label("session_until"), _IS_DISABLED)
            .select_from(joined)
            .where(account_tables.session.c.digest == digest(secret))
        )
        with self.database.reading() as connection:
            row = connection.execute(question).mappings().first()
        if row is None or row["session_until"] <= now or row["revoked_at"] or row["is_disabled"]:
            return None
        if 0 < row["expires_at"] <= now:
            return None
        return Session(_token(row), row["session_until"])

    def end(self, secret: str) -> None:
        with self.database.writing() as connection:
            connection.execute(delete(account_tables.session).where(account_tables.session.c.digest == digest(secret)))


def digest(secret: str) -> str:
    """Return what the ledger keeps of a random secret (hex SHA-256)."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _remove(connection: Connection, token_id: int, parent_id: int | None) -> None:
    # SQLite may give the id to another token, which must not be the one that ends what this one has made
    connection.execute(update(_TOKENS).where(_TOKENS.c.parent_id == token_id).values(parent_id=parent_id))
    connection.execute(delete(_TOKENS).where(_TOKENS.c.id == token_id))


def _token(row: Row) -> Token:
    names = ("id", "name", "user_id", "created_at", "expires_at", "revoked_at", "last_used_at", "is_session")
    return Token(scopes=tuple(row["scopes"].split()), **{name: row[name] for name in names})
