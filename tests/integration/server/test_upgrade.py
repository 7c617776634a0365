"""A database with 10,000 runs goes up to the newest revision, down, and up again, and every row is as it was.

What is filled in is what the old revision has: its tables are read from the database, not from today's models.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, func, insert, inspect, select
from sqlalchemy.engine import Connection

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract.states import RunState
from refstack_worker.server.db import migrate
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.guidelines import StoredGuideline
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Event, make_settings, stream
from tests.system.web.site import guideline

RUNS = 10_000
STATES = ("finished", "failed", "cancelled", "queued")
STREAM = stream([Event("tempest.api.T.test_a"), Event("tempest.api.T.test_b", "fail", "it broke"), Event("c", "skip")])
BEGAN = 1_700_000_000.0
Rows = list[dict[str, Any]]


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> ServerSettings:
    if request.param == "sqlite":
        return make_settings(tmp_path)
    return make_settings(tmp_path, DATABASE_URL=request.getfixturevalue("postgresql_url"))


@pytest.fixture
def bare(settings: ServerSettings) -> Iterator[Ledger]:
    """A ledger whose database is still empty."""
    ledger = Ledger(settings)
    yield ledger
    ledger.close()


def test_ten_thousand_runs_there_and_back(bare: Ledger) -> None:
    database = bare.database
    migrate.upgrade(database, "0001")
    with database.writing() as connection:
        fill(connection, legacy())
        refstacks_own, own_columns = digests(connection), columns_of(connection)
    migrate.upgrade(database, "0002")
    with database.writing() as connection:
        fill(connection, queue())
        with_runs, columns = digests(connection), columns_of(connection)
    assert with_runs["queue_run"][0] == with_runs["queue_attempt"][0] - RUNS // 10 == RUNS

    bare.upgrade()
    assert found(bare, columns) == with_runs
    everything_is_readable(bare)
    used = use_what_is_new(bare)

    migrate.downgrade(database, "0002")
    with database.reading() as connection:
        assert digests(connection) == with_runs
    bare.upgrade()
    assert found(bare, columns) == with_runs
    everything_is_readable(bare)
    assert bare.guidelines.all(None) == [] and bare.accounts.shares(used) == []

    migrate.downgrade(database, "base")
    with database.reading() as connection:
        assert digests(connection) == refstacks_own
    bare.upgrade()
    assert bare.runs.find(RunQuery()) == []
    assert found(bare, own_columns) == refstacks_own


def everything_is_readable(ledger: Ledger) -> None:
    """Read runs of every state through the ledger, as the API does."""
    assert ledger.queue.count_states() == dict.fromkeys(STATES, RUNS // 4)
    finished = ledger.runs.get(4)
    assert (finished.state, finished.label, finished.cloud.label) == (RunState.FINISHED, "run 4", "cloud 4")
    assert (finished.counts.passed, finished.counts.failed, finished.counts.skipped) == (1, 1, 1)
    assert [one.status for one in ledger.results.tests(4, ResultQuery())] == ["passed", "failed", "skipped"]
    assert b"".join(ledger.results.stream(4)) == STREAM
    assert [one.message for one in ledger.runs.messages(4)] == ["queued", "claimed: node-4", "the end of 4 – ende"]
    assert [one.key.attempt for one in ledger.attempts.of_run(10)] == [1, 2]
    newest = ledger.runs.find(RunQuery(scope=AccessScope((7,)), limit=50))
    assert len(newest) == 50 and newest[0].owner_id == 7


def use_what_is_new(ledger: Ledger) -> int:
    """Write into the tables that only the newest revision has; return the run that is shared."""
    ledger.accounts.share(4, 1)
    ledger.guidelines.add(guideline(), StoredGuideline(0, "", "", added_by="operator"))
    assert ledger.accounts.shares(4) == [1] and len(ledger.guidelines.all(None)) == 1
    (token,) = ledger.tokens.all()
    assert ledger.sessions.find(ledger.sessions.add(token))
    return 4


def found(ledger: Ledger, columns: Mapping[str, set[str]]) -> dict[str, Any]:
    """Return the digests of these columns of these tables as they are now; later revisions add columns."""
    with ledger.database.reading() as connection:
        return digests(connection, columns)


def columns_of(connection: Connection) -> dict[str, set[str]]:
    return {name: set(table.c.keys()) for name, table in tables(connection).items() if name != migrate.VERSION_TABLE}


def tables(connection: Connection) -> Mapping[str, Any]:
    known = MetaData()
    known.reflect(connection)
    return known.tables


def digests(connection: Connection, only: Mapping[str, set[str]] | None = None) -> dict[str, tuple[int, str]]:
    """Return for each table how many rows it has, and a digest of all of them in the order of their keys.

    :param only: tables and columns to look at; None for all.
    """
    made = {}
    for name, table in tables(connection).items():
        if name == migrate.VERSION_TABLE or (only is not None and name not in only):
            continue
        digest = hashlib.sha256()
        there = [column for column in table.c if only is None or column.name in only[name]]
        columns = sorted(there, key=lambda column: column.name)
        for row in connection.execute(select(*columns).order_by(*table.primary_key.columns)):
            digest.update(repr([bytes(one) if isinstance(one, memoryview) else one for one in row]).encode())
        made[name] = (
            int(connection.execute(select(func.count()).select_from(table)).scalar() or 0),
            digest.hexdigest(),
        )
    return made


def fill(connection: Connection, content: Mapping[str, Rows]) -> None:
    known = tables(connection)
    for name, rows in content.items():
        for at in range(0, len(rows), 2000):
            connection.execute(insert(known[name]), rows[at : at + 2000])
    assert set(inspect(connection).get_table_names()) >= set(content)


def legacy() -> dict[str, Rows]:
    """Return what RefStack has: a vendor, users, clouds, 10,000 tests with three messages each."""
    moment = datetime(2023, 11, 14, tzinfo=timezone.utc).replace(tzinfo=None)
    numbers = range(1, RUNS + 1)
    said = ("queued", "claimed: node-{}", "the end of {} – ende")
    return {
        "vendor": [{"id": 1, "vendor_name": "Acme", "contact_email": "a@acme.example", "contact_name": "Ann"}],
        "user": [{"id": n, "name": f"user {n}", "email": f"{n}@acme.example", "vendor_id": 1} for n in range(1, 11)],
        "cloud": [{"id": n, "label": f"cloud {n}", "endpoint_v3": "https://x.example/v3"} for n in range(1, 101)],
        "test": [{"id": n, "cloud_id": (n - 1) % 100 + 1, "finished": n % 4 == 0} for n in numbers],
        "test_status": [
            {"id": 3 * n + at, "test_id": n, "message": text.format(n), "timestamp": moment + timedelta(seconds=n)}
            for n in numbers
            for at, text in enumerate(said)
        ],
    }


def queue() -> dict[str, Rows]:
    """Return the bookkeeping of these tests at revision 0002: every fourth has a result, every tenth two attempts."""
    numbers = range(1, RUNS + 1)
    done = range(4, RUNS + 1, 4)
    packed = gzip.compress(STREAM)
    tests = (("test_a", "passed", ""), ("test_b", "failed", "it broke"), ("c", "skipped", ""))
    node = {"versions": '["47.0.0"]', "slots": 2, "busy": 0, "tags": "[]", "state": "ready", "software": "0.1"}
    token = {"scopes": "vendor", "user_id": 1, "created_at": BEGAN, "expires_at": 0.0, "revoked_at": 0.0}
    return {
        "queue_run": [run(n) for n in numbers],
        "queue_attempt": [attempt(n, at) for n in numbers for at in range(1, 3 if n % 10 == 0 else 2)],
        "queue_result": [
            {"test_id": n, "attempt": last(n), "digest": hashlib.sha256(STREAM).hexdigest(), "size": len(STREAM)}
            | {"summary": "{}", "accepted_at": BEGAN + n, "passed": 1, "failed": 1, "skipped": 1, "seconds": 3.0}
            for n in done
        ],
        "queue_result_chunk": [{"test_id": n, "number": 0, "data": packed} for n in done],
        "queue_result_test": [
            {"test_id": n, "position": at, "name": name, "uuid": "", "status": status, "seconds": 1.0}
            | {"started_at": BEGAN, "reason": reason}
            for n in done
            for at, (name, status, reason) in enumerate(tests, 1)
        ],
        "queue_node": [{"name": "node-1", **node, "time": BEGAN, "seen_at": BEGAN}],
        "queue_setting": [{"name": "paused", "value": "no", "changed_at": BEGAN, "changed_by": "root"}],
        "queue_token": [{"id": 1, "name": "ann", "digest": "d" * 64, **token, "last_used_at": 0.0}],
    }


def last(number: int) -> int:
    return 2 if number % 10 == 0 else 1


def run(number: int) -> dict[str, Any]:
    state = STATES[number % 4]
    times = dict.fromkeys(("created_at", "updated_at", "queued_at", "started_at"), BEGAN + number)
    counts = dict.fromkeys(("passed", "failed", "skipped"), int(state == "finished"))
    empty = dict.fromkeys(("openstack_release", "tag", "reason", "message", "worker"), "")
    zero = dict.fromkeys(("lost", "released", "concurrency", "priority", "cancel_asked_at"), 0)
    own = {"test_id": number, "state": state, "attempt": last(number), "tempest_version": "47.0.0", "plugins": "{}"}
    who = {"label": f"run {number}", "created_by": "ann", "owner_id": number % 10 + 1, "timeout": 600}
    end = {"ended_at": 0.0 if state == "queued" else BEGAN + number + 60, "messages": 3, "revision": 4}
    return {**empty, **zero, **times, **counts, **own, **who, **end}


def attempt(number: int, at: int) -> dict[str, Any]:
    zero = dict.fromkeys(("leased_until", "priority", "contested_at", "ended_at"), 0)
    times = dict.fromkeys(("created_at", "submitted_at", "claimed_at", "heartbeat_at"), BEGAN + number)
    text = {"server": "gearman:4730", "handle": f"H:{number}", "function": "f", "worker": "node-1", "note": ""}
    is_open = STATES[number % 4] == "queued" and at == last(number)
    own = {"test_id": number, "attempt": at, "is_open": is_open, "outcome": "", "is_withdrawn": True}
    return {**zero, **times, **text, **own, "progress": '{"done": 3}'}
