"""The ledger, as those see it who want runs: record, look, cancel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timezone
from typing import Any

from sqlalchemy import and_, bindparam, func, insert, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.contract import payload as payloads
from refstack_worker.contract.payload import Testcases
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Progress
from refstack_worker.errors import NotFoundError, PayloadError, StateError
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.domain.attempts import Attempt, AttemptKey
from refstack_worker.server.domain.clouds import Cloud
from refstack_worker.server.domain.results import Counts
from refstack_worker.server.domain.runs import Message, NewRun, Run, RunQuery, RunSpec
from refstack_worker.server.ledger.accounts import seen_by
from refstack_worker.server.ledger.transactions import LedgerBase, Move, Row, new_id, no_run

_CLOUD = [column.label(f"cloud_{column.name}") for column in legacy_tables.cloud.c]
_MOST_ROWS = 1000
_NEW_TEST, _NEW_RUN = insert(legacy_tables.test), insert(queue_tables.run)
_SAME = select(queue_tables.run.c.test_id).where(
    queue_tables.run.c.created_by == bindparam("who"), queue_tables.run.c.idempotency_key == bindparam("key")
)


class RunLedger(LedgerBase):
    """Runs, their attempts and messages."""

    def add_run(self, new: NewRun) -> Run:
        """Record a run: state ``queued``, attempt 1. The same idempotency key again gives the same run again.

        :raises PayloadError: no worker would take what is asked for.
        :raises NotFoundError: there is no test or cloud of that id.
        :raises StateError: that test was run already.
        """
        self._check(new)
        sealed = self.vault.seal(new.conf_json)
        try:
            with self.database.writing() as connection:
                known = self._idempotent(connection, new)
                test_id = known or self._insert(connection, new, sealed)
                return _one_run(connection, test_id)
        except IntegrityError:
            return self.run(self._after_collision(new))

    def run(self, test_id: int) -> Run:
        """Return one run. :raises NotFoundError: there is none of that id."""
        with self.database.reading() as connection:
            return _one_run(connection, test_id)

    def runs(self, query: RunQuery) -> list[Run]:
        """Return runs, newest first; see :class:`RunQuery`."""
        question = _runs().where(*_conditions(query)).order_by(queue_tables.run.c.test_id.desc())
        with self.database.reading() as connection:
            rows = connection.execute(question.limit(min(max(query.limit, 1), _MOST_ROWS))).mappings().all()
        return [_run(row) for row in rows]

    def attempts(self, test_id: int) -> list[Attempt]:
        """Return the attempts of a run, the first first."""
        with self.database.reading() as connection:
            rows = connection.execute(attempts_question().where(queue_tables.run.c.test_id == test_id)).mappings().all()
        return [attempt_of(row) for row in rows]

    def messages(self, test_id: int, after: int = 0, limit: int = _MOST_ROWS) -> list[Message]:
        """Return the status messages of a test with ids above ``after``, in order."""
        status = legacy_tables.test_status
        question = select(status).where(status.c.test_id == test_id, status.c.id > after)
        with self.database.reading() as connection:
            rows = connection.execute(question.order_by(status.c.id).limit(limit)).mappings().all()
        return [Message(row["id"], row["test_id"], row["message"] or "", _seconds(row["timestamp"])) for row in rows]

    def add_message(self, key: AttemptKey, text: str) -> None:
        """Tell the vendor something, as ``update-test-status`` does, unless the attempt is superseded."""
        with self.database.writing() as connection:
            run = self._locked_run(connection, key.test_id)
            if run["attempt"] == key.attempt:
                self._say(connection, run, text)

    def cancel(self, test_id: int, by: str) -> Run:
        """Cancel a run: at once if it is queued; else its worker hears of it with the next heartbeat.

        :raises StateError: it has ended.
        """
        with self.database.writing() as connection:
            run = self._locked_run(connection, test_id)
            state = RunState(run["state"])
            if state.is_end:
                raise StateError(f"run {test_id} has ended already ({state.value})")
            message = f"cancelled by {by}" if by else "cancelled"
            if state is RunState.QUEUED:
                self._move(connection, run, Move(RunState.CANCELLED, message, "cancelled"))
            elif state is not RunState.CANCELLING:
                self._move(connection, run, Move(RunState.CANCELLING, message, "cancelled"))
                asked = update(queue_tables.run).where(queue_tables.run.c.test_id == test_id)
                connection.execute(asked.values(cancel_asked_at=self.clock()))
        return self.run(test_id)

    def conf_json(self, test_id: int) -> dict[str, dict[str, Any]]:
        """Return the options that came with a run that has not ended; none afterwards."""
        with self.database.reading() as connection:
            question = select(queue_tables.run.c.sealed_conf).where(queue_tables.run.c.test_id == test_id)
            sealed = connection.execute(question).scalar()
        return self.vault.open(sealed)

    def cloud_of(self, test_id: int) -> Cloud | None:
        """Return the cloud of a legacy ``test`` row (an empty one if it has none); None: no such row."""
        test, cloud = legacy_tables.test, legacy_tables.cloud
        question = (
            select(test.c.id.label("test"), *_CLOUD)
            .select_from(test.outerjoin(cloud, test.c.cloud_id == cloud.c.id))
            .where(test.c.id == test_id)
        )
        with self.database.reading() as connection:
            row = connection.execute(question).mappings().first()
        return None if row is None else _cloud(row)

    def has_run(self, test_id: int) -> bool:
        """Return whether a test is one of the queue's."""
        question = select(func.count()).select_from(queue_tables.run).where(queue_tables.run.c.test_id == test_id)
        with self.database.reading() as connection:
            return bool(connection.execute(question).scalar())

    def _check(self, new: NewRun) -> None:
        spec = new.spec
        wanted = payloads.Payload.from_json(
            {
                "version": payloads.VERSION,
                "test_id": 1,
                "attempt": 1,
                "callback": self.settings.web.address,
                **{key: value for key, value in _wanted(spec).items() if value},
                "conf_json": new.conf_json,
                "concurrency": spec.concurrency,
                "timeout": spec.timeout or self.settings.rules.run_timeout,
                "submitted_at": payloads.now(),
                "secret": payloads.new_secret(),
            }
        )
        # its size counts as well
        wanted.to_bytes()
        if spec.priority not in (-1, 0, 1):
            raise PayloadError("priority: -1 (low), 0 or 1 (high) is expected")
        spec.function  # noqa: B018 - refuses a malformed tag

    def _idempotent(self, connection: Connection, new: NewRun) -> int | None:
        if not new.idempotency_key:
            return None
        found: int | None = connection.execute(_SAME, {"who": new.created_by, "key": new.idempotency_key}).scalar()
        return found

    def _after_collision(self, new: NewRun) -> int:
        with self.database.reading() as connection:
            known = self._idempotent(connection, new)
        if known is None:
            raise StateError("the test was run already, or its cloud or owner does not exist")
        return known

    def _insert(self, connection: Connection, new: NewRun, sealed: str) -> int:
        test_id = self._test_row(connection, new)
        now = self.clock()
        spec = new.spec
        row = {
            "test_id": test_id,
            "state": RunState.QUEUED.value,
            "attempt": 1,
            "tempest_version": spec.tempest_version,
            "openstack_release": spec.openstack_release,
            "plugins": json.dumps(dict(spec.plugins)),
            "testcases": json.dumps(spec.testcases.to_json()) if spec.testcases else None,
            "concurrency": spec.concurrency,
            "timeout": spec.timeout or self.settings.rules.run_timeout,
            "tag": spec.tag,
            "priority": spec.priority,
            "label": new.label[:200],
            "created_by": new.created_by[:200],
            "owner_id": new.owner_id,
            "rerun_of": new.rerun_of,
            "idempotency_key": new.idempotency_key or None,
            "sealed_conf": sealed,
            "created_at": now,
            "updated_at": now,
            "queued_at": now,
            "messages": 1,
        }
        connection.execute(_NEW_RUN, row)
        self._add_attempt(connection, row, 1)
        self._tell(connection, {"test_id": test_id, "messages": 0}, "queued")
        return test_id

    def _test_row(self, connection: Connection, new: NewRun) -> int:
        if new.test_id is None:
            added = connection.execute(_NEW_TEST, {"cloud_id": new.cloud_id, "finished": False})
            return new_id(added)
        known = select(legacy_tables.test.c.id).where(legacy_tables.test.c.id == new.test_id)
        if connection.execute(known).scalar() is None:
            raise NotFoundError(f"there is no test {new.test_id}")
        return new.test_id


