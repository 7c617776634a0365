"""Tokens of the API: found by their secret, until they expire or are revoked."""

from __future__ import annotations

import pytest

from refstack_worker.errors import NotFoundError
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock


def test_token_is_found_until_it_expires_or_is_revoked(ledger: Ledger, clock: Clock) -> None:
    token, secret = ledger.tokens.add("ci", ["operator", "operator"], expires_at=clock() + 100)
    assert token.scopes == ("operator",) and secret.startswith("rsq_")
    found = ledger.tokens.find(secret)
    assert found is not None and found.id == token.id
    assert ledger.tokens.all()[0].last_used_at == clock()
    assert ledger.tokens.find(secret + "x") is None and ledger.tokens.find("") is None
    clock.forward(101)
    assert ledger.tokens.find(secret) is None
    _other, secret = ledger.tokens.add("vendor", ["vendor"])
    ledger.tokens.revoke(2)
    assert ledger.tokens.find(secret) is None
    with pytest.raises(NotFoundError):
        ledger.tokens.revoke(9)
