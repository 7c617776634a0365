"""Checks what users send against a JSON schema, and says for each field what is wrong with it."""

from __future__ import annotations

import difflib
import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, validators

from refstack_worker.errors import RefstackError, UsageError
from refstack_worker.server.services.inputs.schema import Json

MAX_ERRORS = 20
MAX_FOUND = 5 * MAX_ERRORS
"""Errors that are looked for: a long list may have one for each entry."""
_FORMATS = FormatChecker(formats=())
# no text can be split into its parts in two ways: users name the fields, and all the ways would be tried
_PREFIX = re.compile(r"([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_-]+|: [a-z][a-z0-9_]*)*): (.+)\Z", re.DOTALL)
_KINDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
          "array": "a list", "object": "an object", "null": "null"}  # fmt: skip


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field."""

    field: str
    """Its path, such as ``testcases.regexes``."""
    message: str
    """Continues a sentence that begins with the field: ``must be a whole number``."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidInput(UsageError):
    """Input with fields that cannot be accepted."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


def invalid(field: str, message: str) -> InvalidInput:
    """Return the error for one field."""
    return InvalidInput(FieldError(field, message))


def field_errors(error: RefstackError) -> tuple[FieldError, ...]:
    """Return which fields an error is about; one of the ledger or contract names its field before a colon."""
    if isinstance(error, InvalidInput):
        return error.errors
    found = _PREFIX.match(str(error).removeprefix("payload: "))
    return (FieldError(found[1].replace(": ", "."), found[2]),) if found else ()


def check(schema: Json, value: Any, where: str = "") -> None:
    """Raise :class:`InvalidInput` unless a value fits a schema.

    :param where: path of the value itself; empty for a whole body.
    """
    first = itertools.islice(_validator(json.dumps(schema)).iter_errors(value), MAX_FOUND)
    found = [error for one in first for error in _explain(one, where)]
    if found:
        raise InvalidInput(*sorted(found, key=lambda error: error.field)[:MAX_ERRORS])


@_FORMATS.checks("printable")  # type: ignore[untyped-decorator,unused-ignore]
def _is_printable(value: object) -> bool:
    return not isinstance(value, str) or value.isprintable()


def _is_integer(_checker: Any, value: object) -> bool:
    # jsonschema takes 1.0 for one
    return isinstance(value, int) and not isinstance(value, bool)


@functools.lru_cache(maxsize=200)
def _validator(schema: str) -> Any:
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    return validators.extend(Draft202012Validator, type_checker=types)(json.loads(schema), format_checker=_FORMATS)


def _explain(error: Any, where: str) -> Iterator[FieldError]:
    path = ".".join([*([where] if where else []), *(str(part) for part in error.absolute_path)])
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield FieldError(_below(path, name), "is required")
    elif error.validator == "additionalProperties":
        for name in sorted(map(str, set(error.instance) - set(error.schema.get("properties", ()))))[:5]:
            yield FieldError(_below(path, name[:40]), _unknown(name, error.schema))
    else:
        yield FieldError(path, _message(error))


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unknown(name: str, schema: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(schema.get("properties", ())), 1)
    return "unknown field" + (f"; did you mean {near[0]}?" if near else "")


def _message(error: Any) -> str:
    schema, rule, limit = error.schema, error.validator, error.validator_value
    if rule in ("type", "minimum", "maximum", "exclusiveMinimum"):
        return f"must be {_kind(schema)}"
    if rule == "enum":
        return f"must be one of: {', '.join(map(str, limit))}"
    if rule in ("maxLength", "maxItems", "maxProperties"):
        return f"is too long: at most {limit} {'characters' if rule == 'maxLength' else 'entries'}"
    if rule in ("minLength", "minItems", "minProperties"):
        return "must not be empty"
    if rule == "format":
        return "must be printable text on one line"
    return str(schema.get("x-expected", "has an invalid format"))


def _kind(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type", [])
    words = " or ".join(_KINDS[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")
    least, most, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if above is not None and most is not None:
        return f"{words} above {above} and at most {most}"
    return f"{words} from {least} to {most}" if least is not None and most is not None else words