def _wanted(spec: RunSpec) -> dict[str, Any]:
    return {
        "tempest_version": spec.tempest_version,
        "openstack_release": spec.openstack_release,
        "plugins": dict(spec.plugins),
        "testcases": spec.testcases.to_json() if spec.testcases else None,
    }


def _runs() -> Any:
    run, attempt = queue_tables.run, queue_tables.attempt
    joined = (
        run.join(legacy_tables.test, legacy_tables.test.c.id == run.c.test_id)
        .outerjoin(legacy_tables.cloud, legacy_tables.cloud.c.id == legacy_tables.test.c.cloud_id)
        .join(attempt, and_(attempt.c.test_id == run.c.test_id, attempt.c.attempt == run.c.attempt))
    )
    columns = [column for column in run.c if column.name != "sealed_conf"]
    return select(*columns, attempt.c.progress, *_CLOUD).select_from(joined)


_THE_RUN = _runs().where(queue_tables.run.c.test_id == bindparam("of_test"))


def _one_run(connection: Connection, test_id: int) -> Run:
    row = connection.execute(_THE_RUN, {"of_test": test_id}).mappings().first()
    if row is None:
        raise no_run(test_id)
    return _run(row)


def _conditions(query: RunQuery) -> list[Any]:
    run = queue_tables.run
    found: list[Any] = []
    if query.states:
        found.append(run.c.state.in_([state.value for state in query.states]))
    if query.owner_id is not None:
        found.append(run.c.owner_id == query.owner_id)
    if query.viewer is not None:
        found.append(seen_by(query.viewer))
    if query.cloud_id is not None:
        found.append(legacy_tables.test.c.cloud_id == query.cloud_id)
    if query.tempest_version:
        found.append(run.c.tempest_version == query.tempest_version)
    if query.worker:
        found.append(run.c.worker == query.worker)
    if query.text:
        found.append(_has_text(query.text.lower()))
    if query.before:
        found.append(run.c.test_id < query.before)
    return found


