"""What all parts of the ledger share: its transactions, the proof of an attempt, and the one way a state changes."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.engine import Connection

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract import attempt_token as proofs
from refstack_worker.contract import payload as payloads
from refstack_worker.contract.messages import clean_line
from refstack_worker.contract.states import RunState, check_move
from refstack_worker.errors import NotFoundError, RefusedError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.db.clock import clock_of
from refstack_worker.server.db.database import Database
from refstack_worker.server.db.updates import IS_ATTEMPT, change_attempt, change_run
from refstack_worker.server.domain.attempts import (
    AttemptKey,
    Claim,
    Proof,
    Release,
)
from refstack_worker.server.domain.runs import IMPORTED
from refstack_worker.server.ledger import run_ends, single_statements
from refstack_worker.server.ledger.maskers import Maskers
from refstack_worker.server.ledger.single_statements import IS_WITHDRAWN, stamp
from refstack_worker.server.secret_store import SecretStore

Row = Any
"""A row as a mapping: column name to value (SQLAlchemy names the type differently in 1.4 and 2)."""

MAX_ATTEMPTS = payloads.SCHEMA["properties"]["attempt"]["maximum"]


_STATUS = insert(legacy_tables.test_status)
_NEW_TEST = insert(legacy_tables.test)
LAST_ID = "last deleted test"
"""Setting with the highest id that was used and is no longer in the table of tests (SQLite)."""
_NEWEST_TEST = select(func.max(legacy_tables.test.c.id))
_NEWEST_DELETED = select(queue_tables.setting.c.value).where(queue_tables.setting.c.name == LAST_ID)
_NEW_ATTEMPT = insert(queue_tables.attempt)
_RUN = select(queue_tables.run).where(queue_tables.run.c.test_id == bindparam("of_test")).with_for_update()
_ATTEMPTS = select(queue_tables.attempt).where(queue_tables.attempt.c.test_id == bindparam("of_test"))
_ATTEMPT = _ATTEMPTS.where(queue_tables.attempt.c.attempt == bindparam("of_attempt"))
_SOFTWARE = select(queue_tables.node.c.software).where(queue_tables.node.c.name == bindparam("of_node"))
_END = (
    update(queue_tables.attempt)
    .where(IS_ATTEMPT, queue_tables.attempt.c.is_open)
    .values(
        is_open=False,
        ended_at=bindparam("now"),
        outcome=bindparam("how"),
        note=bindparam("said"),
        is_withdrawn=IS_WITHDRAWN,
    )
)
"""Put together once, because every call of a worker asks these."""
_CHANGED, _SAID = frozenset({"revision"}), frozenset({"messages"})


@dataclass(frozen=True)
class Move:
    """A change of a run's state, with its message."""

    state: RunState
    message: str = ""
    reason: str = ""
    outcome: str = ""
    """Of the attempt when this ends it; empty: the state's name."""


