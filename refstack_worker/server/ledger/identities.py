"""Who users are at an OpenID Connect provider, and the invitations with which they sign in first."""

from __future__ import annotations

import secrets

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from refstack_worker.errors import NotFoundError, StateError
from refstack_worker.server.db.account_tables import identity, invitation
from refstack_worker.server.db.legacy_tables import user
from refstack_worker.server.domain.accounts import Invitation
from refstack_worker.server.ledger.accounts import has_address
from refstack_worker.server.ledger.tokens import digest
from refstack_worker.server.ledger.transactions import LedgerPart

INVITATION_SECONDS = 7 * 86400.0
"""For which an invitation works."""


class Identities(LedgerPart):
    """A user has at most one identity at each issuer; an identity belongs to one user."""

    def user_id(self, issuer: str, subject: str) -> int | None:
        """Return the user with an identity; None: no user has it."""
        question = select(identity.c.user_id).where(identity.c.issuer == issuer, identity.c.subject == subject)
        with self.database.reading() as connection:
            found: int | None = connection.execute(question).scalar()
        return found

    def bind_by_email(self, issuer: str, subject: str, email: str) -> int | None:
        """Give an identity to the one user with a verified e-mail address; None: there is no such user.

        :raises StateError: that user has another identity there.
        """
        question = select(user.c.id).where(has_address(email.strip()))
        with self.database.writing() as connection:
            found = connection.execute(question).scalars().all()
            if len(found) != 1:
                return None
            self._bind(connection, issuer, subject, found[0])
            return int(found[0])

    def invite(self, user_id: int) -> Invitation:
        """Make an invitation; its secret is returned only now. :raises NotFoundError: there is no such user."""
        secret, now = secrets.token_urlsafe(32), self.clock()
        until = now + INVITATION_SECONDS
        row = {"digest": digest(secret), "user_id": user_id, "created_at": now, "expires_at": until}
        with self.database.writing() as connection:
            if connection.execute(select(user.c.id).where(user.c.id == user_id)).scalar() is None:
                raise NotFoundError(f"there is no user {user_id}")
            connection.execute(delete(invitation).where(invitation.c.expires_at <= now))
            connection.execute(insert(invitation).values(row))
        return Invitation(secret, user_id, until)

    def invited(self, secret: str) -> int | None:
        """Return the user whom an invitation is for; None: it is unknown, used or too old."""
        question = select(invitation.c.user_id).where(
            invitation.c.digest == digest(secret), invitation.c.expires_at > self.clock()
        )
        with self.database.reading() as connection:
            found: int | None = connection.execute(question).scalar()
        return found

    def accept(self, secret: str, issuer: str, subject: str) -> int | None:
        """Use up an invitation: its user has this identity from now on. None: it is unknown, used or too old.

        :raises StateError: that user has another identity there, or the identity belongs to another user.
        """
        same = invitation.c.digest == digest(secret)
        with self.database.writing() as connection:
            question = select(invitation.c.user_id).where(same, invitation.c.expires_at > self.clock())
            user_id = connection.execute(question).scalar()
            if user_id is None or connection.execute(delete(invitation).where(same)).rowcount == 0:
                return None
            self._bind(connection, issuer, subject, user_id)
        return int(user_id)

    def forget(self, user_id: int) -> None:
        """Remove a user's identities and invitations: the next sign-in begins with a new invitation."""
        with self.database.writing() as connection:
            for table in (identity, invitation):
                connection.execute(delete(table).where(table.c.user_id == user_id))

    def _bind(self, connection: Connection, issuer: str, subject: str, user_id: int) -> None:
        question = select(identity.c.subject).where(identity.c.issuer == issuer, identity.c.user_id == user_id)
        known = connection.execute(question).scalar()
        if known == subject:
            return
        if known is not None:
            raise StateError("this user signs in with another identity of that provider")
        row = {"issuer": issuer, "subject": subject, "user_id": user_id, "created_at": self.clock()}
        try:
            connection.execute(insert(identity).values(row))
        except IntegrityError:
            raise StateError("that identity belongs to another user") from None