def _has_text(wanted: str) -> Any:
    """Return the condition of a search. Clouds are asked for by themselves: joined, every run would be first."""
    run, test, cloud = queue_tables.run, legacy_tables.test, legacy_tables.cloud
    there = test.join(cloud, cloud.c.id == test.c.cloud_id)
    clouds = select(test.c.id).select_from(there).where(func.lower(cloud.c.label).contains(wanted, autoescape=True))
    own = (func.lower(column).contains(wanted, autoescape=True) for column in (run.c.label, run.c.created_by))
    return or_(*own, run.c.test_id.in_(clouds))


def attempts_question() -> Any:
    """Return the query of attempts together with the state of their runs."""
    run, attempt = queue_tables.run, queue_tables.attempt
    joined = attempt.join(run, run.c.test_id == attempt.c.test_id)
    return (
        select(attempt, run.c.state.label("run_state"), run.c.attempt.label("current"))
        .select_from(joined)
        .order_by(attempt.c.test_id, attempt.c.attempt)
    )


def attempt_of(row: Row) -> Attempt:
    """Return the attempt in a row of :func:`attempts_question`."""
    return Attempt(
        key=AttemptKey(row["test_id"], row["attempt"]),
        is_current=row["attempt"] == row["current"],
        run_state=RunState(row["run_state"]),
        contested=row["contested_at"] > 0,
        **{
            name: row[name]
            for name in (
                "created_at",
                "submitted_at",
                "claimed_at",
                "heartbeat_at",
                "ended_at",
                "server",
                "handle",
                "worker",
                "outcome",
                "note",
            )
        },
    )


def spec_of(row: Row) -> RunSpec:
    """Return what a row of ``queue_run`` asks for."""
    testcases = Testcases.from_json(json.loads(row["testcases"])) if row["testcases"] else None
    names = ("tempest_version", "openstack_release", "concurrency", "timeout", "tag", "priority")
    return RunSpec(plugins=json.loads(row["plugins"]), testcases=testcases, **{name: row[name] for name in names})


def _run(row: Row) -> Run:
    names = (
        "test_id",
        "attempt",
        "created_at",
        "updated_at",
        "started_at",
        "ended_at",
        "cancel_asked_at",
        "reason",
        "message",
        "label",
        "created_by",
        "owner_id",
        "worker",
        "rerun_of",
        "revision",
    )
    return Run(
        state=RunState(row["state"]),
        spec=spec_of(row),
        cloud=_cloud(row),
        progress=Progress.from_json(json.loads(row["progress"] or "{}")),
        counts=Counts(row["passed"], row["failed"], row["skipped"]),
        **{name: row[name] for name in names},
    )


def _cloud(row: Row) -> Cloud:
    values: Mapping[str, Any] = {column.name: row[f"cloud_{column.name}"] for column in legacy_tables.cloud.c}
    return Cloud(**{name: value for name, value in values.items() if value is not None})


def _seconds(timestamp: Any) -> float:
    return float(timestamp.replace(tzinfo=timezone.utc).timestamp()) if timestamp else 0.0
