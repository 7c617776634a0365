from __future__ import annotations

import pytest

from refstack_worker.contract import attempt_token
from refstack_worker.contract.payload import new_secret


def test_what_is_joined_comes_apart_and_is_the_claims_own() -> None:
    secret = new_secret()
    token = attempt_token.join(secret, "0123456789abcdef")
    found, mark = attempt_token.split(token)
    assert found == secret
    assert attempt_token.is_marked(mark, "0123456789abcdef") and not attempt_token.is_marked(mark, "0123456789abcdeF")


def test_a_secret_alone_has_no_mark() -> None:
    assert attempt_token.split("abc") == ("abc", "") and attempt_token.split("") == ("", "")
    assert not attempt_token.is_marked("", "") and not attempt_token.is_marked("", "claim")


def test_the_id_of_the_claim_is_not_in_the_token() -> None:
    """A run has the token; with the id it could hand back its attempt in the worker's name."""
    assert "claim-of-node-1" not in attempt_token.join("s", "claim-of-node-1")


@pytest.mark.parametrize("given", ["é", "\ud800", "a" * 100_000, ".", "a.b"])
def test_any_mark_is_answered(given: str) -> None:
    assert not attempt_token.is_marked(given, "claim")
