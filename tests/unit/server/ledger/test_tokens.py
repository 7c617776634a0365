"""Tokens of the API: found by their secret, until they expire or are revoked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from refstack_worker.errors import NotFoundError, RefusedError
from refstack_worker.server.ledger import tokens
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


def test_a_token_that_ended_makes_no_other(ledger: Ledger, clock: Clock) -> None:
    """Security: another process believes it a second longer, and what it makes then would outlive the revocation."""
    stolen, _ = ledger.tokens.add("ci", ["vendor"])
    short, _ = ledger.tokens.add("short", ["vendor"], expires_at=clock() + 5)
    ledger.tokens.revoke(stolen.id)
    clock.forward(6)
    for parent in (stolen.id, short.id, 99):
        with pytest.raises(RefusedError) as no:
            ledger.tokens.add("next", ["vendor"], parent_id=parent)
        assert no.value.reason == "wrong-token"
    assert len(ledger.tokens.all()) == 2


@pytest.mark.parametrize(
    "remove",
    [lambda ledger, token_id: ledger.tokens.remove(token_id), lambda ledger, _: ledger.tokens.forget_ended(None, 0)],
    ids=["one", "all that ended"],
)
def test_what_a_removed_token_made_ends_with_the_one_above_it(
    ledger: Ledger, clock: Clock, remove: Callable[[Ledger, int], None]
) -> None:
    top, _ = ledger.tokens.add("top", ["operator"])
    middle, _ = ledger.tokens.add("middle", ["operator"], expires_at=clock() + 5, parent_id=top.id)
    _, secret = ledger.tokens.add("low", ["vendor"], parent_id=middle.id)
    clock.forward(6)
    remove(ledger, middle.id)
    other, _ = ledger.tokens.add("other", ["vendor"])
    ledger.tokens.revoke(other.id)
    assert ledger.tokens.find(secret) is not None
    ledger.tokens.revoke(top.id)
    assert ledger.tokens.find(secret) is None


class TestSessions:
    def test_a_token_has_so_many_browsers_and_the_first_is_signed_out(
        self, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "MAX_SESSIONS", 3, raising=False)
        mine, other = (ledger.tokens.add(name, ["vendor"])[0] for name in ("mine", "other"))
        theirs, secrets = ledger.sessions.add(other), []
        for _ in range(5):
            clock.forward(1)
            secrets.append(ledger.sessions.add(mine))
        assert [ledger.sessions.find(secret) is not None for secret in secrets] == [False, False, True, True, True]
        assert ledger.sessions.find(theirs) is not None
