"""What operators change about vendors and users: names, limits, sign-in, and ownership."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, insert, literal, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.db import account_tables, guideline_tables, legacy_tables, notify_tables, queue_tables
from refstack_worker.server.db.operator_tables import user_state, vendor_state
from refstack_worker.server.db.schedule_tables import schedule
from refstack_worker.server.domain.accounts import AccountStates
from refstack_worker.server.ledger.accounts import need_new_address, need_new_vendor_name
from refstack_worker.server.ledger.disabled import is_disabled
from refstack_worker.server.ledger.links import end_links
from refstack_worker.server.ledger.transactions import LedgerPart

_USER, _VENDOR = legacy_tables.user, legacy_tables.vendor
_OWNED = (
    (queue_tables.run, queue_tables.run.c.owner_id),
    (legacy_tables.cloud, legacy_tables.cloud.c.user_id),
    (guideline_tables.guideline, guideline_tables.guideline.c.owner_id),
    (schedule, schedule.c.owner_id),
    (notify_tables.subscription, notify_tables.subscription.c.owner_id),
)
"""What a user can have, and the column that says whose it is."""

HANDED_OVER = "handed over by another user, whose receiver it may be"


class AccountChanges(LedgerPart):
    """Change, disable, hand over and remove accounts."""

    def states(self) -> AccountStates:
        """Return the disabled users and vendors, and the vendors with their own limit."""
        with self.database.reading() as connection:
            users = connection.execute(select(user_state)).mappings().all()
            vendors = connection.execute(select(vendor_state)).mappings().all()
        return AccountStates(
            users={row["user_id"]: row["disabled_at"] for row in users},
            vendors={row["vendor_id"]: row["disabled_at"] for row in vendors if row["disabled_at"]},
            limits={row["vendor_id"]: row["max_open_runs"] for row in vendors if row["max_open_runs"] is not None},
        )

    def is_disabled(self, user_id: int | None) -> bool:
        """Return whether a user is disabled, alone or with the vendor; the operators never are."""
        if user_id is None:
            return False
        with self.database.reading() as connection:
            return bool(connection.execute(select(is_disabled(literal(user_id)))).scalar())

    def change_vendor(self, vendor_id: int, values: Mapping[str, Any]) -> None:
        """Set ``vendor_name``, ``contact_name`` or ``contact_email``; see :meth:`_change`.

        :raises StateError: another vendor has this name, in whatever case.
        """
        if name := values.get("vendor_name"):
            with self.database.writing() as connection:
                need_new_vendor_name(connection, name, vendor_id)
        self._change(_VENDOR, vendor_id, values, "vendor")

    def change_user(self, user_id: int, values: Mapping[str, Any]) -> None:
        """Set ``name``, ``email`` or ``vendor_id``; see :meth:`_change`. Another vendor ends the user's links.

        :raises StateError: another user has this address, in whatever case.
        """
        if address := values.get("email"):
            with self.database.writing() as connection:
                need_new_address(connection, address, user_id)
        self._change(_USER, user_id, values, "user")

    def disable_user(self, user_id: int, by: str) -> None:
        """Refuse a user's tokens and sessions from now on, and start nothing in the user's name."""
        with self.database.writing() as connection:
            self._need(connection, _USER, user_id, "user")
            connection.execute(delete(user_state).where(user_state.c.user_id == user_id))
            row = {"user_id": user_id, "disabled_at": self.clock(), "disabled_by": by[:200]}
            connection.execute(insert(user_state).values(row))

    def enable_user(self, user_id: int) -> None:
        """Let a user in again."""
        with self.database.writing() as connection:
            self._need(connection, _USER, user_id, "user")
            connection.execute(delete(user_state).where(user_state.c.user_id == user_id))

    def disable_vendor(self, vendor_id: int, by: str) -> None:
        """Do the same as :meth:`disable_user` with all users of a vendor."""
        self._set_vendor(vendor_id, {"disabled_at": self.clock(), "disabled_by": by[:200]})

    def enable_vendor(self, vendor_id: int) -> None:
        self._set_vendor(vendor_id, {"disabled_at": 0.0, "disabled_by": ""})

    def limit_vendor(self, vendor_id: int, max_open_runs: int | None) -> None:
        """Let a vendor have so many open runs; None: as many as ``MAX_OPEN_RUNS`` says."""
        self._set_vendor(vendor_id, {"max_open_runs": max_open_runs})

    def transfer(self, user_id: int, to_user_id: int) -> None:
        """Hand over a user's runs, clouds, guidelines, schedules and notifications. Tokens stay with the user.

        Notifications are paused: they would tell the former user's mailbox or webhook about the new one's runs. Links
        that need no sign-in end if the new user is of another vendor.

        :raises NotFoundError: there is no such user.
        """
        with self.database.writing() as connection:
            self._need(connection, _USER, user_id, "user")
            self._need(connection, _USER, to_user_id, "user")
            if not _are_of_one_vendor(connection, user_id, to_user_id):
                end_links(connection, user_id)
            told = notify_tables.subscription
            stopped = {"paused_at": self.clock(), "problem": HANDED_OVER}
            connection.execute(update(told).where(told.c.owner_id == user_id).values(stopped))
            for table, column in _OWNED:
                connection.execute(update(table).where(column == user_id).values({column.name: to_user_id}))

    def remove_user(self, user_id: int) -> None:
        """Remove a user with tokens and sessions.

        :raises StateError: the user still has runs, clouds or anything else; hand that over first.
        """
        with self.database.writing() as connection:
            self._need(connection, _USER, user_id, "user")
            for table, column in _OWNED:
                if connection.execute(select(func.count()).select_from(table).where(column == user_id)).scalar_one():
                    what = table.name.removeprefix("queue_")
                    raise StateError(
                        f"user {user_id} still owns a {what}; transfer it first ('user transfer'), then remove the user"
                    )
            keys = legacy_tables.apikey
            connection.execute(delete(keys).where(keys.c.user_id == user_id))
            token = account_tables.token
            connection.execute(delete(token).where(token.c.user_id == user_id))
            connection.execute(delete(_USER).where(_USER.c.id == user_id))

    def remove_vendor(self, vendor_id: int) -> None:
        """Remove a vendor. :raises StateError: it still has users."""
        with self.database.writing() as connection:
            self._need(connection, _VENDOR, vendor_id, "vendor")
            users = select(func.count()).select_from(_USER).where(_USER.c.vendor_id == vendor_id)
            if connection.execute(users).scalar_one():
                raise StateError(f"vendor {vendor_id} still has users; remove them or give them another vendor first")
            connection.execute(delete(_VENDOR).where(_VENDOR.c.id == vendor_id))

    def _change(self, table: Any, number: int, values: Mapping[str, Any], what: str) -> None:
        """Set columns.

        :raises NotFoundError: there is no such account, or no such vendor.
        :raises StateError: another account has this name or address.
        """
        try:
            with self.database.writing() as connection:
                self._need(connection, table, number, what)
                if values.get("vendor_id") is not None:
                    self._need(connection, _VENDOR, values["vendor_id"], "vendor")
                if table is _USER and "vendor_id" in values:
                    if values["vendor_id"] != _vendor_of(connection, number):
                        end_links(connection, number)
                connection.execute(update(table).where(table.c.id == number).values(dict(values)))
        except IntegrityError:
            raise StateError(f"another {what} has this name or address") from None

    def _set_vendor(self, vendor_id: int, values: dict[str, Any]) -> None:
        one = vendor_state.c.vendor_id == vendor_id
        with self.database.writing() as connection:
            self._need(connection, _VENDOR, vendor_id, "vendor")
            if connection.execute(update(vendor_state).where(one).values(values)).rowcount == 0:
                connection.execute(insert(vendor_state).values(vendor_id=vendor_id, **values))

    def _need(self, connection: Connection, table: Any, number: int, what: str) -> None:
        if connection.execute(select(table.c.id).where(table.c.id == number)).scalar() is None:
            raise NotFoundError(f"there is no {what} {number}")


def _are_of_one_vendor(connection: Connection, *user_ids: int) -> bool:
    vendors = {_vendor_of(connection, user_id) for user_id in user_ids}
    return len(vendors) == 1 and None not in vendors


def _vendor_of(connection: Connection, user_id: int) -> int | None:
    return connection.execute(select(_USER.c.vendor_id).where(_USER.c.id == user_id)).scalar()
