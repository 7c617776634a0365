"""Who wants to hear of what, and where messages go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.db.legacy_tables import user, vendor
from refstack_worker.server.db.notify_tables import subscription
from refstack_worker.server.domain.notifications import (
    EventKind,
    MessageChannel,
    NewSubscription,
    Subscription,
    SubscriptionScope,
)
from refstack_worker.server.ledger.disabled import is_disabled
from refstack_worker.server.ledger.transactions import LedgerPart, Row, new_id

MAX_OF_VENDOR = 20
"""Subscriptions that the users of one vendor, or one user without a vendor, may have; so may the operators."""
NOT_OF_VENDOR = "the address is no longer one of your vendor's"
"""Why a subscription was paused."""
_OWNER, _RECEIVER = user.alias("owner"), user.alias("receiver")
_COLUMNS = [column for column in subscription.c if column.name not in ("sealed_secret", "failures")]


class Subscriptions(LedgerPart):
    """Add, look at, pause and remove subscriptions."""

    def add(self, new: NewSubscription, team: Sequence[int] = ()) -> Subscription:
        """Add a subscription.

        :param team: users whose subscriptions count together with the owner's.
        :raises StateError: they have as many as they may have.
        """
        row = {
            "channel": new.channel.value,
            "target": new.target,
            "owner_id": new.owner_id,
            "scope": new.scope.value,
            "kinds": " ".join(kind.value for kind in new.kinds),
            "label": new.label,
            "sealed_secret": self._sealed(new.secret) if new.secret else None,
            "created_at": self.clock(),
            "created_by": new.created_by[:200],
        }
        is_mine = subscription.c.owner_id.is_(None) if new.owner_id is None else subscription.c.owner_id.in_(team)
        count = select(func.count()).select_from(subscription).where(is_mine)
        with self.database.writing() as connection:
            if connection.execute(count).scalar_one() >= MAX_OF_VENDOR:
                raise StateError(f"there are {MAX_OF_VENDOR} notifications; delete one first")
            made = new_id(connection.execute(insert(subscription).values(row)))
        return self.get(made)

    def get(self, number: int) -> Subscription:
        """Return a subscription. :raises NotFoundError: there is none."""
        with self.database.reading() as connection:
            row = connection.execute(select(*_COLUMNS).where(subscription.c.id == number)).mappings().first()
        if row is None:
            raise NotFoundError(f"there is no notification {number}")
        return subscription_of(row)

    def all(self, owners: Sequence[int] | None = None) -> list[Subscription]:
        """Return subscriptions by id. :param owners: of these users; None: everybody's."""
        question = select(*_COLUMNS).order_by(subscription.c.id)
        if owners is not None:
            question = question.where(subscription.c.owner_id.in_(list(owners)))
        with self.database.reading() as connection:
            return [subscription_of(row) for row in connection.execute(question).mappings().all()]

    def change(self, number: int, **values: Any) -> None:
        """Set columns (``kinds``, ``scope``, ``label``). :raises NotFoundError: there is none."""
        self._change(number, values)

    def pause(self, number: int) -> None:
        """Send nothing for now; what happens meanwhile is not sent later."""
        self._change(number, {"paused_at": self.clock(), "problem": ""})

    def resume(self, number: int) -> None:
        """Send again; what waited goes on."""
        self._change(number, {"paused_at": 0.0, "problem": "", "failures": 0})

    def set_secret(self, number: int, secret: str) -> None:
        """Sign with another secret from now on."""
        self._change(number, {"sealed_secret": self._sealed(secret)})

    def delete(self, number: int) -> None:
        """Remove a subscription with its messages. :raises NotFoundError: there is none."""
        with self.database.writing() as connection:
            if connection.execute(delete(subscription).where(subscription.c.id == number)).rowcount == 0:
                raise NotFoundError(f"there is no notification {number}")

    def _change(self, number: int, values: dict[str, Any]) -> None:
        with self.database.writing() as connection:
            changed = connection.execute(update(subscription).where(subscription.c.id == number).values(values))
            if changed.rowcount == 0:
                raise NotFoundError(f"there is no notification {number}")

    def _sealed(self, secret: str) -> str:
        return self.secrets.seal({"webhook": {"secret": secret}})


def wanted_by() -> Any:
    """Return the query of the subscriptions that get messages now, with their owners' vendors."""
    joined = subscription.outerjoin(user, user.c.id == subscription.c.owner_id)
    return (
        select(*_COLUMNS, user.c.vendor_id)
        .select_from(joined)
        .where(subscription.c.paused_at == 0, ~is_disabled(subscription.c.owner_id))
    )


def is_to_stranger() -> Any:
    """Return the condition that an e-mail would go to an address that is no longer one of the owner's vendor.

    Users leave a vendor, are disabled, and get other addresses; they must not read on about its runs. The
    operators' own subscriptions go anywhere.
    """
    is_colleague = or_(_RECEIVER.c.id == _OWNER.c.id, _RECEIVER.c.vendor_id == _OWNER.c.vendor_id)
    of_user = select(_RECEIVER.c.id).where(
        _OWNER.c.id == subscription.c.owner_id, is_colleague, _RECEIVER.c.email == subscription.c.target,
        ~is_disabled(_RECEIVER.c.id),
    )  # fmt: skip
    of_vendor = select(vendor.c.id).where(
        _OWNER.c.id == subscription.c.owner_id, vendor.c.id == _OWNER.c.vendor_id,
        vendor.c.contact_email == subscription.c.target,
    )  # fmt: skip
    return and_(
        subscription.c.channel == MessageChannel.MAIL.value,
        subscription.c.owner_id.is_not(None),
        ~exists(of_user.correlate(subscription)),
        ~exists(of_vendor.correlate(subscription)),
    )


def pause_to_strangers(connection: Connection, now: float) -> None:
    """Pause the subscriptions whose e-mails would go to a stranger; those of disabled users get nothing anyway."""
    is_due = and_(subscription.c.paused_at == 0, ~is_disabled(subscription.c.owner_id), is_to_stranger())
    connection.execute(update(subscription).where(is_due).values(paused_at=now, problem=NOT_OF_VENDOR))


def subscription_of(row: Row) -> Subscription:
    """Return the subscription in a row."""
    return Subscription(
        id=row["id"],
        channel=MessageChannel(row["channel"]),
        target=row["target"],
        kinds=tuple(EventKind(kind) for kind in row["kinds"].split()),
        scope=SubscriptionScope(row["scope"]),
        owner_id=row["owner_id"],
        label=row["label"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        paused_at=row["paused_at"],
        problem=row["problem"],
    )
