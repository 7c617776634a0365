"""The most frequent changes of a run as single statements: one round trip to PostgreSQL in place of up to eight.

Each locks the run's row first, as the same change in steps does, and changes nothing unless the row is as the caller
saw it; then the caller takes the steps, which also tell why. SQLite cannot nest such statements and has no round trips.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache
from typing import Any

from sqlalchemy import Table, bindparam, case, exists, func, insert, literal_column, select, text, update
from sqlalchemy.engine import Connection

from refstack_worker.contract.messages import clean_line
from refstack_worker.contract.states import RunState
from refstack_worker.server.db import account_tables, legacy_tables, queue_tables
from refstack_worker.server.db.prepared import PREPARED
from refstack_worker.server.db.updates import IS_ATTEMPT
from refstack_worker.server.domain.attempts import AttemptKey, Claim, Proof
from refstack_worker.server.ledger import run_ends

MESSAGES_PER_RUN = 5000
"""Status messages that are kept of a run; a worker gone wild must not fill the disk."""

_RUN, _ATTEMPT, _STATUS = queue_tables.run, queue_tables.attempt, legacy_tables.test_status
IS_PAUSED = exists(
    select(literal_column("1")).where(queue_tables.setting.c.name == "paused", queue_tables.setting.c.value == "yes")
)
IS_WITHDRAWN = ~((_ATTEMPT.c.submitted_at > 0) & (_ATTEMPT.c.claimed_at == 0))
"""Whether gearmand holds no job of an attempt that ends now."""


def claim(connection: Connection, proof: Proof, claim: Claim, secret_digest: str, now: float) -> bool:
    """Give an attempt that no worker holds to a worker; return whether it was so."""
    version = f" with Tempest {claim.tempest_version}" if claim.tempest_version else ""
    message = clean_line(f"attempt {proof.attempt} by {claim.worker}{version}")
    values = {
        "of_test": proof.test_id,
        "of_attempt": proof.attempt,
        "in_state": RunState.QUEUED.value,
        "proof": secret_digest,
        "claim": claim.claim_id[:100],
        "by_worker": claim.worker[:200],
        "with_tempest": claim.tempest_version[:40],
        "with_lock": claim.lock_digest[:64],
        "now": now,
        "text": message,
        "line": clean_line(f"{RunState.CLAIMED.value}: {message}"),
        "stamp": stamp(now),
        "most": MESSAGES_PER_RUN,
    }
    return connection.execute(_claim(), values).first() is not None


def move(
    connection: Connection, key: AttemptKey, states: tuple[RunState, RunState], text: tuple[str, str], now: float
) -> bool:
    """Change the state of a run if its attempt and state are still these; return whether they were.

    :param states: the old and the new one.
    :param text: message and reason; empty texts change nothing.
    """
    old, new = states
    message, reason = clean_line(text[0]), text[1][:40]
    values = {
        "of_test": key.test_id,
        "of_attempt": key.attempt,
        "in_state": old.value,
        "new_state": new.value,
        "text": message,
        "why": reason,
        "line": clean_line(": ".join(part for part in (new.value, message) if part)),
        "now": now,
        "stamp": stamp(now),
        "most": MESSAGES_PER_RUN,
    }
    statement = _move(new.is_end, bool(message), bool(reason))
    return connection.execute(statement, values).first() is not None


def say(connection: Connection, key: AttemptKey, line: str, now: float) -> bool:
    """Add a status message to a run if this is its attempt; return whether it is."""
    values = {"of_test": key.test_id, "of_attempt": key.attempt, "line": clean_line(line), "stamp": stamp(now)}
    values["most"] = MESSAGES_PER_RUN
    return connection.execute(_say(), values).first() is not None


def record(
    connection: Connection,
    run: dict[str, Any],
    attempt: dict[str, Any],
    test: dict[str, Any] | None,
    entry: dict[str, Any] | None,
    now: float,
) -> dict[str, Any]:
    """Add the rows of a new run, its first attempt and its first status message; return the run's row.

    :param test: RefStack's row of the test; None: it is there.
    :param entry: of the audit log; None: there is none, or it is added later.
    """
    run, attempt = _complete(_RUN, run), _complete(_ATTEMPT, attempt)
    rows = {"test": test or {}, "run": run, "attempt": attempt, "entry": entry or {}}
    values = {f"{prefix}_{name}": value for prefix, row in rows.items() for name, value in row.items()}
    values |= {"line": RunState.QUEUED.value, "stamp": stamp(now)}
    connection.execute(_record(*map(tuple, rows.values())), values)
    return run


def stamp(now: float) -> datetime:
    """Return a time as RefStack's tables have it: UTC without saying so."""
    return datetime.fromtimestamp(now, timezone.utc).replace(tzinfo=None)


def _locked(*conditions: Any) -> Any:
    is_current = (_RUN.c.test_id == bindparam("of_test")) & (_RUN.c.attempt == bindparam("of_attempt"))
    return select(_RUN.c.test_id, _RUN.c.messages).where(is_current, *conditions).with_for_update().cte("locked")


