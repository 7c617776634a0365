"""Which user signs in with an identity of an OpenID Connect provider."""

from __future__ import annotations

from refstack_worker.contract.scopes import OPERATOR, VENDOR
from refstack_worker.errors import StateError
from refstack_worker.server.domain.accounts import Token, User
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.services.openid import Identity


def token_of(ledger: Ledger, identity: Identity, invitation: str = "") -> Token:
    """Return the token for the session of a user who signed in.

    Users are known by issuer and subject. The first time they come with an invitation of an operator, or with a
    verified e-mail address that exactly one user has.

    :raises RefusedError: ``sign-in``: no user has that identity, or the user may not sign in.
    """
    user = _user(ledger, identity, invitation)
    if not user.authorized:
        raise refused("sign-in", "Your account is disabled. Ask your RefStack operator.")
    scope = OPERATOR if user.is_operator else VENDOR
    return ledger.tokens.add_session(f"{user.name or user.email or user.id} (browser)", [scope], user.id)


def _user(ledger: Ledger, identity: Identity, invitation: str) -> User:
    known = ledger.identities.user_id(identity.issuer, identity.subject)
    try:
        if known is None and invitation:
            known = ledger.identities.accept(invitation, identity.issuer, identity.subject)
        if known is None and identity.email:
            known = ledger.identities.bind_by_email(identity.issuer, identity.subject, identity.email)
    except StateError as error:
        raise refused("sign-in", f"You can't sign in: {error}.") from error
    if known is None:
        who = f" for {identity.email}" if identity.email else ""
        raise refused("sign-in", f"There is no account{who} here. Ask your RefStack operator for an invitation.")
    return ledger.accounts.user(known)
