"""A token that makes others while it is being revoked."""

from __future__ import annotations

import threading

from refstack_worker.server.ledger import tokens
from refstack_worker.server.ledger.ledger import Ledger


def test_nothing_that_a_token_makes_outlives_its_revocation(ledger: Ledger, monkeypatch) -> None:
    """Security: the revocation comes in the midst of making it."""
    stolen, _ = ledger.tokens.add("ci", ["vendor"])
    ended, new_id = threading.Event(), tokens.new_id

    def revoke() -> None:
        ledger.tokens.revoke(stolen.id)
        ended.set()

    thread = threading.Thread(target=revoke)

    def slow(added: object) -> int:
        thread.start()
        ended.wait(1)
        return new_id(added)

    monkeypatch.setattr(tokens, "new_id", slow)
    _, secret = ledger.tokens.add("next", ["vendor"], parent_id=stolen.id)
    thread.join(20)
    assert ledger.tokens.find(secret) is None
