"""The ledger's accounts: vendors, users, sessions, and who may see what."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.db import account_tables, guideline_tables, legacy_tables, queue_tables
from refstack_worker.server.domain.accounts import AccessScope, Session, Token, User, Vendor
from refstack_worker.server.ledger.transactions import LedgerBase, Row, new_id, no_run

PRUNED_AT_ONCE = 50
"""Runs that one transaction removes: with 2,000 tests each that is a fraction of a second for whoever else writes."""


class AccountLedger(LedgerBase):
    """Vendors, users, sessions, shares."""

    def vendors(self) -> list[Vendor]:
        """Return all the vendors, by name."""
        table = legacy_tables.vendor
        with self.database.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.vendor_name)).mappings().all()
        return [_vendor(row) for row in rows]

    def add_vendor(self, name: str, contact_name: str = "", contact_email: str = "") -> Vendor:
        """Enter a vendor. :raises StateError: there is one of that name or with that address."""
        row = {"vendor_name": name, "contact_name": contact_name or None, "contact_email": contact_email or None}
        try:
            with self.database.writing() as connection:
                made = new_id(connection.execute(insert(legacy_tables.vendor).values(row)))
        except IntegrityError:
            raise StateError(f"there is a vendor {name!r} already, or one with that address") from None
        return Vendor(made, name, contact_name, contact_email)

    def users(self) -> list[User]:
        """Return all the users, by id."""
        with self.database.reading() as connection:
            rows = connection.execute(select(legacy_tables.user).order_by(legacy_tables.user.c.id)).mappings().all()
        return [_user(row) for row in rows]

    def user(self, user_id: int) -> User:
        """Return a user. :raises NotFoundError: there is none of that id."""
        with self.database.reading() as connection:
            row = (
                connection.execute(select(legacy_tables.user).where(legacy_tables.user.c.id == user_id))
                .mappings()
                .first()
            )
        if row is None:
            raise NotFoundError(f"there is no user {user_id}")
        return _user(row)

    def add_user(self, name: str, email: str, vendor_id: int | None = None) -> User:
        """Enter a user.

        :raises StateError: there is one with that address.
        :raises NotFoundError: there is no such vendor.
        """
        known = select(func.count()).select_from(legacy_tables.vendor).where(legacy_tables.vendor.c.id == vendor_id)
        row = {"name": name, "email": email or None, "vendor_id": vendor_id, "authorized": True, "su": False}
        try:
            with self.database.writing() as connection:
                if vendor_id is not None and not connection.execute(known).scalar():
                    raise NotFoundError(f"there is no vendor {vendor_id}")
                made = new_id(connection.execute(insert(legacy_tables.user).values(row)))
        except IntegrityError:
            raise StateError(f"there is a user with the address {email!r} already") from None
        return User(made, name, email, vendor_id)

    def viewer(self, user_id: int | None) -> AccessScope:
        """Return what a user sees: his own, that of his vendor's users, and what is shared with the vendor."""
        if user_id is None:
            return AccessScope(())
        user = legacy_tables.user
        with self.database.reading() as connection:
            vendor_id = connection.execute(select(user.c.vendor_id).where(user.c.id == user_id)).scalar()
            if vendor_id is None:
                return AccessScope((user_id,))
            team = connection.execute(select(user.c.id).where(user.c.vendor_id == vendor_id)).scalars().all()
        return AccessScope(tuple(sorted({user_id, *team})), vendor_id)

    def may_view(self, test_id: int, viewer: AccessScope) -> bool:
        """Return whether somebody may look at a run."""
        question = (
            select(func.count())
            .select_from(queue_tables.run)
            .where(queue_tables.run.c.test_id == test_id, seen_by(viewer))
        )
        with self.database.reading() as connection:
            return bool(connection.execute(question).scalar())

    def share(self, test_id: int, vendor_id: int) -> None:
        """Let a vendor look at a run. :raises NotFoundError: there is no such run or vendor."""
        row = {"test_id": test_id, "vendor_id": vendor_id, "created_at": self.clock()}
        known = _is_share(test_id, vendor_id)
        with self.database.writing() as connection:
            self._locked_run(connection, test_id)
            if (
                connection.execute(
                    select(legacy_tables.vendor.c.id).where(legacy_tables.vendor.c.id == vendor_id)
                ).scalar()
                is None
            ):
                raise NotFoundError(f"there is no vendor {vendor_id}")
            if connection.execute(select(account_tables.share.c.test_id).where(known)).scalar() is None:
                connection.execute(insert(account_tables.share).values(row))

    def unshare(self, test_id: int, vendor_id: int) -> None:
        """Let a vendor look at a run no longer."""
        with self.database.writing() as connection:
            connection.execute(delete(account_tables.share).where(_is_share(test_id, vendor_id)))

    def shares(self, test_id: int) -> list[int]:
        """Return the vendors that a run is shared with."""
        table = account_tables.share
        question = select(table.c.vendor_id).where(table.c.test_id == test_id).order_by(table.c.vendor_id)
        with self.database.reading() as connection:
            return list(connection.execute(question).scalars().all())

    def add_session(self, token: Token) -> str:
        """Let a browser in that showed a token; return the session's secret, of which only the digest is kept."""
        secret = secrets.token_urlsafe(32)
        now = self.clock()
        until = now + self.settings.web.session_hours * 3600
        row = {"digest": digest(secret), "token_id": token.id, "created_at": now, "expires_at": until}
        with self.database.writing() as connection:
            connection.execute(delete(account_tables.session).where(account_tables.session.c.expires_at <= now))
            connection.execute(insert(account_tables.session).values(row))
        return secret

    def session(self, secret: str) -> Session | None:
        """Return the session with this secret, if it and its token are good now."""
        now = self.clock()
        joined = account_tables.session.join(
            account_tables.token, account_tables.token.c.id == account_tables.session.c.token_id
        )
        question = (
            select(account_tables.token, account_tables.session.c.expires_at.label("session_until"))
            .select_from(joined)
            .where(account_tables.session.c.digest == digest(secret))
        )
        with self.database.reading() as connection:
            row = connection.execute(question).mappings().first()
        if row is None or row["session_until"] <= now or row["revoked_at"] or 0 < row["expires_at"] <= now:
            return None
        names = ("id", "name", "user_id", "created_at", "expires_at", "revoked_at", "last_used_at")
        token = Token(scopes=tuple(row["scopes"].split()), **{name: row[name] for name in names})
        return Session(token, row["session_until"])

    def end_session(self, secret: str) -> None:
        """Sign a browser out."""
        with self.database.writing() as connection:
            connection.execute(delete(account_tables.session).where(account_tables.session.c.digest == digest(secret)))

    def delete_run(self, test_id: int) -> None:
        """Remove a run and all that is known of it.

        :raises NotFoundError: there is none of that id.
        :raises StateError: it has not ended.
        """
        with self.database.writing() as connection:
            run = self._locked_run(connection, test_id)
            if not run["ended_at"]:
                raise StateError(f"run {test_id} has not ended; cancel it first")
            self._delete(connection, test_id)

    def prune(self, before: float, limit: int = PRUNED_AT_ONCE) -> int:
        """Remove runs that ended before a time, the oldest first, with everything that is known of them.

        So go results that belong to no run and were accepted before that time. Several at once do not wait for each
        other.

        :param before: seconds since 1970.
        :param limit: of runs and results without one that one transaction removes.
        :returns: how many were removed; call it until that is less than the limit.
        """
        gone = 0
        with self.database.writing() as connection:
            for question in _prunable(before):
                first = question.limit(limit - gone).with_for_update(skip_locked=True)
                found = connection.execute(first).scalars().all()
                for test_id in found:
                    self._delete(connection, test_id)
                gone += len(found)
        return gone

    def count_prunable(self, before: float) -> int:
        """Return how many runs, and results without one, :meth:`prune` would remove."""
        with self.database.reading() as connection:
            counts = (select(func.count()).select_from(question.subquery()) for question in _prunable(before))
            return sum(int(connection.execute(count).scalar() or 0) for count in counts)

    def _delete(self, connection: Any, test_id: int) -> None:
        # a result hangs on the test, not on the run; so do the messages, in RefStack's own table
        tables = (
            account_tables.share,
            guideline_tables.run_guideline,
            queue_tables.result_test,
            queue_tables.result_chunk,
            queue_tables.result,
        )
        for table in (*tables, queue_tables.attempt, queue_tables.run, legacy_tables.test_status):
            connection.execute(delete(table).where(table.c.test_id == test_id))
        connection.execute(delete(legacy_tables.test).where(legacy_tables.test.c.id == test_id))


