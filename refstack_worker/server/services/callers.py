"""Who asks, and what their token lets them do."""

from __future__ import annotations

from dataclasses import dataclass

from refstack_worker.contract.scopes import OPERATOR, READ
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.ledger.transactions import refused


@dataclass(frozen=True)
class Caller:
    """The owner of a valid API token."""

    token: Token

    @property
    def is_operator(self) -> bool:
        return OPERATOR in self.token.scopes

    @property
    def is_read_only(self) -> bool:
        return READ in self.token.scopes

    @property
    def name(self) -> str:
        return self.token.name

    def need_writer(self) -> None:
        """Raise :class:`RefusedError` if the token is read-only."""
        if self.is_read_only:
            raise refused("scope", "You're signed in with a read-only token.")

    def need_operator(self) -> None:
        """Raise :class:`RefusedError` unless the caller is an operator."""
        if not self.is_operator:
            raise refused("scope", "this needs a token with the scope 'operator'")
