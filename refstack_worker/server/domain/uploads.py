"""Uploads of results to RefStack, and the keys that they are signed with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class UploadRecord:
    """A result at a RefStack server."""

    test_id: int
    server: str
    remote_id: str = ""
    """Empty: the upload is under way, or no answer says whether the result arrived."""
    url: str = ""
    key_digest: str = ""
    """SHA-256 of the public key."""
    uploaded_by: str = ""
    uploaded_at: float = 0.0
    """0: an upload that got no answer."""


@dataclass(frozen=True)
class StoredKey:
    pem: str = field(repr=False)
    public: str
    openid: str = ""
    """The user's OpenID at RefStack; with it guideline and target can be set there."""
