"""Strict JSON: what one side may read as something else than the other is refused."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from refstack_worker.errors import PayloadError

MAX_DEPTH = 16
"""Levels of nesting; everything that travels here has at most five."""
MAX_VALUES = 200_000
"""Values of one text: each takes up to 300 bytes of memory, so that nine megabytes of ``{}`` take half a gigabyte."""


def loads(text: str, what: str, most: int = MAX_VALUES) -> Any:
    """Parse JSON, refusing duplicate keys, NaN, infinities and what would become one, lone surrogates and deep nesting.

    :param what: how messages call the text, such as ``payload``.
    :param most: values that are read; a text with more is refused before it is parsed.
    :raises PayloadError: it is not such JSON.
    """
    if values_in(text) > most:
        raise PayloadError(f"{what}: more than {most} values")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)
        text.encode("utf-8")
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise PayloadError(f"{what}: nested too deeply") from None
    except (ValueError, UnicodeError) as error:
        raise PayloadError(f"{what}: not JSON: {error}") from None
    _check_depth(value, what)
    return value


def values_in(text: str) -> int:
    """Return how many values a JSON text has at most, without parsing it."""
    return 1 + sum(map(text.count, ",[{"))


def dumps(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} is given twice")
        found[key] = value
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        # 1e999 is JSON, but the infinity that Python makes of it cannot be written as JSON again
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _check_depth(value: Any, what: str) -> None:
    todo = [(value, 1)]
    while todo:
        item, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise PayloadError(f"{what}: nested more than {MAX_DEPTH} levels deep")
        if isinstance(item, dict):
            todo.extend((inner, depth + 1) for inner in item.values())
        elif isinstance(item, list):
            todo.extend((inner, depth + 1) for inner in item)
