"""API tokens that people make for themselves: never with more rights, or for longer, than the token that they use."""

from __future__ import annotations

from dataclasses import dataclass

from refstack_worker.contract.scopes import OPERATOR, READ, SCOPES, VENDOR
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import invalid


@dataclass(frozen=True)
class WantedToken:
    """A request for a new token."""

    name: str
    scope: str = VENDOR
    user_id: int | None = None
    """Owner; heeded only if an operator asks."""
    seconds: int = 0
    """After which it expires; 0: with the token that asks."""


def own_tokens(ledger: Ledger, caller: Caller) -> list[Token]:
    """Return the tokens that a caller may revoke: their user's, and for operators all."""
    user_id = caller.token.user_id
    found = ledger.tokens.all()
    if caller.is_operator:
        return list(found)
    return [token for token in found if user_id is not None and token.user_id == user_id]


def create_own(ledger: Ledger, caller: Caller, wanted: WantedToken) -> tuple[Token, str]:
    """Make a token, and return it with its secret. :raises InvalidInput: it would have more rights than the caller."""
    scopes, user_id = _rights(caller, wanted)
    expires = ledger.clock() + wanted.seconds if wanted.seconds else 0.0
    if caller.token.is_session:
        # who signed in elsewhere may have tokens of their own, which outlive the browser's session
        return ledger.tokens.add(wanted.name, scopes, user_id, expires)
    own_end = caller.token.expires_at
    if not caller.is_operator and own_end:
        expires = min(expires or own_end, own_end)
    return ledger.tokens.add(wanted.name, scopes, user_id, expires, caller.token.id)


def revoke_own(ledger: Ledger, caller: Caller, token_id: int) -> None:
    """Revoke a token of the caller's for good. :raises NotFoundError: there is none with this id."""
    if token_id not in {token.id for token in own_tokens(ledger, caller)}:
        raise NotFoundError(f"there is no token {token_id}")
    ledger.tokens.revoke(token_id)


def _rights(caller: Caller, wanted: WantedToken) -> tuple[list[str], int | None]:
    if wanted.scope not in SCOPES or (wanted.scope == OPERATOR and not caller.is_operator):
        raise invalid("scope", "You can't create operator tokens.")
    user_id = wanted.user_id if caller.is_operator else caller.token.user_id
    if caller.is_operator and user_id is None and wanted.scope == VENDOR:
        raise invalid("user_id", "Choose an owner for this token.")
    return ([VENDOR, READ] if wanted.scope == READ and user_id is not None else [wanted.scope]), user_id
