"""How a node gets its own key: first with a token that works once, later with the key that it has.

The token names the server's signing key, so that a node that enrols believes no other server's key, whatever is in
between. Payloads are sealed to the keys of all nodes that are enrolled at that moment.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from nacl.public import PublicKey

from refstack_worker.contract.keys import SEAL_PUBLIC, SIGN_PUBLIC, key_id, parse_line, public_line
from refstack_worker.errors import KeyFileError, UsageError

PATH = "/worker/v1/nodes/{name}/key"
"""Where a node sends its new key: with a token as JSON, with its present key as a sealed node message."""

NOT_ITS_KEY = "key"
"""A server's reason for refusing a key that is not the node's, or no longer speaks for it."""

MAX_LIVE_KEYS = 10
"""Keys that a rotation leaves in a node's file: its own and the fleet's, to which runs that wait may be sealed."""

_TOKEN = re.compile(r"rse1\.([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")
_FILE = Path("enrolment")


@dataclass(frozen=True)
class EnrolmentToken:
    """A token that works once."""

    server_key: str
    """Id of the server's signing key."""
    secret: str

    @classmethod
    def new(cls, server_key: str) -> EnrolmentToken:
        return cls(server_key, secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str) -> EnrolmentToken:
        """Read a token. :raises UsageError: it is none; the message does not show it."""
        found = _TOKEN.fullmatch(text.strip())
        if found is None:
            raise UsageError("not an enrolment token; 'refstack-queue worker enrol NODE' makes one (rse1.…)")
        return cls(found[1], found[2])

    def __str__(self) -> str:
        return f"rse1.{self.server_key}.{self.secret}"


def read_public(line: str) -> bytes:
    """Return the public key that a node sends. :raises UsageError: it is none."""
    try:
        raw = parse_line(_FILE, 1, line, SEAL_PUBLIC)
        PublicKey(raw)
    except (KeyFileError, IndexError, TypeError) as error:
        raise UsageError(f"public: '{SEAL_PUBLIC} <base64>' is expected") from error
    return raw


def write_public(raw: bytes) -> str:
    """Return a public key as :func:`read_public` reads it."""
    return public_line(SEAL_PUBLIC, raw)


def server_keys(lines: object, expected: str) -> list[str]:
    """Return the lines of the server's public keys in its answer; the token's key has to be among them.

    :raises KeyFileError: it is not, or a line is not a key.
    """
    found = [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
    ids = {key_id(parse_line(_FILE, number, line, SIGN_PUBLIC)) for number, line in enumerate(found, 1)}
    if expected and expected not in ids:
        raise KeyFileError(
            f"the server's key {', '.join(sorted(ids)) or '(none)'} is not the one of the token ({expected}); "
            "check the address: another server answered"
        )
    return found