class Transactions:
    """The database, the clock, and the steps that changes of a run consist of."""

    def __init__(self, settings: ServerSettings, clock: Callable[[], float] | None) -> None:
        self.settings = settings
        self.clock = clock or clock_of(lambda: self.database)
        self.secrets = SecretStore(settings.keys.store)
        self.maskers = Maskers(self.secrets)

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.database.url)

    def locked_run(self, connection: Connection, test_id: int) -> Row:
        """Return a run's row, locked until the transaction ends."""
        row = connection.execute(_RUN, {"of_test": test_id}).mappings().first()
        if row is None:
            raise no_run(test_id)
        return row

    def move(self, connection: Connection, run: Row, move: Move, more: Mapping[str, Any] | None = None) -> None:
        """Change the state of a locked run; the only place where that happens.

        :param more: columns that change with it.
        :raises StateError: ``contract/states.py`` does not allow it.
        """
        old = RunState(run["state"])
        check_move(old, move.state)
        now = self.clock()
        values: dict[str, Any] = {"state": move.state.value, "updated_at": now, **(more or {})}
        counted = _CHANGED
        if move.message:
            values["message"] = clean_line(move.message)
        if move.reason:
            values["reason"] = move.reason[:40]
        if move.state.is_end:
            values.update(ended_at=now, sealed_conf=None)
            self.end_attempt(connection, key_of(run), move.outcome or move.state.value, move.message)
            run_ends.record(connection, run["test_id"], now)
        if move.state is not old or move.message:
            said = ": ".join(part for part in (move.state.value, move.message) if part)
            counted |= self.tell(connection, run, said)
        change_run(connection, run["test_id"], values, counted)

    def say(self, connection: Connection, run: Row, text: str) -> None:
        """Add a row to the legacy ``test_status`` table."""
        change_run(connection, run["test_id"], {}, self.tell(connection, run, text))

    def tell(self, connection: Connection, run: Row, text: str) -> frozenset[str]:
        """Add a row as :meth:`say` does, and return what the caller then has to count in the run's row."""
        if run["messages"] >= single_statements.MESSAGES_PER_RUN:
            return frozenset()
        row = {"test_id": run["test_id"], "message": clean_line(text), "timestamp": stamp(self.clock())}
        connection.execute(_STATUS, row)
        return _SAID

    def end_attempt(self, connection: Connection, key: AttemptKey, outcome: str, note: str) -> None:
        told = {"now": self.clock(), "how": outcome[:40], "said": clean_line(note)}
        connection.execute(_END, {"of_test": key.test_id, "of_attempt": key.attempt, **told})

    def add_test(self, connection: Connection, cloud_id: int | None = None) -> int:
        """Add a row to RefStack's table of tests and return its id, which no run ever had before.

        SQLite alone would give the id of a deleted newest run again, to which a job in the queue may still belong.
        """
        row: dict[str, Any] = {"cloud_id": cloud_id, "finished": False}
        if self.database.is_sqlite:
            newest = connection.execute(_NEWEST_TEST).scalar() or 0
            deleted = connection.execute(_NEWEST_DELETED).scalar() or 0
            row["id"] = max(newest, int(deleted)) + 1
        return new_id(connection.execute(_NEW_TEST, row))

    def keep_id(self, connection: Connection, test_id: int) -> None:
        """Note that a test is deleted, so that no other gets its id."""
        if not self.database.is_sqlite or test_id <= int(connection.execute(_NEWEST_DELETED).scalar() or 0):
            return
        values = {"value": str(test_id), "changed_at": self.clock(), "changed_by": ""}
        setting = queue_tables.setting
        if connection.execute(update(setting).where(setting.c.name == LAST_ID).values(values)).rowcount == 0:
            connection.execute(insert(setting).values(name=LAST_ID, **values))

    def add_attempt(self, connection: Connection, run: Row, number: int) -> None:
        values = {
            "test_id": run["test_id"],
            "attempt": number,
            "priority": run["priority"],
            "created_at": self.clock(),
        }
        connection.execute(_NEW_ATTEMPT, values)

    def requeue(self, connection: Connection, run: Row, how: Release, message: str) -> None:
        """End the current attempt of a locked run and make the next, or end the run where a limit is reached."""
        counts = _counted(run, how)
        end = self._end_instead(run, how, counts, message)
        if end is not None:
            self.move(connection, run, end)
            return
        number = run["attempt"] + 1
        self.end_attempt(connection, key_of(run), how.value, message)
        values: dict[str, Any] = {"attempt": number, "worker": "", "started_at": 0.0, **counts}
        if how is not Release.QUEUE_LOST:
            values["queued_at"] = self.clock()
        self.add_attempt(connection, run, number)
        self.move(connection, run, Move(RunState.QUEUED, f"{message}; attempt {number} follows"), values)

    def _end_instead(self, run: Row, how: Release, counts: Row, message: str) -> Move | None:
        rules = self.settings.rules
        if run["state"] == RunState.CANCELLING.value:
            return Move(RunState.CANCELLED, message, "cancelled", how.value)
        if run["kind"] == IMPORTED:
            # no node can go on with it: the result was in a request to a process that has ended
            return Move(RunState.FAILED, "the import was interrupted; import the result again", "import", how.value)
        if counts["lost"] >= rules.attempt_limit:
            said = f"{message}; given up after {counts['lost']} lost attempts"
            return Move(RunState.FAILED, said, "lost", how.value)
        if counts["released"] > rules.release_limit or run["attempt"] >= MAX_ATTEMPTS:
            said = f"{message}; given up after {run['attempt']} attempts"
            return Move(RunState.FAILED, said, "attempts", how.value)
        return None

    def held(self, connection: Connection, proof: Proof) -> tuple[Row, Row]:
        """Return the rows of a run, locked, and of its attempt whose secret a caller has; see :meth:`proven`.

        Two questions on purpose: in one, PostgreSQL would wait for the run's lock and then show the attempt as it was
        before the wait.
        """
        return self.locked_run(connection, proof.test_id), self.proven(connection, proof)

    def proven(self, connection: Connection, proof: Proof) -> Row:
        """Return the row of the attempt that matches the caller's secret.

        Call :func:`check_claim` to verify that the caller also holds the claim.

        :raises RefusedError: reason ``no-proof`` or ``wrong-proof``.
        :raises NotFoundError: there is no such run.
        """
        parameters = {"of_test": proof.test_id, "of_attempt": proof.attempt}
        question = _ATTEMPTS if proof.attempt is None else _ATTEMPT
        return self.choose(connection, proof, connection.execute(question, parameters).mappings().all())

    def choose(self, connection: Connection, proof: Proof, rows: Sequence[Row]) -> Row:
        if not proof.secret:
            raise refused("no-proof", "send the secret of the attempt as a bearer token")
        matching = [row for row in rows if payloads.proves(proof.secret, row["secret_digest"] or "")]
        if not matching:
            raise self._disproved(connection, proof)
        if proof.payload_digest is not None and not hmac.compare_digest(
            proof.payload_digest, matching[0]["payload_digest"] or ""
        ):
            raise refused("wrong-payload", "this is not the payload that the server made for the run")
        return matching[0]

    def _disproved(self, connection: Connection, proof: Proof) -> NotFoundError | RefusedError:
        known = select(func.count()).select_from(queue_tables.run).where(queue_tables.run.c.test_id == proof.test_id)
        if not connection.execute(known).scalar():
            return no_run(proof.test_id)
        return refused("wrong-proof", "this is not the secret of an attempt of this run")

    def grant(self, connection: Connection, run: Row, claim: Claim) -> None:
        now = self.clock()
        values: dict[str, Any] = {
            "claim_id": claim.claim_id[:100],
            "worker": claim.worker[:200],
            "claimed_at": now,
            "heartbeat_at": now,
            "tempest_version": claim.tempest_version[:40],
            "lock_digest": claim.lock_digest[:64],
            "software": connection.execute(_SOFTWARE, {"of_node": claim.worker[:200]}).scalar() or "",
        }
        change_attempt(connection, key_of(run), values)
        version = f" with Tempest {claim.tempest_version}" if claim.tempest_version else ""
        claimed = Move(RunState.CLAIMED, f"attempt {run['attempt']} by {claim.worker}{version}")
        self.move(connection, run, claimed, {"worker": claim.worker[:200], "started_at": now})


