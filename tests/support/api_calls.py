"""What tests of the API send: a request for a run, and tokens."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from refstack_worker.errors import QueueError
from refstack_worker.server.domain.attempts import Submission
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.client import Sealed
from tests.support.ledgers import CONF

UUID = "00000000-0000-0000-0000-000000000001"
WISH = {"tempest_version": "47.0.0", "conf_json": CONF, "testcases": {"names": ["tempest.api.object_storage"]}}


class Queue:
    """Notes when it is called."""

    def __init__(self) -> None:
        self.told = threading.Event()

    def seal(self, one: Submission) -> Sealed:
        raise QueueError("this queue leaves the run to the monitor")

    def submit_sealed(self, ledger: Ledger, ready: Sequence[Sealed]) -> int:
        return 0

    def submit_pending(self, ledger: Ledger, test_id: int | None = None) -> int:
        return 0

    def withdraw(self, ledger: Ledger) -> None:
        self.told.set()


def token(ledger: Ledger, name: str = "op", scope: str = "operator", user_id: int | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {ledger.tokens.add(name, [scope], user_id)[1]}"}
