"""Schedules, and which are due. A due one is taken under a lease and closed by its time, so that none runs twice."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.db.legacy_tables import cloud, user
from refstack_worker.server.db.schedule_tables import schedule
from refstack_worker.server.domain.schedules import NewSchedule, Schedule, Times
from refstack_worker.server.ledger.deadlines import FUTURE_SECONDS
from refstack_worker.server.ledger.transactions import LedgerPart, Row, new_id

MAX_OF_VENDOR = 20
"""Schedules that the users of one vendor, or one user without a vendor, may have; so may the operators."""
LEASE_SECONDS = 120.0
DUE_AT_ONCE = 20
DUE_OF_ONE = 2
"""Of one vendor, or one user without a vendor: the schedules of the others do not wait until all of one are started."""


class Schedules(LedgerPart):
    """Add, look at, change and remove schedules; take those that are due."""

    def add(self, new: NewSchedule, team: Sequence[int] = ()) -> Schedule:
        """Add a schedule.

        :param team: users whose schedules count together with the owner's.
        :raises StateError: they have as many as they may have.
        """
        now = self.clock()
        row = {
            "owner_id": new.owner_id,
            "cloud_id": new.cloud_id,
            "label": new.label,
            "body": json.dumps(dict(new.body)),
            "created_at": now,
            "created_by": new.created_by[:200],
            **_columns(new.times, now),
        }
        is_mine = schedule.c.owner_id.is_(None) if new.owner_id is None else schedule.c.owner_id.in_(list(team))
        count = select(func.count()).select_from(schedule).where(is_mine)
        with self.database.writing() as connection:
            if connection.execute(count).scalar_one() >= MAX_OF_VENDOR:
                raise StateError(f"there are {MAX_OF_VENDOR} schedules already; delete one first")
            made = new_id(connection.execute(insert(schedule).values(row)))
        return self.get(made)

    def get(self, number: int) -> Schedule:
        """Return a schedule. :raises NotFoundError: there is none."""
        with self.database.reading() as connection:
            row = connection.execute(_schedules().where(schedule.c.id == number)).mappings().first()
        if row is None:
            raise NotFoundError(f"there is no schedule {number}")
        return _schedule(row)

    def all(self, owners: Sequence[int] | None = None) -> list[Schedule]:
        """Return schedules by id. :param owners: of these users; None: everybody's."""
        question = _schedules().order_by(schedule.c.id)
        if owners is not None:
            question = question.where(schedule.c.owner_id.in_(list(owners)))
        with self.database.reading() as connection:
            return [_schedule(row) for row in connection.execute(question).mappings().all()]

    def set_times(self, number: int, times: Times) -> None:
        """Let a schedule be due at other times."""
        self._change(number, _columns(times, self.clock()))

    def set_label(self, number: int, label: str) -> None:
        self._change(number, {"label": label})

    def pause(self, number: int) -> None:
        """Start no runs until it is resumed."""
        self._change(number, {"paused_at": self.clock()})

    def resume(self, number: int) -> None:
        """Go on at the next time; what was due meanwhile is not made up for."""
        times = self.get(number).times
        self._change(number, {"paused_at": 0.0, **_columns(times, self.clock())})

    def delete(self, number: int) -> None:
        """Remove a schedule; its runs stay. :raises NotFoundError: there is none."""
        with self.database.writing() as connection:
            if connection.execute(delete(schedule).where(schedule.c.id == number)).rowcount == 0:
                raise NotFoundError(f"there is no schedule {number}")

    def is_any_due(self) -> bool:
        """Return whether :meth:`take_due` would find one."""
        with self.database.reading() as connection:
            return connection.execute(select(schedule.c.id).where(_is_due(self.clock())).limit(1)).first() is not None

    def take_due(self) -> list[Schedule]:
        """Take schedules that are due, under a lease, few of one vendor; close each with :meth:`close`."""
        now = self.clock()
        is_due = _is_due(now)
        with self.database.reading() as connection:
            wanted = _first_of_each(connection.execute(_with_vendor().where(is_due)).all())
        if not wanted:
            return []
        with self.database.writing() as connection:
            still_due = select(schedule.c.id).where(is_due, schedule.c.id.in_(wanted))
            ids = connection.execute(still_due.with_for_update(skip_locked=True)).scalars().all()
            leased = update(schedule).where(schedule.c.id.in_(ids))
            connection.execute(leased.values(leased_until=now + LEASE_SECONDS))
            rows = connection.execute(_schedules().where(schedule.c.id.in_(ids))).mappings().all()
        return sorted(map(_schedule, rows), key=lambda one: wanted.index(one.id))

    def close(self, due: Schedule, test_id: int | None, problem: str = "") -> bool:
        """Note what became of a schedule that was due, and when it is due next; False: another did that before.

        :param test_id: the run that it started; None: it did not, because of ``problem``.
        """
        values: dict[str, Any] = {
            "next_at": due.times.after(self.clock()),
            "leased_until": 0.0,
            "last_at": due.next_at,
            "problem": problem[:300],
        }
        if test_id is not None:
            values["last_test_id"] = test_id
        same = update(schedule).where(schedule.c.id == due.id, schedule.c.next_at == due.next_at)
        with self.database.writing() as connection:
            return bool(connection.execute(same.values(values)).rowcount == 1)

    def pull_back(self) -> int:
        """Let schedules be due as if the clock had never been ahead, and return how many were to be due later.

        They were closed, or taken, while it was, and would rest until the clock had caught up.
        """
        now = self.clock()
        is_leased = schedule.c.leased_until > now + LEASE_SECONDS + FUTURE_SECONDS
        # one that is due a day or more too late is also due later than tomorrow
        is_far = schedule.c.next_at > now + 86400.0 + FUTURE_SECONDS
        names = ("id", "minute", "days", "next_at", "leased_until")
        question = select(*(schedule.c[name] for name in names)).where(is_far | is_leased)
        with self.database.reading() as connection:
            rows = connection.execute(question).mappings().all()
        changed = 0
        for row in rows:
            times = Times(row["minute"], tuple(row["days"].split()))
            is_odd = row["next_at"] > times.after(now + FUTURE_SECONDS)
            values = {"leased_until": 0.0, **({"next_at": times.after(now)} if is_odd else {})}
            same = (schedule.c.id == row["id"]) & (schedule.c.next_at == row["next_at"])
            if not is_odd and row["leased_until"] <= now + LEASE_SECONDS + FUTURE_SECONDS:
                continue
            with self.database.writing() as connection:
                changed += connection.execute(update(schedule).where(same).values(values)).rowcount
        return changed

    def _change(self, number: int, values: dict[str, Any]) -> None:
        with self.database.writing() as connection:
            changed = connection.execute(update(schedule).where(schedule.c.id == number).values(values))
            if changed.rowcount == 0:
                raise NotFoundError(f"there is no schedule {number}")


