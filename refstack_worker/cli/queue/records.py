"""Records of the API as the commands print them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Columns = tuple[Sequence[str], Sequence[Any]]
Rows = tuple[Sequence[str], Iterable[Sequence[Any]]]


def plain_columns(record: dict[str, Any]) -> Columns:
    """Return the names and values of a record, without those that are lists or objects."""
    plain = {name: value for name, value in record.items() if not isinstance(value, (dict, list))}
    return tuple(plain), tuple(plain.values())
