"""Messages: made of events for all who want them, taken under a lease by who sends them, and their log.

An event is closed in the transaction that makes its messages, so each subscriber gets one, however many monitors look.
A message whose sender dies is sent again when the lease ends: at least once, with the same id.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import case, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from refstack_worker.errors import SealError, StateError
from refstack_worker.server.db.legacy_tables import user
from refstack_worker.server.db.notify_tables import delivery, event, subscription
from refstack_worker.server.domain.notifications import (
    Delivery,
    DueDelivery,
    Event,
    EventKind,
    MessageChannel,
    Sent,
    Subscription,
)
from refstack_worker.server.ledger.deadlines import FUTURE_SECONDS
from refstack_worker.server.ledger.disabled import is_disabled
from refstack_worker.server.ledger.subscriptions import is_to_stranger, pause_to_strangers, subscription_of, wanted_by
from refstack_worker.server.ledger.transactions import LedgerPart, Row, new_id

EVENTS_AT_ONCE = 50
LEASE_SECONDS = 120.0
MAX_WAITING = 1000
"""Messages of one subscription that wait to be sent; further ones are given up at once."""
MAX_OF_VENDOR_AT_ONCE = 2
"""Messages for one vendor's receivers that are under way at the same time: slow ones must not keep the others."""
BACK_OFF = (5.0, 60.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
"""Seconds until the next try, after each that failed."""
MAX_FAILURES = 5
"""Messages given up one after the other after which a subscription is paused."""
KEPT_SECONDS = 30 * 86400.0
"""Age at which a message goes from the log, and an event without a run is forgotten."""

MAX_TESTS = 3
"""Messages that try a subscription and wait to be sent."""

_OWNED = delivery.join(subscription).outerjoin(user, user.c.id == subscription.c.owner_id)
Reader = tuple[Subscription, Any]
"""A subscription, and the vendor of its owner."""
Compose = Callable[[Event, Sequence[Reader]], Mapping[int, Mapping[str, Any]]]
"""Returns the message for each subscription (by id) that wants an event."""


class Deliveries(LedgerPart):
    """Make messages, lease them to senders, record how they ended."""

    def fan_out(self, compose: Compose, limit: int = EVENTS_AT_ONCE) -> int:
        """Make the messages of new events and return how many events there were."""
        question = select(event).where(event.c.is_open).order_by(event.c.id).limit(limit)
        with self.database.reading() as connection:
            if connection.execute(question.with_only_columns(event.c.id)).first() is None:
                return 0
        with self.database.writing() as connection:
            rows = connection.execute(question.with_for_update(skip_locked=True)).mappings().all()
            pause_to_strangers(connection, self.clock())
            readers = [(subscription_of(row), row["vendor_id"]) for row in connection.execute(wanted_by()).mappings()]
            waiting = _waiting(connection)
            for row in rows:
                found = _event(row)
                for number, body in compose(found, readers).items() if readers else ():
                    waiting[number] += 1
                    self._add(connection, number, found, body, waiting[number] > MAX_WAITING)
            done = update(event).where(event.c.id.in_([row["id"] for row in rows]))
            connection.execute(done.values(is_open=False))
        return len(rows)

    def add_test(self, number: int, body: Mapping[str, Any]) -> int:
        """Make the message that tries a subscription; return its id. :raises StateError: others wait to be sent."""
        is_test = delivery.c.is_open & (delivery.c.kind == EventKind.TEST.value)
        waiting = select(func.count()).where(is_test, delivery.c.subscription_id == number)
        with self.database.writing() as connection:
            if connection.execute(waiting).scalar_one() >= MAX_TESTS:
                raise StateError(f"{MAX_TESTS} test messages are waiting to be sent already")
            added = connection.execute(insert(delivery).values(self._row(number, EventKind.TEST, body)))
        return new_id(added)

    def take(self, limit: int) -> list[DueDelivery]:
        """Take messages that are due under a lease, from each vendor only a few."""
        if limit < 1:
            return []
        now = self.clock()
        columns = (subscription.c.channel, subscription.c.target, subscription.c.sealed_secret)
        question = (
            select(*delivery.c, *columns, subscription.c.owner_id, user.c.vendor_id)
            .select_from(_OWNED)
            .where(delivery.c.id.in_(_first_due(now)))
            .order_by(delivery.c.due_at)
            .limit(MAX_WAITING)
        )
        with self.database.reading() as connection:
            if connection.execute(question.limit(1)).first() is None:
                return []
        with self.database.writing() as connection:
            locked = question.with_for_update(skip_locked=True, of=delivery)
            found = connection.execute(locked).mappings().all()
            rows = _fair(found, _under_way(connection, now), limit)
            leased = update(delivery).where(delivery.c.id.in_([row["id"] for row in rows]))
            connection.execute(leased.values(leased_until=now + LEASE_SECONDS))
        return [self._due(row) for row in rows]

    def note(self, number: int, sent: Sent) -> None:
        """Record how a try ended; a message that was not accepted waits for the next, or is given up."""
        now = self.clock()
        with self.database.writing() as connection:
            question = select(delivery).where(delivery.c.id == number).with_for_update()
            row = connection.execute(question).mappings().first()
            if row is None or not row["is_open"]:
                return
            is_last = sent.is_final or sent.is_gone or row["tries"] >= len(BACK_OFF) or _is_test(row)
            values: dict[str, Any] = {"tries": row["tries"] + 1, "leased_until": 0.0, "status": sent.status}
            values["error"] = "" if sent.is_accepted else (sent.error or "not accepted")[:300]
            if sent.is_accepted or is_last:
                values.update(is_open=False, ended_at=now)
            else:
                values["due_at"] = now + BACK_OFF[row["tries"]]
            connection.execute(update(delivery).where(delivery.c.id == number).values(values))
            if not _is_test(row):
                _count(connection, row["subscription_id"], sent, is_last, now)

    def pull_back(self) -> int:
        """Let messages be sent now that are to be sent later than they ever are; return how many these were.

        They were made, taken or refused while the clock was ahead.
        """
        now = self.clock()
        is_leased = delivery.c.leased_until > now + LEASE_SECONDS + FUTURE_SECONDS
        is_late = delivery.c.due_at > now + FUTURE_SECONDS + case((delivery.c.tries > 0, max(BACK_OFF)), else_=0.0)
        values = {
            "leased_until": case((is_leased, 0.0), else_=delivery.c.leased_until),
            "due_at": case((is_late, now), else_=delivery.c.due_at),
        }
        is_odd = delivery.c.is_open & (is_leased | is_late)
        with self.database.reading() as connection:
            if connection.execute(select(delivery.c.id).where(is_odd).limit(1)).first() is None:
                return 0
        with self.database.writing() as connection:
            return int(connection.execute(update(delivery).where(is_odd).values(values)).rowcount)

    def of(self, number: int, before: int = 0, limit: int = 100) -> list[Delivery]:
        """Return the messages of a subscription, the newest first. :param before: only those with lower ids."""
        columns = [column for column in delivery.c if column.name not in ("body", "event_id", "leased_until")]
        question = select(*columns).where(delivery.c.subscription_id == number)
        if before:
            question = question.where(delivery.c.id < before)
        with self.database.reading() as connection:
            rows = connection.execute(question.order_by(delivery.c.id.desc()).limit(limit)).mappings().all()
        return [Delivery(**{**row, "kind": EventKind(row["kind"])}) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many messages wait, and how many of the log were accepted and given up."""
        is_given_up = delivery.c.error != ""
        question = select(delivery.c.is_open, is_given_up.label("is_bad"), func.count().label("count"))
        found = {"waiting": 0, "accepted": 0, "given-up": 0}
        with self.database.reading() as connection:
            for row in connection.execute(question.group_by(delivery.c.is_open, is_given_up)).mappings():
                word = "waiting" if row["is_open"] else "given-up" if row["is_bad"] else "accepted"
                found[word] += row["count"]
        return found

    def prune(self) -> None:
        """Forget what is old: messages that ended, and events that belong to no run."""
        old = self.clock() - KEPT_SECONDS
        with self.database.writing() as connection:
            connection.execute(delete(delivery).where(~delivery.c.is_open, delivery.c.ended_at < old))
            connection.execute(delete(event).where(event.c.test_id.is_(None), ~event.c.is_open, event.c.at < old))

    def _add(self, connection: Connection, number: int, found: Event, body: Mapping[str, Any], is_much: bool) -> None:
        row = {**self._row(number, found.kind, body), "event_id": found.id, "test_id": found.test_id}
        if is_much:
            error = f"not sent: {MAX_WAITING} messages waited already"
            row.update(is_open=False, ended_at=self.clock(), error=error)
        connection.execute(insert(delivery).values(row))

    def _row(self, number: int, kind: EventKind, body: Mapping[str, Any]) -> dict[str, Any]:
        now = self.clock()
        text = json.dumps(body, ensure_ascii=False)
        return {"subscription_id": number, "kind": kind.value, "body": text, "created_at": now, "due_at": now}

    def _due(self, row: Row) -> DueDelivery:
        try:
            secret = str(self.secrets.open(row["sealed_secret"]).get("webhook", {}).get("secret", ""))
        except SealError:
            secret = ""  # nosec B105 - the sender refuses to send unsigned
        return DueDelivery(
            id=row["id"],
            message_id=f"msg_{row['subscription_id']}_{row['id']}",
            channel=MessageChannel(row["channel"]),
            target=row["target"],
            tries=row["tries"],
            body=json.loads(row["body"]),
            secret=secret,
        )


def _first_due(now: float) -> Any:
    """Return the question for the first messages of each vendor that are due; those of one never hide the others'."""
    is_due = delivery.c.is_open & (delivery.c.due_at <= now) & (delivery.c.leased_until < now)
    no_vendor = case((user.c.vendor_id.is_(None), subscription.c.owner_id))
    place = func.row_number().over(partition_by=(user.c.vendor_id, no_vendor), order_by=delivery.c.due_at)
    is_test = delivery.c.kind == EventKind.TEST.value
    # accounts may have changed since the message was made
    is_wanted = (subscription.c.paused_at == 0) & ~is_to_stranger()
    ranked = (
        select(delivery.c.id, place.label("place"))
        .select_from(_OWNED)
        .where(is_due, is_wanted | is_test, ~is_disabled(subscription.c.owner_id))
        .subquery()
    )
    return select(ranked.c.id).where(ranked.c.place <= MAX_OF_VENDOR_AT_ONCE)


def _waiting(connection: Connection) -> Counter[int]:
    number = delivery.c.subscription_id
    question = select(number, func.count().label("count")).where(delivery.c.is_open).group_by(number)
    rows = connection.execute(question).mappings()
    return Counter({row["subscription_id"]: row["count"] for row in rows})


def _under_way(connection: Connection, now: float) -> Counter[Any]:
    """Return how many messages of each vendor are being sent."""
    question = select(subscription.c.owner_id, user.c.vendor_id).select_from(_OWNED)
    rows = connection.execute(question.where(delivery.c.is_open, delivery.c.leased_until >= now)).mappings()
    return Counter(map(_vendor, rows))


def _vendor(row: Row) -> Any:
    return ("vendor", row["vendor_id"]) if row["vendor_id"] is not None else ("user", row["owner_id"])


def _fair(rows: Sequence[Row], taken: Counter[Any], limit: int) -> list[Row]:
    """Return the first messages, and only so many of each vendor. :param taken: those that are under way."""
    chosen: list[Row] = []
    for row in rows:
        vendor = _vendor(row)
        if len(chosen) < limit and taken[vendor] < MAX_OF_VENDOR_AT_ONCE:
            taken[vendor] += 1
            chosen.append(row)
    return chosen


def _count(connection: Connection, number: int, sent: Sent, is_last: bool, now: float) -> None:
    """Note on a subscription whether its messages arrive; pause one whose receiver is gone."""
    one = subscription.c.id == number
    if sent.is_accepted:
        connection.execute(update(subscription).where(one, subscription.c.failures > 0).values(failures=0))
    elif is_last:
        connection.execute(update(subscription).where(one).values(failures=subscription.c.failures + 1))
        problem = "the receiver answered that it is gone" if sent.is_gone else f"not delivered: {sent.error}"
        limit = 1 if sent.is_gone else MAX_FAILURES
        stopped = update(subscription).where(one, subscription.c.failures >= limit)
        connection.execute(stopped.values(paused_at=now, problem=problem[:300]))


def _is_test(row: Row) -> bool:
    return bool(row["kind"] == EventKind.TEST.value)


def _event(row: Row) -> Event:
    return Event(row["id"], EventKind(row["kind"]), row["subject"], row["at"], row["test_id"], row["text"])
