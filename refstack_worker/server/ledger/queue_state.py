"""The ledger, as operators see the queue: its pause, how many runs there are, and what waits for which nodes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import case, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from refstack_worker.contract import gearman_functions
from refstack_worker.contract.states import RunState
from refstack_worker.contract.wanted_plugins import MAX_SETS
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.runs import RUN, SHARD, SPLIT
from refstack_worker.server.ledger.transactions import (
    LedgerPart,
    Row,
)

_PAUSE = select(queue_tables.setting).where(queue_tables.setting.c.name == "paused")
_PAUSED = select(queue_tables.setting.c.value).where(queue_tables.setting.c.name == "paused")
_REASON = "pause_reason"
_HELD = tuple(state.value for state in RunState if not state.is_end and state is not RunState.QUEUED)


@dataclass(frozen=True)
class PauseNote:
    """Who paused the queue, when and why."""

    by: str
    at: float
    reason: str = ""


class QueueState(LedgerPart):
    """The pause of the whole queue, and what waits in it."""

    def pause(self, by: str, reason: str = "") -> None:
        """Stop giving runs to workers; those that are held go on. :param reason: shown to vendors."""
        self._set(_REASON, reason, by)
        self._set_paused("yes", by)

    def resume(self, by: str) -> None:
        """Go on giving runs to workers."""
        self._set_paused("no", by)

    def pause_note(self) -> PauseNote | None:
        """Return who paused the queue, when and why; None: it is not paused."""
        table = queue_tables.setting
        question = select(table).where(table.c.name.in_(("paused", _REASON)))
        with self.database.reading() as connection:
            rows = {row["name"]: row for row in connection.execute(question).mappings().all()}
        paused = rows.get("paused")
        if paused is None or paused["value"] != "yes":
            return None
        return PauseNote(paused["changed_by"], paused["changed_at"], rows[_REASON]["value"] if _REASON in rows else "")

    def is_paused(self) -> bool:
        """Return whether the whole queue is paused."""
        with self.database.reading() as connection:
            return queue_is_paused(connection)

    def count_states(self) -> dict[str, int]:
        """Return how many runs there are in each state; states without runs are left out."""
        run = queue_tables.run
        question = (
            select(run.c.state, func.count().label("runs"))
            .where(run.c.kind != SHARD)
            .group_by(run.c.state)
            .order_by(run.c.state)
        )
        with self.database.reading() as connection:
            rows = connection.execute(question).mappings().all()
        return {row["state"]: row["runs"] for row in rows}

    def _set(self, name: str, value: str, by: str) -> None:
        values = {"value": value, "changed_at": self.clock(), "changed_by": by[:200]}
        with self.database.writing() as connection:
            known = update(queue_tables.setting).where(queue_tables.setting.c.name == name)
            if connection.execute(known.values(values)).rowcount == 0:
                connection.execute(insert(queue_tables.setting).values(name=name, **values))

    def _set_paused(self, value: str, by: str) -> None:
        values = {"value": value, "changed_at": self.clock(), "changed_by": by[:200]}
        with self.database.writing() as connection:
            old = connection.execute(_PAUSE.with_for_update()).mappings().first()
            if old is None:
                connection.execute(insert(queue_tables.setting).values(name="paused", **values))
            elif old["value"] != value:
                known = update(queue_tables.setting).where(queue_tables.setting.c.name == "paused")
                connection.execute(known.values(values))
                if value == "no":
                    self._skip_pause(connection, old["changed_at"])

    def _skip_pause(self, connection: Connection, since: float) -> None:
        """Let queued runs have waited only outside the pause: their time limit does not run on during it."""
        run, now = queue_tables.run, self.clock()
        waited = case((run.c.queued_at < since, since - run.c.queued_at), else_=0.0)
        queued = update(run).where(run.c.state == RunState.QUEUED.value, run.c.queued_at < now)
        connection.execute(queued.values(queued_at=now - waited))

    def waiting(self) -> list[Row]:
        """Return how many runs wait for each kind of node, are held there, and since when.

        A kind is a version or release, its plugins and a tag.
        """
        run = queue_tables.run
        kind = (run.c.tempest_version, run.c.openstack_release, run.c.plugins, run.c.tag)
        question = (
            select(*kind, run.c.state, func.count().label("runs"), func.min(run.c.queued_at).label("since"))
            .where(run.c.state.in_((RunState.QUEUED.value, *_HELD)), run.c.kind != SPLIT)
            .group_by(*kind, run.c.state)
        )
        with self.database.reading() as connection:
            return list(connection.execute(question).mappings().all())

    def wanted_plugins(self, served: Iterable[str]) -> list[dict[str, str]]:
        """Return the sets of plugins of open runs that a node registers only when it is asked, the oldest first.

        :param served: what the node reports, in words of ``gearman_functions.served``.
        """
        locks = [gearman_functions.plugins_of(word) for word in served]
        locks = [lock for lock in locks if len(lock) > gearman_functions.MAX_FREE_PLUGINS]
        if not locks:
            return []
        run = queue_tables.run
        question = (
            select(run.c.plugins)
            .where(run.c.state.in_((RunState.QUEUED.value, *_HELD)), run.c.plugins != "{}")
            .group_by(run.c.plugins)
            .order_by(func.min(run.c.queued_at))
        )
        with self.database.reading() as connection:
            asked = [json.loads(text) for text in connection.execute(question).scalars()]
        fits = (
            plugins
            for plugins in asked
            if any(gearman_functions.is_registered_on_demand(plugins, lock) for lock in locks)
        )
        return list(islice(fits, MAX_SETS))

    def ahead(self, test_id: int) -> int:
        """Return how many queued runs of the same kind of node are before one."""
        run, this = queue_tables.run, queue_tables.run.alias("this")
        same = [run.c[name] == this.c[name] for name in ("tempest_version", "openstack_release", "plugins", "tag")]
        same.append(run.c.kind != SPLIT)
        sooner = or_(
            run.c.priority > this.c.priority,
            (run.c.priority == this.c.priority) & (run.c.queued_at < this.c.queued_at),
            (run.c.priority == this.c.priority) & (run.c.queued_at == this.c.queued_at) & (run.c.test_id < test_id),
        )
        question = select(func.count()).select_from(run.join(this, this.c.test_id == test_id))
        with self.database.reading() as connection:
            found = connection.execute(question.where(run.c.state == RunState.QUEUED.value, *same, sooner)).scalar()
        return int(found or 0)

    def usual_seconds(self, test_id: int) -> float | None:
        """Return how long runs of the same kind took lately, on average; None: there was none."""
        run, this = queue_tables.run, queue_tables.run.alias("this")
        same = [run.c[name] == this.c[name] for name in ("tempest_version", "openstack_release")]
        recent = (
            select((run.c.ended_at - run.c.started_at).label("took"))
            .select_from(run.join(this, this.c.test_id == test_id))
            .where(run.c.state == RunState.FINISHED.value, run.c.started_at > 0, run.c.kind == RUN, *same)
            .order_by(run.c.test_id.desc())
            .limit(20)
            .subquery()
        )
        with self.database.reading() as connection:
            found = connection.execute(select(func.avg(recent.c.took))).scalar()
        return None if found is None else float(found)


def queue_is_paused(connection: Connection) -> bool:
    """Return whether operators have paused the whole queue."""
    return bool(connection.execute(_PAUSED).scalar() == "yes")
