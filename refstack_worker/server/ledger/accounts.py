"""Vendors, users, and which runs they can see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.db import account_tables, legacy_tables, queue_tables
from refstack_worker.server.domain.accounts import AccessScope, User, Vendor
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Row,
    new_id,
)


class Accounts(LedgerPart):
    """Vendors, users, and the runs that are shared with a vendor."""

    def vendors(self) -> list[Vendor]:
        """Return all the vendors, by name."""
        table = legacy_tables.vendor
        with self.database.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.vendor_name)).mappings().all()
        return [_vendor(row) for row in rows]

    def add_vendor(self, name: str, contact_name: str = "", contact_email: str = "") -> Vendor:
        """Enter a vendor. :raises StateError: there is one of that name, in any case, or with that address."""
        row = {"vendor_name": name, "contact_name": contact_name or None, "contact_email": contact_email or None}
        try:
            with self.database.writing() as connection:
                need_new_vendor_name(connection, name)
                made = new_id(connection.execute(insert(legacy_tables.vendor).values(row)))
        except IntegrityError:
            raise StateError(f"there is a vendor {name!r} already, or one with this address") from None
        return Vendor(made, name, contact_name, contact_email)

    def users(self) -> list[User]:
        """Return all the users, by id."""
        with self.database.reading() as connection:
            rows = connection.execute(select(legacy_tables.user).order_by(legacy_tables.user.c.id)).mappings().all()
        return [_user(row) for row in rows]

    def user(self, user_id: int) -> User:
        """Return a user. :raises NotFoundError: no such id."""
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

        :raises StateError: there is one with that address, in any case.
        :raises NotFoundError: there is no such vendor.
        """
        known = select(func.count()).select_from(legacy_tables.vendor).where(legacy_tables.vendor.c.id == vendor_id)
        row = {"name": name, "email": email or None, "vendor_id": vendor_id, "authorized": True, "su": False}
        try:
            with self.database.writing() as connection:
                if vendor_id is not None and not connection.execute(known).scalar():
                    raise NotFoundError(f"there is no vendor {vendor_id}")
                if email:
                    need_new_address(connection, email)
                made = new_id(connection.execute(insert(legacy_tables.user).values(row)))
        except IntegrityError:
            raise StateError(f"there is a user with the address {email!r} already") from None
        return User(made, name, email, vendor_id)

    def access_scope(self, user_id: int | None) -> AccessScope:
        """Return what a user sees: their own, that of their vendor's users, and what is shared with the vendor."""
        if user_id is None:
            return AccessScope(())
        user = legacy_tables.user
        with self.database.reading() as connection:
            vendor_id = connection.execute(select(user.c.vendor_id).where(user.c.id == user_id)).scalar()
            if vendor_id is None:
                return AccessScope((user_id,))
            team = connection.execute(select(user.c.id).where(user.c.vendor_id == vendor_id)).scalars().all()
        return AccessScope(tuple(sorted({user_id, *team})), vendor_id)

    def share(self, test_id: int, vendor_id: int) -> None:
        """Let a vendor look at a run. :raises NotFoundError: there is no such run or vendor."""
        row = {"test_id": test_id, "vendor_id": vendor_id, "created_at": self.clock()}
        known = _is_share(test_id, vendor_id)
        with self.database.writing() as connection:
            self.transactions.locked_run(connection, test_id)
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
        """Let a vendor look at a run no longer. :raises NotFoundError: the run is not shared with it."""
        with self.database.writing() as connection:
            ended = connection.execute(delete(account_tables.share).where(_is_share(test_id, vendor_id)))
            if ended.rowcount == 0:
                raise NotFoundError(f"run {test_id} is not shared with vendor {vendor_id}")

    def shares(self, test_id: int) -> list[int]:
        """Return the vendors that a run is shared with."""
        table = account_tables.share
        question = select(table.c.vendor_id).where(table.c.test_id == test_id).order_by(table.c.vendor_id)
        with self.database.reading() as connection:
            return list(connection.execute(question).scalars().all())

    def shared_with(self, owner_ids: Sequence[int]) -> frozenset[int]:
        """Return the vendors that any run of these users is shared with."""
        run, table = queue_tables.run, account_tables.share
        joined = table.join(run, run.c.test_id == table.c.test_id)
        question = select(table.c.vendor_id).distinct().select_from(joined)
        with self.database.reading() as connection:
            found = connection.execute(question.where(run.c.owner_id.in_(owner_ids or (-1,)))).scalars()
            return frozenset(found)


def need_new_vendor_name(connection: Connection, name: str, but: int = 0) -> None:
    """Refuse a name that vendors would confuse with another's when they share a run.

    :param but: id of the vendor that is to have the name.
    :raises StateError: another vendor has it, in whatever case.
    """
    table = legacy_tables.vendor
    names = connection.execute(select(table.c.vendor_name).where(table.c.id != but)).scalars()
    similar = [one for one in names if (one or "").strip().casefold() == name.strip().casefold()]
    # the very same is refused by the database
    taken = next((one for one in similar if one != name), None)
    if taken is not None:
        raise StateError(f"there is a vendor {taken!r} already")


def has_address(address: str) -> Any:
    """Return the condition that a user has an e-mail address, in whatever case."""
    email = legacy_tables.user.c.email
    # folding case beyond ASCII makes one address of two: the Kelvin sign becomes a k, in another's mailbox
    return func.lower(email) == address.lower() if address.isascii() else email == address


def need_new_address(connection: Connection, address: str, but: int = 0) -> None:
    """Refuse an e-mail address that a sign-in would find twice.

    :param but: id of the user that is to have the address.
    :raises StateError: another user has it, in whatever case.
    """
    table = legacy_tables.user
    # the very same is refused by the database
    question = select(table.c.email).where(has_address(address), table.c.email != address, table.c.id != but)
    taken = connection.execute(question).scalar()
    if taken is not None:
        raise StateError(f"there is a user with the address {taken!r} already")


def _is_share(test_id: int, vendor_id: int) -> Any:
    return (account_tables.share.c.test_id == test_id) & (account_tables.share.c.vendor_id == vendor_id)


def _vendor(row: Row) -> Vendor:
    return Vendor(row["id"], row["vendor_name"] or "", row["contact_name"] or "", row["contact_email"] or "")


def _user(row: Row) -> User:
    about = (row["id"], row["name"] or "", row["email"] or "", row["vendor_id"])
    return User(*about, row["authorized"] is not False, bool(row["su"]))
