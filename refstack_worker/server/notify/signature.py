"""How messages of webhooks are signed: HMAC-SHA256 over id, time and body, as https://www.standardwebhooks.com says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from refstack_worker.errors import UsageError

PREFIX = "whsec_"
_BYTES = 32


def new_secret() -> str:
    """Return a random secret as receivers enter it: ``whsec_`` and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode("ascii")


def headers(secret: str, message_id: str, now: float, body: bytes) -> dict[str, str]:
    """Return the headers that prove who sent a message, and when. :raises UsageError: the secret cannot be used."""
    stamp = str(int(now))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{_signature(secret, message_id, stamp, body)}",
    }


def is_signed(secret: str, given: dict[str, str], body: bytes) -> bool:
    """Return whether a message has the signature of a secret; how old it may be, the receiver decides."""
    right = f"v1,{_signature(secret, given['webhook-id'], given['webhook-timestamp'], body)}"
    return any(hmac.compare_digest(right, one) for one in given["webhook-signature"].split())


def _signature(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise UsageError("the secret of this notification cannot be read; make a new one")
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
