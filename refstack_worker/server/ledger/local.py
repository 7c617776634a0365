"""The ledger, for a run that no queue carries: recorded and taken in one step, so that nobody else can take it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import update

from refstack_worker.contract import payload as payloads
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import Claim, Submission
from refstack_worker.server.domain.runs import NewRun
from refstack_worker.server.ledger.attempts import AttemptLedger
from refstack_worker.server.ledger.runs import RunLedger
from refstack_worker.server.ledger.transactions import is_attempt, key_of


class LocalLedger(RunLedger, AttemptLedger):
    """Runs of the method ``local``."""

    def add_held_run(self, new: NewRun, claim: Claim) -> Submission:
        """Record a run that the caller carries out itself; raises as :meth:`add_run` does."""
        self._check(new)
        sealed = self.vault.seal(new.conf_json)
        secret = payloads.new_secret()
        with self.database.writing() as connection:
            run = self._locked_run(connection, self._insert(connection, new, sealed))
            digest = {"secret_digest": payloads.secret_digest(secret)}
            connection.execute(update(queue_tables.attempt).where(is_attempt(key_of(run))).values(digest))
            self._grant(connection, run, claim)
        spec = replace(new.spec, timeout=run["timeout"])
        return Submission(key_of(run), spec, new.conf_json, secret)
