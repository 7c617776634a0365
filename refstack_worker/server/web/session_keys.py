"""What a browser's session consists of: its cookie, and the key that its forms carry."""

from __future__ import annotations

import hashlib

COOKIE = "refstack_session"


def form_key(secret: str) -> str:
    """Return the key that the forms of a session carry."""
    return hashlib.sha256(f"form {secret}".encode()).hexdigest()
