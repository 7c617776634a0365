"""Short ways to write JSON schemas: for what users send, and for what the API answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_worker.contract.scopes import SCOPES

Json = dict[str, Any]

MAX_ID = 2**31 - 1

MAIL_ADDRESS = r'[^@\s<>",;]{1,64}@[A-Za-z0-9.-]{1,190}'
"""An e-mail address to which every mail server can send: a domain with other letters is written as ``xn--…``."""


def string(longest: int = 0, pattern: str = "", **more: Any) -> Json:
    """Return the schema of a text; with a length limit also of a printable one."""
    limits = {"maxLength": longest, "format": "printable"} if longest else {}
    return {"type": "string", **limits, **({"pattern": pattern} if pattern else {}), **more}


def name_text(longest: int, **more: Any) -> Json:
    """Return the schema of the name of something, which lists and links show: more than blanks, and none around it."""
    trouble = {"x-expected": "must be a name without blanks around it"}
    return string(longest, r"^$|^\S(.*\S)?$", minLength=1, **trouble, **more)


def mail_text(longest: int, **more: Any) -> Json:
    """Return the schema of an e-mail address; empty: none."""
    trouble = {"x-expected": "must be an e-mail address such as ann@cloud.example"}
    return string(longest, rf"^$|^{MAIL_ADDRESS}$", **trouble, **more)


def integer(least: int | None = None, most: int | None = None, **more: Any) -> Json:
    """Return the schema of a whole number."""
    bounds = {"minimum": least, "maximum": most}
    return {"type": "integer", **{name: value for name, value in bounds.items() if value is not None}, **more}


def array(items: Json, **more: Any) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **more}


def choice(*values: Any, **more: Any) -> Json:
    """Return the schema of one of these texts."""
    return {"type": "string", "enum": list(values), **more}


def shape(**properties: Json) -> Json:
    """Return the schema of an object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def fields(*needed: str, **properties: Json) -> Json:
    """Return the schema of an object that is sent: ``needed`` of these, and nothing else."""
    schema: Json = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**schema, "required": list(needed)} if needed else schema


def maybe(schema: Json) -> Json:
    """Return the schema of something that may also be null."""
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return {**schema, "type": [*kinds, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


ID = integer(1, MAX_ID)
FLAG: Json = {"type": "boolean"}
NUMBER: Json = {"type": "number"}
OBJECT: Json = {"type": "object"}
TIME = maybe({"type": "string", "format": "date-time"})
CONF: Json = {
    "type": "object",
    "description": "Tempest options: section, option, value; passwords too. Erased after the run.",
    "additionalProperties": {"type": "object"},
    "examples": [{"identity": {"password": "…"}}],  # noqa: S105 - an example
}
SCOPE = choice(*SCOPES)
EXPIRY: Json = {
    "days": integer(0, 3650, description="Expires after so many days; 0: never, or with the token that creates it"),
    "expires_in": integer(60, 3650 * 86400, description="Seconds, instead of days"),
}
"""Fields that say when a token expires."""


def seconds_until_expiry(body: Mapping[str, Any]) -> int:
    """Return after how many seconds a token expires; 0: as late as possible.

    :param body: with the fields of :data:`EXPIRY`.
    """
    return int(body.get("expires_in", 0)) or int(body.get("days", 0)) * 86400


def expiry_field(body: Mapping[str, Any]) -> str:
    """Return the field of :data:`EXPIRY` that counts."""
    return "expires_in" if body.get("expires_in") else "days"