def _columns(times: Times, now: float) -> dict[str, Any]:
    return {"minute": times.minute, "days": " ".join(times.days), "next_at": times.after(now), "leased_until": 0.0}


def _is_due(now: float) -> Any:
    return (schedule.c.next_at <= now) & (schedule.c.paused_at == 0) & (schedule.c.leased_until < now)


def _with_vendor() -> Any:
    """Select the ids of schedules with owner and vendor, those first that have been due for the longest."""
    joined = schedule.outerjoin(user, user.c.id == schedule.c.owner_id)
    question = select(schedule.c.id, schedule.c.owner_id, user.c.vendor_id).select_from(joined)
    return question.order_by(schedule.c.next_at, schedule.c.id)


def _first_of_each(due: Sequence[Any]) -> list[int]:
    """Return the ids of the schedules to take: the first of each vendor, then the second, up to the limits."""
    places: defaultdict[tuple[str, int | None], list[int]] = defaultdict(list)
    for number, owner, vendor in due:
        places[("user", owner) if vendor is None else ("vendor", vendor)].append(number)
    turns = (of_one[place] for place in range(DUE_OF_ONE) for of_one in places.values() if len(of_one) > place)
    return list(islice(turns, DUE_AT_ONCE))


def _schedules() -> Any:
    joined = schedule.join(cloud, cloud.c.id == schedule.c.cloud_id)
    return select(*schedule.c, cloud.c.label.label("cloud_label")).select_from(joined)


def _schedule(row: Row) -> Schedule:
    names = ("id", "cloud_id", "owner_id", "label", "created_at", "created_by", "next_at", "paused_at", "last_at")
    return Schedule(
        **{name: row[name] for name in (*names, "last_test_id", "problem")},
        cloud_label=row["cloud_label"] or "",
        body=json.loads(row["body"]),
        times=Times(row["minute"], tuple(row["days"].split())),
    )