def seen_by(viewer: AccessScope) -> Any:
    """Return the condition under which somebody sees a row of ``queue_run``."""
    own = queue_tables.run.c.owner_id.in_(viewer.owner_ids or (-1,))
    if viewer.vendor_id is None:
        return own
    shared = select(account_tables.share.c.test_id).where(account_tables.share.c.vendor_id == viewer.vendor_id)
    return or_(own, queue_tables.run.c.test_id.in_(shared))


def digest(secret: str) -> str:
    """Return what the ledger keeps of a random secret (hex SHA-256)."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def check_owner(found: bool, test_id: int) -> None:
    """Raise the same error for somebody else's run as for one that is not there."""
    if not found:
        raise no_run(test_id)


def _prunable(before: float) -> tuple[Any, Any]:
    """Return what finds the ids of runs that ended before a time, and of results without a run from before it."""
    run, result = queue_tables.run.c, queue_tables.result.c
    ended = select(run.test_id).where(run.ended_at > 0, run.ended_at < before)
    # an attempt of a run is 1 or more
    alone = select(result.test_id).where(result.attempt == 0, result.accepted_at < before)
    return ended.order_by(run.test_id), alone.order_by(result.test_id)


def _is_share(test_id: int, vendor_id: int) -> Any:
    return (account_tables.share.c.test_id == test_id) & (account_tables.share.c.vendor_id == vendor_id)


def _vendor(row: Row) -> Vendor:
    return Vendor(row["id"], row["vendor_name"] or "", row["contact_name"] or "", row["contact_email"] or "")


def _user(row: Row) -> User:
    return User(row["id"], row["name"] or "", row["email"] or "", row["vendor_id"])