class LedgerPart:
    """What each part of the ledger is made of."""

    def __init__(self, transactions: Transactions) -> None:
        self.transactions = transactions
        self.settings = transactions.settings
        self.clock = transactions.clock
        self.secrets = transactions.secrets
        self.maskers = transactions.maskers

    @property
    def database(self) -> Database:
        """The database; connected when it is first used."""
        return self.transactions.database


def check_claim(attempt: Row, proof: Proof) -> None:
    """Refuse a caller that has the secret of an attempt but not its claim; an unclaimed attempt refuses no caller.

    :raises RefusedError: ``claimed``.
    """
    if attempt["claim_id"] is not None and not proofs.is_marked(proof.mark, attempt["claim_id"]):
        raise refused(
            "claimed", "another worker has claimed the attempt, or the proof does not contain the claim's mark"
        )


def key_of(row: Row) -> AttemptKey:
    """Return the key in a row of ``queue_run`` or ``queue_attempt``."""
    return AttemptKey(row["test_id"], row["attempt"])


def is_attempt(key: AttemptKey) -> Any:
    """Return the condition that picks one row of ``queue_attempt``."""
    return (queue_tables.attempt.c.test_id == key.test_id) & (queue_tables.attempt.c.attempt == key.attempt)


def refused(reason: str, message: str) -> RefusedError:
    """Return the error that says no, with its fixed word for machines."""
    error = RefusedError(message)
    error.reason = reason
    return error


def new_id(added: Any) -> int:
    """Return the id of the row that an INSERT has made."""
    return int(added.inserted_primary_key[0])


def no_run(test_id: int) -> NotFoundError:
    """Return the error for a test id that the ledger does not know."""
    return NotFoundError(f"there is no run {test_id}")


def superseded(run: Row) -> Exception:
    """Return the error for an attempt that is not the current one."""
    return refused("superseded", f"the run is at attempt {run['attempt']} now; stop this one")


def _counted(run: Row, how: Release) -> dict[str, int]:
    return {
        "lost": run["lost"] + (how is Release.LOST),
        "released": run["released"] + (how is Release.RELEASED),
    }
