"""The maskers of attempts: what workers write is masked before it is stored, also after the passwords were wiped.

The secrets of an attempt are kept sealed with the attempt's own secret, of which the server keeps only the digest. So
from the end of a run on, only its worker can read them, which shows that secret with every call: what it still
has to say, about its clean-up of the cloud, is masked as everything before.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from refstack_worker.contract.secrets import Masker, secret_values
from refstack_worker.errors import SealError
from refstack_worker.server import secret_store
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import AttemptKey, Proof, Submission
from refstack_worker.server.secret_store import SecretStore

MAX_KEPT = 4096
"""Maskers that are kept: to make one costs a query."""
MAX_CHARACTERS = 500_000
"""Limit for all secrets whose maskers are kept; a masker may take some dozen bytes for each."""
WITHHELD = "(message withheld: the secrets of this run cannot be decrypted, so it cannot be masked)"

_ATTEMPT, _RUN = queue_tables.attempt, queue_tables.run
_SEALED = (
    select(_ATTEMPT.c.sealed_secrets, _RUN.c.sealed_conf)
    .select_from(_ATTEMPT.join(_RUN, _RUN.c.test_id == _ATTEMPT.c.test_id))
    .where(_ATTEMPT.c.test_id == bindparam("of_test"), _ATTEMPT.c.attempt == bindparam("of_attempt"))
)
Row = Any


def sealed_secrets(submission: Submission) -> str:
    """Return the secrets of a run's options as its attempt's row keeps them."""
    return secret_store.seal_for(submission.secret, sorted(secret_values(submission.conf_json)))


class Maskers:
    """Makes and keeps maskers; threads share it."""

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets
        self._lock = threading.Lock()
        self._kept: OrderedDict[AttemptKey, tuple[Masker, int]] = OrderedDict()
        self._characters = 0

    def of_row(self, attempt: Row, sealed_conf: str | None, proof: Proof) -> Masker | None:
        """Return the masker of an attempt whose secret the caller has proven; None: the secrets cannot be read."""
        key = AttemptKey(attempt["test_id"], attempt["attempt"])
        return self.kept(key) or self._made(key, attempt["sealed_secrets"], sealed_conf, proof)

    def of(self, connection: Connection, proof: Proof) -> Masker | None:
        """Return the masker of the attempt that a caller names; None also when that is not its secret."""
        key = AttemptKey(proof.test_id, proof.attempt or 0)
        row = connection.execute(_SEALED, {"of_test": key.test_id, "of_attempt": key.attempt}).mappings().first()
        return self._made(key, row["sealed_secrets"], row["sealed_conf"], proof) if row else None

    def kept(self, key: AttemptKey) -> Masker | None:
        with self._lock:
            found = self._kept.get(key)
            return found[0] if found else None

    def forget(self) -> None:
        """Forget all maskers, as another process has none."""
        with self._lock:
            self._kept.clear()
            self._characters = 0

    def _made(self, key: AttemptKey, sealed: str | None, sealed_conf: str | None, proof: Proof) -> Masker | None:
        try:
            if sealed:
                values = set(secret_store.open_with(proof.secret, sealed))
            elif sealed_conf:
                values = secret_values(self._secrets.open(sealed_conf))
            else:
                return None
        except SealError:
            return None
        return self._keep(key, Masker(values), sum(map(len, values)))

    def _keep(self, key: AttemptKey, masker: Masker, characters: int) -> Masker:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = (masker, characters)
                self._characters += characters
            while len(self._kept) > MAX_KEPT or self._characters > MAX_CHARACTERS:
                self._characters -= self._kept.popitem(last=False)[1][1]
        return masker
