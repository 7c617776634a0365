"""A ledger with what its rules are checked against: results, ends, and what submitters hold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import select

from refstack_worker.contract.states import RunState
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import QueuedJob, Submission
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.secret_store import SecretStore
from tests.support.ledgers import CONF, Clock, Job, make_settings


class LedgerWorld(RuleBasedStateMachine):
    """What the machine of the model knows; it adds what may happen."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="refstack-model-"))
        self.clock = Clock()
        self.ledger = Ledger(make_settings(self.folder, QUEUE_TIMEOUT=5000, RELEASE_LIMIT=3), self.clock)
        self.results: dict[int, tuple[int, str]] = {}
        """Run to attempt and digest of the result that was accepted."""
        self.ends: dict[int, RunState] = {}
        self.uploads = 0
        self.taken: dict[str, list[Submission]] = {"api": [], "monitor": []}
        """What submitters have taken and not sealed yet."""
        self.foreign = SecretStore(make_settings(self.folder / "elsewhere").keys.store).seal(CONF)

    def rows(self) -> list[Any]:
        with self.ledger.database.reading() as connection:
            return list(connection.execute(select(queue_tables.run)).mappings().all())

    def seal(self, who: str) -> None:
        taken, self.taken[who] = self.taken[who], []
        mine = self.ledger.submissions.sealed([(one, "d" * 64) for one in taken])
        jobs = [QueuedJob(key, "gearman:4730", f"H:{who}", "f", self.clock()) for key in mine]
        self.ledger.submissions.submitted(jobs)

    def unsubmitted(self) -> set[tuple[int, int]]:
        """Attempts that wait for a submitter: what one has sealed is that one's to submit."""
        run, attempt = queue_tables.run, queue_tables.attempt
        joined = attempt.join(run, (run.c.test_id == attempt.c.test_id) & (run.c.attempt == attempt.c.attempt))
        question = select(attempt.c.test_id, attempt.c.attempt).select_from(joined)
        question = question.where(attempt.c.submitted_at == 0, attempt.c.payload_digest.is_(None), attempt.c.is_open)
        with self.ledger.database.reading() as connection:
            return {(row[0], row[1]) for row in connection.execute(question.where(run.c.state == "queued"))}

    def attempt(self, job: Job) -> Any:
        key = job.submission.key
        table = queue_tables.attempt
        question = select(table).where(table.c.test_id == key.test_id, table.c.attempt == key.attempt)
        with self.ledger.database.reading() as connection:
            return connection.execute(question).mappings().one()
