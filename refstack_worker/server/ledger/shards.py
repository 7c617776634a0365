"""Runs that are split: their state follows from that of their shards, and so does their end.

Each call is one transaction that holds the row of the split run, so that any number of monitors may call it, and what
was cut off is done again. Shards are locked after the run that they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import and_, bindparam, delete, select, union, update
from sqlalchemy.engine import Connection

from refstack_worker.contract.execute_test import is_nothing_to_run
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.server.db import queue_tables
from refstack_worker.server.db.shard_tables import shard
from refstack_worker.server.db.updates import change_attempt, change_run
from refstack_worker.server.domain.results import ParsedResult, Upload
from refstack_worker.server.domain.runs import SHARD, SPLIT
from refstack_worker.server.domain.shards import Shard
from refstack_worker.server.ledger import new_shards, shard_copies
from refstack_worker.server.ledger.cancelling import cancel_shards
from refstack_worker.server.ledger.results import Results, counts_text
from refstack_worker.server.ledger.runs import Runs
from refstack_worker.server.ledger.transactions import LedgerPart, Move, Row, Transactions, key_of

_RUN, _ATTEMPT = queue_tables.run, queue_tables.attempt
_OPEN = [state.value for state in RunState if not state.is_end]
_IN_ORDER = (RunState.QUEUED, RunState.CLAIMED, RunState.BUILDING, RunState.RUNNING, RunState.POSTING)
_NAMES = ("state", "attempt", "worker", "reason", "message", "started_at", "ended_at", "passed", "failed", "skipped")
_CURRENT = and_(_ATTEMPT.c.test_id == _RUN.c.test_id, _ATTEMPT.c.attempt == _RUN.c.attempt)
_SHARDS = (
    select(
        *shard.c,
        *(_RUN.c[name] for name in _NAMES),
        *(_ATTEMPT.c[name] for name in ("progress", "tempest_version", "lock_digest", "software", "claimed_at")),
    )
    .select_from(shard.outerjoin(_RUN, _RUN.c.test_id == shard.c.test_id).outerjoin(_ATTEMPT, _CURRENT))
    .where(shard.c.parent_id == bindparam("of_run"))
    .order_by(shard.c.number)
)
_TO_LOOK_AT = union(
    select(_RUN.c.test_id).where(_RUN.c.state.in_(_OPEN), _RUN.c.kind == SPLIT),
    select(shard.c.parent_id)
    .select_from(shard.join(_RUN, _RUN.c.test_id == shard.c.test_id))
    .where(_RUN.c.state.in_(_OPEN), _RUN.c.kind == SHARD),
)
"""Split runs that go on, or of which a shard does."""


class Shards(LedgerPart):
    """Looks after the runs that are split."""

    def __init__(self, transactions: Transactions, runs: Runs, results: Results) -> None:
        super().__init__(transactions)
        self._runs = runs
        self._results = results

    def of_run(self, test_id: int) -> list[Shard]:
        """Return the shards of a run; none if it is not split."""
        with self.database.reading() as connection:
            return [_shard(row) for row in _rows(connection, test_id)]

    def parent_of(self, test_id: int) -> int | None:
        """Return the run that a shard belongs to; None: it is not a shard."""
        question = select(shard.c.parent_id).where(shard.c.test_id == test_id)
        with self.database.reading() as connection:
            found: int | None = connection.execute(question).scalar()
        return found

    def going_on(self) -> list[int]:
        """Return the split runs that :meth:`advance` should look at."""
        with self.database.reading() as connection:
            return [int(row[0]) for row in connection.execute(_TO_LOOK_AT)]

    def advance(self, test_id: int) -> bool:
        """Move a split run on as its shards have moved; return whether their results can be merged now.

        If one of them ended without a result, the run does too and the others are cancelled. So are they if the run
        has ended: at its time limit.
        """
        with self.database.writing() as connection:
            run = self.transactions.locked_run(connection, test_id)
            state, rows = RunState(run["state"]), _rows(connection, test_id)
            if state.is_end:
                cancel_shards(self.transactions, connection, test_id, f"run {test_id} has ended: {state.value}")
                return False
            self._copy(connection, run, rows)
            run = self.transactions.locked_run(connection, test_id)
            if state is RunState.CANCELLING:
                self._end_cancelled(connection, run, rows)
                return False
            return self._moved_on(connection, run, rows)

    def finish(self, test_id: int, upload: Upload, parsed: ParsedResult, notes: Sequence[str] = ()) -> bool:
        """Accept the merged result of a run whose shards have all ended, and forget theirs: all or nothing.

        :param notes: what the run's messages say of the merging.
        :returns: whether this call did it; not if the run has ended, or is being cancelled.
        """
        with self.database.writing() as connection:
            run, rows = dict(self.transactions.locked_run(connection, test_id)), _rows(connection, test_id)
            if RunState(run["state"]).is_end or run["state"] == RunState.CANCELLING.value:
                return False
            self._reflect(connection, run, rows)
            for note in notes:
                self.transactions.say(connection, self.transactions.locked_run(connection, test_id), note)
            run = dict(self.transactions.locked_run(connection, test_id))
            change_attempt(connection, key_of(run), self._attempt_values(rows))
            self._results.store(connection, key_of(run), upload, parsed)
            end = Move(RunState.FINISHED, counts_text(parsed.counts))
            self.transactions.move(connection, run, end, asdict(parsed.counts))
            self._forget_results(connection, [row["test_id"] for row in rows])
            return True

    def fail(self, test_id: int, message: str) -> None:
        """End a run whose shards have results that cannot be merged."""
        with self.database.writing() as connection:
            run = self.transactions.locked_run(connection, test_id)
            if not RunState(run["state"]).is_end:
                self.transactions.move(connection, run, Move(RunState.FAILED, message, "shards"))

    def _moved_on(self, connection: Connection, run: Row, rows: Sequence[Row]) -> bool:
        lost = next((row for row in rows if _is_lost(row)), None)
        begun = [row for row in rows if row["test_id"] is not None]
        is_over = all(_is_ended(row) for row in begun)
        if lost is None and is_over and not any(row["state"] == RunState.FINISHED.value for row in begun):
            lost = begun[0]
        if lost is not None:
            self._end_without_result(connection, run, lost)
            return False
        if is_over and len(begun) < len(rows):
            last = [row for row in rows if row["test_id"] is None]
            conf = self.secrets.open(run["sealed_conf"])
            new_shards.start_last(connection, run, last, conf, self._runs.insert, self.clock())
            return False
        self._reflect(connection, dict(run), rows)
        return is_over

    def _end_without_result(self, connection: Connection, run: Row, lost: Row) -> None:
        said = f"shard {lost['number']} ended: {lost['state']}"
        message = ": ".join(part for part in (said, lost["message"]) if part)
        state = RunState.CANCELLED if lost["state"] == RunState.CANCELLED.value else RunState.FAILED
        self.transactions.move(connection, run, Move(state, message, lost["reason"] or "shards"))
        cancel_shards(self.transactions, connection, run["test_id"], message)

    def _end_cancelled(self, connection: Connection, run: Row, rows: Sequence[Row]) -> None:
        cancel_shards(self.transactions, connection, run["test_id"], run["message"])
        if all(_is_ended(row) for row in rows if row["test_id"] is not None):
            self.transactions.move(connection, run, Move(RunState.CANCELLED, "", "cancelled"))

    def _reflect(self, connection: Connection, run: dict[str, Any], rows: Sequence[Row]) -> None:
        """Show in the run's own row how far its shards are."""
        workers = ", ".join(dict.fromkeys(row["worker"] for row in rows if row["worker"]))[:200]
        begins = [row["started_at"] for row in rows if row["started_at"]]
        values: dict[str, Any] = {"worker": workers} if workers != run["worker"] else {}
        if begins and not run["started_at"]:
            values["started_at"] = min(begins)
        for state in _steps(RunState(run["state"]), _state_of(rows)):
            self.transactions.move(connection, run, Move(state), values)
            run = {**run, "state": state.value, "messages": run["messages"] + 1}
            values = {}
        if values:
            change_run(connection, run["test_id"], {**values, "updated_at": self.clock()}, frozenset({"revision"}))
        change_attempt(connection, key_of(run), {"progress": json.dumps(_progress(rows).to_json())})

    def _attempt_values(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return what the run's attempt shows at its end; a verdict rests on it."""

        def joined(name: str, size: int) -> str:
            return ", ".join(dict.fromkeys(row[name] for row in rows if row[name]))[:size]

        locks = {row["lock_digest"] for row in rows if row["lock_digest"]}
        return {
            "claimed_at": min((row["claimed_at"] for row in rows if row["claimed_at"]), default=0.0),
            "ended_at": self.clock(),
            "outcome": RunState.FINISHED.value,
            "worker": joined("worker", 200),
            "tempest_version": joined("tempest_version", 40),
            "lock_digest": locks.pop() if len(locks) == 1 else "",
            "software": joined("software", 80),
        }

    def _copy(self, connection: Connection, run: Row, rows: Sequence[Row]) -> None:
        for row in rows:
            if row["test_id"] is not None:
                shard_copies.copy_messages(self.transactions, connection, run["test_id"], row)
                shard_copies.copy_console(connection, run, row)

    def _forget_results(self, connection: Connection, test_ids: Sequence[int]) -> None:
        """Remove the tests and streams of shards. The digests stay, for a node that posts its result again."""
        for table in (queue_tables.result_test, queue_tables.result_chunk, queue_tables.log_chunk):
            connection.execute(delete(table).where(table.c.test_id.in_(test_ids)))
        connection.execute(update(_RUN).where(_RUN.c.test_id.in_(test_ids)).values(stored_kib=1))


def _rows(connection: Connection, test_id: int) -> list[Row]:
    return list(connection.execute(_SHARDS, {"of_run": test_id}).mappings().all())


def _is_ended(row: Row) -> bool:
    return row["test_id"] is not None and RunState(row["state"]).is_end


def _is_lost(row: Row) -> bool:
    """Return whether a shard ended without a result although it had tests that could run."""
    return _is_ended(row) and row["state"] != RunState.FINISHED.value and not _has_nothing_to_run(row)


def _has_nothing_to_run(row: Row) -> bool:
    """Return whether none of a shard's tests can run on this cloud; in one run with the others they are skipped."""
    return row["state"] == RunState.FAILED.value and is_nothing_to_run(row["message"] or "")


def _state_of(rows: Sequence[Row]) -> RunState:
    places = [_place(row) for row in rows]
    if all(place == len(_IN_ORDER) - 1 for place in places):
        return RunState.POSTING
    return _IN_ORDER[min(max(places), _IN_ORDER.index(RunState.RUNNING))]


def _place(row: Row) -> int:
    if row["test_id"] is None:
        return 0
    state = RunState(row["state"])
    return _IN_ORDER.index(state) if state in _IN_ORDER else len(_IN_ORDER) - 1


def _steps(old: RunState, new: RunState) -> list[RunState]:
    """Return the states that lead to the new one; none if it is not further: a shard may start again."""
    if old not in _IN_ORDER or _IN_ORDER.index(new) <= _IN_ORDER.index(old):
        return []
    first = [RunState.CLAIMED] if old is RunState.QUEUED else []
    return list(dict.fromkeys([*first, new]))


def _progress(rows: Sequence[Row]) -> Progress:
    each = [_progress_of(row) for row in rows]
    left = [one.seconds_left for one in each if one.seconds_left]
    going = [one for one, row in zip(each, rows) if one.test and not _is_ended(row)]
    return Progress(
        total=sum(one.total or row["tests"] for one, row in zip(each, rows)),
        done=sum(one.done for one in each),
        passed=sum(one.passed for one in each),
        failed=sum(one.failed for one in each),
        skipped=sum(one.skipped for one in each),
        seconds_left=max(left) if left else None,
        test=going[0].test if going else "",
    )


def _progress_of(row: Row) -> Progress:
    if row["state"] == RunState.FINISHED.value:
        done = row["passed"] + row["failed"] + row["skipped"]
        return Progress(done, done, row["passed"], row["failed"], row["skipped"])
    return Progress.from_json(json.loads(row["progress"] or "{}"))


def _shard(row: Row) -> Shard:
    names = ("attempt", "worker", "reason", "message", "started_at", "ended_at")
    known = {name: row[name] for name in names} if row["test_id"] is not None else {}
    return Shard(
        number=row["number"],
        tests=row["tests"],
        names=tuple(json.loads(row["names"])),
        is_last=row["is_last"],
        test_id=row["test_id"],
        state=RunState(row["state"]) if row["state"] else RunState.QUEUED,
        progress=_progress_of(row),
        **known,
    )
