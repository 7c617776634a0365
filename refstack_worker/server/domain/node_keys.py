"""The keys of single nodes. Times are seconds since 1970 (UTC); 0 means "not yet"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeKey:
    """A key that a node enrolled."""

    id: str
    node: str
    public: str
    """base64."""
    enrolled_at: float
    replaced_at: float = 0.0
    """The node has a newer one: nothing is sealed to this one any more."""
    revoked_at: float = 0.0
    """Nothing is sealed to it, and messages signed with it are refused."""
    revoked_by: str = ""
    """Empty if ``revoked_at`` is when the node first used the key that replaced this one."""

    @property
    def state(self) -> str:
        if self.revoked_at and self.revoked_by:
            return "revoked"
        return "replaced" if self.replaced_at else "active"


@dataclass(frozen=True)
class NewToken:
    """An enrolment token that was just made; only its digest is kept."""

    text: str
    node: str
    expires_at: float