def _message(locked: Any, *conditions: Any) -> Any:
    row = select(locked.c.test_id, bindparam("line"), bindparam("stamp", type_=_STATUS.c.timestamp.type))
    row = row.where(locked.c.messages < bindparam("most"), *conditions)
    return insert(_STATUS).from_select(["test_id", "message", "timestamp"], row).returning(_STATUS.c.id).cte("said")


def _counted() -> Any:
    return _RUN.c.messages + case((_RUN.c.messages < bindparam("most"), 1), else_=0)


def _software() -> Any:
    """Return the question for what a node runs: the worker's version, as the node reported it."""
    node = queue_tables.node
    return select(node.c.software).where(node.c.name == bindparam("by_worker")).scalar_subquery()


@cache
def _claim() -> Any:
    locked = _locked(_RUN.c.state == bindparam("in_state"), ~IS_PAUSED)
    taken = (
        update(_ATTEMPT)
        .where(IS_ATTEMPT, _ATTEMPT.c.is_open, _ATTEMPT.c.claim_id.is_(None))
        .where(_ATTEMPT.c.secret_digest == bindparam("proof"), exists(select(locked.c.test_id)))
        .values(
            claim_id=bindparam("claim"),
            worker=bindparam("by_worker"),
            claimed_at=bindparam("now"),
            tempest_version=bindparam("with_tempest"),
            lock_digest=bindparam("with_lock"),
            software=func.coalesce(_software(), ""),
            heartbeat_at=bindparam("now"),
        )
        .returning(_ATTEMPT.c.test_id)
        .cte("taken")
    )
    said = _message(locked, exists(select(taken.c.test_id)))
    return (
        update(_RUN)
        .where(_RUN.c.test_id == taken.c.test_id)
        .values(
            state=RunState.CLAIMED.value,
            message=bindparam("text"),
            worker=bindparam("by_worker"),
            started_at=bindparam("now"),
            updated_at=bindparam("now"),
            revision=_RUN.c.revision + 1,
            messages=_counted(),
        )
        .returning(_RUN.c.test_id)
        .add_cte(said)
        .execution_options(**PREPARED)
    )


@cache
def _move(is_end: bool, has_message: bool, has_reason: bool) -> Any:
    locked = _locked(_RUN.c.state == bindparam("in_state"))
    values: dict[str, Any] = {
        "state": bindparam("new_state"),
        "updated_at": bindparam("now"),
        "revision": _RUN.c.revision + 1,
        "messages": _counted(),
    }
    if has_message:
        values["message"] = bindparam("text")
    if has_reason:
        values["reason"] = bindparam("why")
    if is_end:
        values |= {"ended_at": bindparam("now"), "sealed_conf": None}
    changed = update(_RUN).where(_RUN.c.test_id == locked.c.test_id).values(values).returning(_RUN.c.test_id)
    changed = changed.add_cte(_message(locked)).execution_options(**PREPARED)
    return changed.add_cte(_ended(locked)).add_cte(run_ends.recorded(locked)) if is_end else changed


def _ended(locked: Any) -> Any:
    values = {
        "is_open": False,
        "ended_at": bindparam("now"),
        "outcome": bindparam("new_state"),
        "note": bindparam("text"),
        "is_withdrawn": IS_WITHDRAWN,
    }
    is_mine = IS_ATTEMPT & _ATTEMPT.c.is_open & exists(select(locked.c.test_id))
    return update(_ATTEMPT).where(is_mine).values(values).returning(_ATTEMPT.c.test_id).cte("ended")


@cache
def _say() -> Any:
    locked = _locked()
    changed = update(_RUN).where(_RUN.c.test_id == locked.c.test_id).values(messages=_counted())
    return changed.returning(_RUN.c.test_id).add_cte(_message(locked)).execution_options(**PREPARED)


@cache
def _record(test: tuple[str, ...], run: tuple[str, ...], attempt: tuple[str, ...], entry: tuple[str, ...]) -> Any:
    # as text: SQLAlchemy knows no defaults of an INSERT within another statement
    tables = {"test": legacy_tables.test, "run": _RUN, "attempt": _ATTEMPT, "entry": account_tables.audit}
    columns = {"test": test, "run": run, "attempt": attempt, "entry": entry}
    rows = [f"new_{one} AS ({_insert(tables[one], one, names)})" for one, names in columns.items() if names]
    first_message = "INSERT INTO test_status (test_id, message, timestamp) VALUES (:run_test_id, :line, :stamp)"
    return text(f"WITH {', '.join(rows)} {first_message}").execution_options(**PREPARED)


def _insert(table: Table, prefix: str, names: tuple[str, ...]) -> str:
    columns, values = ", ".join(names), ", ".join(f":{prefix}_{name}" for name in names)
    return f"INSERT INTO {table.name} ({columns}) VALUES ({values})"  # noqa: S608 - names of our own tables


def _complete(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        column.name: getattr(column.default, "arg", None) for column in table.c if column.default is not None
    }
    return {**defaults, **row}
