"""How long tests took in the last runs: on the same cloud, else on any of the same vendor, else on other vendors'.

What others ran is theirs: only Tempest's own tests are taken from it, no name that could be a product's, and nothing
that was imported, which may say anything.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.engine import Connection

from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.db.shard_tables import is_no_shard
from refstack_worker.server.domain.attempts import Proof
from refstack_worker.server.domain.runs import IMPORTED
from refstack_worker.server.ledger.transactions import LedgerPart, check_claim, refused

MAX_ROWS = 10_000
RUNS = 3
"""Runs that are looked at, of the same cloud and of the same vendor."""
RUNS_OF_OTHERS = 200
"""The newest runs, among which the last one of each other vendor is looked for."""
VENDORS = 5
"""Other vendors whose last run is looked at."""
MAX_SECONDS = 1200.0
"""More is not believed of a test of others: it would decide alone how tests are divided."""
IsTempests = Callable[[str], bool]
"""Whether a name is that of one of Tempest's own tests."""
_TEST, _RESULT, _ROWS = legacy_tables.test, queue_tables.result, queue_tables.result_test
_RUN, _USER = queue_tables.run, legacy_tables.user


def _none(_name: str) -> bool:
    return False


class Durations(LedgerPart):
    def of_attempt(self, proof: Proof, claim_id: str, is_tempests: IsTempests = _none) -> dict[str, float]:
        """Return the seconds of tests in the last runs, by name; those on the attempt's own cloud count first.

        :param is_tempests: which names may come from runs of other vendors.
        :raises RefusedError: the caller does not hold the attempt.
        """
        with self.database.reading() as connection:
            attempt = self.transactions.proven(connection, proof)
            check_claim(attempt, proof)
            if attempt["claim_id"] != claim_id:
                raise refused("claimed", "another worker has claimed this attempt")
            cloud = connection.execute(select(_TEST.c.cloud_id).where(_TEST.c.id == proof.test_id)).scalar()
            owner = connection.execute(select(_RUN.c.owner_id).where(_RUN.c.test_id == proof.test_id)).scalar()
            return _known(connection, cloud, owner, is_tempests)

    def of_cloud(
        self, cloud: int | None, owner: int | None = None, is_tempests: IsTempests = _none
    ) -> dict[str, float]:
        """Return the same for a run of an owner (None: the operators') on a cloud; None: on none that is saved."""
        with self.database.reading() as connection:
            return _known(connection, cloud, owner, is_tempests)

    def of_one_test(self, cloud_id: int) -> float:
        """Return the average seconds of a test, as they ran side by side, in a cloud's last runs; 0.0: none ran."""
        question = select(func.sum(_RESULT.c.seconds), func.sum(_RESULT.c.passed + _RESULT.c.failed))
        with self.database.reading() as connection:
            runs = connection.execute(_of_cloud(cloud_id)).scalars().all()
            seconds, tests = connection.execute(question.where(_RESULT.c.test_id.in_(runs or (-1,)))).one()
        return float(seconds or 0.0) / tests if tests else 0.0


def _known(connection: Connection, cloud: int | None, owner: int | None, is_tempests: IsTempests) -> dict[str, float]:
    own = _owners(connection, owner)
    durations = _of_others(connection, own, is_tempests)
    durations.update(_seconds(connection, _last_results().where(_is_of(own))))
    if cloud is not None:
        durations.update(_seconds(connection, _of_cloud(cloud)))
    return durations


def _owners(connection: Connection, owner: int | None) -> list[int]:
    """Return the users of an owner's vendor, with the owner; none: runs of operators have no owner."""
    if owner is None:
        return []
    vendor = connection.execute(select(_USER.c.vendor_id).where(_USER.c.id == owner)).scalar()
    same = select(_USER.c.id).where(_USER.c.vendor_id == vendor)
    return [owner, *(connection.execute(same).scalars() if vendor is not None else ())]


def _is_of(owners: list[int]) -> Any:
    return _RUN.c.owner_id.in_(owners) if owners else _RUN.c.owner_id.is_(None)


def _last_results() -> Any:
    question = select(_RESULT.c.test_id).join(_RUN, _RUN.c.test_id == _RESULT.c.test_id)
    return question.where(is_no_shard(_RESULT.c.test_id)).order_by(_RESULT.c.test_id.desc()).limit(RUNS)


def _of_cloud(cloud: int) -> Any:
    return _last_results().join(_TEST, _TEST.c.id == _RESULT.c.test_id).where(_TEST.c.cloud_id == cloud)


def _of_others(connection: Connection, own: list[int], is_tempests: IsTempests) -> dict[str, float]:
    """Return the seconds of Tempest's tests in the last run of each other vendor: of several the median."""
    is_other = or_(_RUN.c.owner_id.is_(None), _RUN.c.owner_id.not_in(own)) if own else _RUN.c.owner_id.is_not(None)
    question = _last_results().outerjoin(_USER, _USER.c.id == _RUN.c.owner_id).where(is_other, _RUN.c.kind != IMPORTED)
    newest: dict[tuple[int | None, int | None], int] = {}
    rows = connection.execute(question.add_columns(_USER.c.vendor_id, _RUN.c.owner_id).limit(RUNS_OF_OTHERS))
    for test_id, vendor, owner in rows:
        newest.setdefault((vendor, None if vendor is not None else owner), test_id)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for test_id in list(newest.values())[:VENDORS]:
        for name, seconds in _seconds(
            connection, select(_RESULT.c.test_id).where(_RESULT.c.test_id == test_id)
        ).items():
            if is_tempests(name):
                found[name].append(min(max(seconds, 0.0), MAX_SECONDS))
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _seconds(connection: Connection, results: Any) -> dict[str, float]:
    """Return the seconds of the tests that passed in some results; the newest count."""
    runs = [row[0] for row in connection.execute(results)]
    question = select(_ROWS.c.name, _ROWS.c.seconds).where(_ROWS.c.test_id.in_(runs), _ROWS.c.status == "passed")
    newest = question.order_by(_ROWS.c.test_id.desc(), _ROWS.c.position).limit(MAX_ROWS)
    durations: dict[str, float] = {}
    for name, seconds in connection.execute(newest):
        durations.setdefault(name, float(seconds))
    return durations
