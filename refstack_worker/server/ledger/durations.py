"""How long tests took in the last runs: on the same cloud, and else on any."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.db.shard_tables import is_no_shard
from refstack_worker.server.domain.attempts import Proof
from refstack_worker.server.ledger.transactions import LedgerPart, check_claim, refused

MAX_ROWS = 10_000
RUNS = 3
"""Runs that are looked at, of the same cloud and of all."""
_TEST, _RESULT, _ROWS = legacy_tables.test, queue_tables.result, queue_tables.result_test


class Durations(LedgerPart):
    def of_attempt(self, proof: Proof, claim_id: str) -> dict[str, float]:
        """Return the seconds of tests in the last runs, by name; those on the attempt's own cloud count first.

        :raises RefusedError: the caller does not hold the attempt.
        """
        with self.database.reading() as connection:
            attempt = self.transactions.proven(connection, proof)
            check_claim(attempt, proof)
            if attempt["claim_id"] != claim_id:
                raise refused("claimed", "another worker has claimed this attempt")
            cloud = connection.execute(select(_TEST.c.cloud_id).where(_TEST.c.id == proof.test_id)).scalar()
            return _known(connection, cloud)

    def of_cloud(self, cloud: int | None) -> dict[str, float]:
        """Return the same for a cloud; None: of any."""
        with self.database.reading() as connection:
            return _known(connection, cloud)

    def of_one_test(self, cloud_id: int) -> float:
        """Return the average seconds of a test, as they ran side by side, in a cloud's last runs; 0.0: none ran."""
        question = select(func.sum(_RESULT.c.seconds), func.sum(_RESULT.c.passed + _RESULT.c.failed))
        with self.database.reading() as connection:
            runs = connection.execute(_last_results(cloud_id)).scalars().all()
            seconds, tests = connection.execute(question.where(_RESULT.c.test_id.in_(runs or (-1,)))).one()
        return float(seconds or 0.0) / tests if tests else 0.0


def _known(connection: Connection, cloud: int | None) -> dict[str, float]:
    durations = _seconds(connection, _last_results(None))
    if cloud is not None:
        durations.update(_seconds(connection, _last_results(cloud)))
    return durations


def _last_results(cloud: int | None) -> Any:
    question = select(_RESULT.c.test_id).where(is_no_shard(_RESULT.c.test_id))
    question = question.order_by(_RESULT.c.test_id.desc()).limit(RUNS)
    if cloud is None:
        return question
    return question.join(_TEST, _TEST.c.id == _RESULT.c.test_id).where(_TEST.c.cloud_id == cloud)


def _seconds(connection: Connection, results: Any) -> dict[str, float]:
    """Return the seconds of the tests that passed in some results; the newest count."""
    runs = [row[0] for row in connection.execute(results)]
    question = select(_ROWS.c.name, _ROWS.c.seconds).where(_ROWS.c.test_id.in_(runs), _ROWS.c.status == "passed")
    newest = question.order_by(_ROWS.c.test_id.desc(), _ROWS.c.position).limit(MAX_ROWS)
    durations: dict[str, float] = {}
    for name, seconds in connection.execute(newest):
        durations.setdefault(name, float(seconds))
    return durations
