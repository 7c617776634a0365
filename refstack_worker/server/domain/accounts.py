"""Vendors, users, API tokens, browser sessions, and what each of them may see.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Vendor:
    """A firm with clouds; its users see the same runs."""

    id: int
    name: str
    contact_name: str = ""
    contact_email: str = ""


@dataclass(frozen=True)
class User:
    """A user who belongs to a vendor."""

    id: int
    name: str
    email: str = ""
    vendor_id: int | None = None
    authorized: bool = True
    """May sign in."""
    is_operator: bool = False
    """RefStack's ``su``: signs in as an operator."""


@dataclass(frozen=True)
class Token:
    """An API token; of its secret only the digest is kept."""

    id: int
    """0: it is not stored, but stands for a command on the server or a schedule."""
    name: str
    scopes: tuple[str, ...]
    user_id: int | None = None
    created_at: float = 0.0
    expires_at: float = 0.0
    revoked_at: float = 0.0
    last_used_at: float = 0.0
    is_session: bool = False
    """It represents a browser that signed in elsewhere; it has no usable secret."""

    @property
    def account(self) -> str:
        """What limits count for: all tokens of a user together, because users make tokens for themselves."""
        return f"token {self.id}" if self.user_id is None else f"user {self.user_id}"


@dataclass(frozen=True)
class Invitation:
    """With which a user signs in for the first time."""

    secret: str = field(repr=False)
    user_id: int
    expires_at: float


@dataclass(frozen=True)
class Session:
    """A browser that signed in."""

    token: Token
    expires_at: float


@dataclass(frozen=True)
class AccountStates:
    """What operators have decided about accounts."""

    users: Mapping[int, float]
    """Disabled users, and since when."""
    vendors: Mapping[int, float]
    """Disabled vendors, and since when."""
    limits: Mapping[int, int]
    """Vendors with their own limit of open runs; 0: no limit."""


@dataclass(frozen=True)
class AccessScope:
    """Which runs and clouds a caller can see."""

    owner_ids: tuple[int, ...]
    """Users: the caller and those of the same vendor."""
    vendor_id: int | None = None
    """Runs that are shared with this vendor are visible, too."""
