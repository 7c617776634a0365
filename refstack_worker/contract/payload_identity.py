"""What names an attempt, read from a payload whose other content this software cannot read."""

from __future__ import annotations

from refstack_worker.contract import strict_json
from refstack_worker.contract.payload import MAX_BYTES, SCHEMA, Payload, check_callback
from refstack_worker.errors import PayloadError

IDENTITY = ("test_id", "attempt", "callback", "secret")
"""The properties that name an attempt and prove the right to report on it."""


def read_identity(data: bytes) -> Payload:
    """Return a payload with only these properties, from bytes that :meth:`Payload.from_bytes` may refuse.

    It is enough to claim the attempt and to report why this node cannot carry it out.

    :raises PayloadError: not even that can be read.
    """
    from jsonschema import Draft7Validator  # imported here for the reason given in payload.py

    properties = {name: SCHEMA["properties"][name] for name in IDENTITY}
    try:
        value = strict_json.loads(data[:MAX_BYTES].decode("utf-8"), "payload")
        identity = {name: value[name] for name in IDENTITY}
    except (UnicodeDecodeError, KeyError, TypeError):
        raise PayloadError("payload: it does not name an attempt") from None
    if not Draft7Validator({"properties": properties}).is_valid(identity):
        raise PayloadError("payload: it does not name an attempt")
    check_callback(identity["callback"])
    return Payload(**identity, conf_json={}, submitted_at="")
