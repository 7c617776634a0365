"""API tokens that people make for themselves: never with more rights, or for longer, than the token that they use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from refstack_worker.contract.scopes import OPERATOR, READ, SCOPES, VENDOR
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import invalid

MAX_OF_USER = 100
"""Good tokens that a user may have; operators may have, and make, any number."""
KEPT_ENDED = 100
"""Tokens of a user that have ended and stay in the list."""


@dataclass(frozen=True)
class WantedToken:
    """A request for a new token."""

    name: str
    scope: str = VENDOR
    user_id: int | None = None
    """Owner; heeded only if an operator asks."""
    seconds: int = 0
    """After which it expires; 0: as late as possible."""
    expiry_field: str = "days"
    """The field that says so."""


def own_tokens(ledger: Ledger, caller: Caller) -> list[Token]:
    """Return the tokens that a caller may revoke: their user's, and for operators all."""
    user_id = caller.token.user_id
    if caller.is_operator:
        return ledger.tokens.all()
    return ledger.tokens.of_user(user_id) if user_id is not None else []


def create_own(ledger: Ledger, caller: Caller, wanted: WantedToken) -> tuple[Token, str]:
    """Make a token, and return it with its secret.

    :raises InvalidInput: it would have more rights than the caller, or outlive the caller's token; or its user has as
        many as a user may have.
    """
    scopes, user_id = _rights(caller, wanted)
    expires = expiry_of_new(ledger, caller, wanted.seconds, wanted.expiry_field)
    if not caller.is_operator:
        _check_number(ledger, user_id)
        ledger.tokens.forget_ended(user_id, KEPT_ENDED)
    # a token of a session that began elsewhere is not revoked with it
    parent_id = None if caller.token.is_session else caller.token.id
    return ledger.tokens.add(wanted.name, scopes, user_id, expires, parent_id)


def last_expiry(caller: Caller) -> float:
    """Return when a caller's new tokens expire at the latest; 0: they need not expire.

    That is when the caller's own token does, also an operator's: it would otherwise be replaced by one that lives on.
    Users who signed in elsewhere can have tokens that outlive the browser's session.
    """
    return 0.0 if caller.token.is_session else caller.token.expires_at


def expiry_of_new(ledger: Ledger, caller: Caller, seconds: int, field: str) -> float:
    """Return when a new token of this caller expires; 0: never.

    :param seconds: what was asked for; 0: as late as possible.
    :param field: the one that says so.
    :raises InvalidInput: it would outlive the caller's own token.
    """
    last = last_expiry(caller)
    expires = ledger.clock() + seconds if seconds else last
    if last and expires > last:
        end = datetime.fromtimestamp(last, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        raise invalid(
            field,
            f"Your own token expires at {end}, and a new one can't outlive it. Choose an earlier time, or none: the "
            "new token then expires with yours.",
        )
    return expires


def revoke_own(ledger: Ledger, caller: Caller, token_id: int) -> None:
    """Revoke a token of the caller's for good. :raises NotFoundError: there is none with this id."""
    if token_id not in {token.id for token in own_tokens(ledger, caller)}:
        raise NotFoundError(f"there is no token {token_id}")
    ledger.tokens.revoke(token_id)


def _check_number(ledger: Ledger, user_id: int | None) -> None:
    now = ledger.clock()
    good = [
        token
        for token in ledger.tokens.of_user(user_id)
        if not (token.is_session or OPERATOR in token.scopes or token.revoked_at or 0 < token.expires_at <= now)
    ]
    if len(good) >= MAX_OF_USER:
        raise invalid("name", f"You have {len(good)} tokens. Revoke one first.")


def _rights(caller: Caller, wanted: WantedToken) -> tuple[list[str], int | None]:
    if wanted.scope not in SCOPES or (wanted.scope == OPERATOR and not caller.is_operator):
        raise invalid("scope", "You can't create operator tokens.")
    user_id = wanted.user_id if caller.is_operator else caller.token.user_id
    if caller.is_operator and user_id is None and wanted.scope == VENDOR:
        raise invalid("user_id", "Choose an owner for this token.")
    return ([VENDOR, READ] if wanted.scope == READ and user_id is not None else [wanted.scope]), user_id
