"""What proves that a caller acts for an attempt: the secret that came with the job, and the mark of the claim on it.

The secret is in the job, so every node that takes the job from the queue has it; if gearmand hands it out twice, two
nodes do. Only one of them has the id of the claim that the server granted, and sends its mark with the secret from then
on. The id itself stays with the worker: the run, which gets the proof to post its result, cannot release the attempt in
the worker's name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

_SEPARATOR = "."
"""In no secret and no mark: both are base64url."""


def mark(claim_id: str) -> str:
    """Return the mark of a claim: SHA-256 of its id as base64url."""
    digest = hashlib.sha256(b"refstack claim " + claim_id.encode("utf-8")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def join(secret: str, claim_id: str) -> str:
    """Return the bearer token of the holder of this claim."""
    return f"{secret}{_SEPARATOR}{mark(claim_id)}"


def split(token: str) -> tuple[str, str]:
    """Return the secret and the mark in a bearer token; an empty mark where there is none."""
    secret, _, given = token.partition(_SEPARATOR)
    return secret, given


def is_marked(given: str, claim_id: str) -> bool:
    """Return whether a mark is the one of this claim, in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), mark(claim_id).encode("ascii"))
