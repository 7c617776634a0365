"""Reads and writes TOML: reading by tomllib (Python 3.11 and newer) or by the tomli that the build includes."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    try:
        import tomli as tomllib
    except ImportError:
        sys.exit("refstack-install: on Python 3.9 and 3.10 use the file that tools/onefile makes")

DecodeError = tomllib.TOMLDecodeError

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def loads(text: str) -> dict[str, Any]:
    """Return the tables of a TOML document. :raises DecodeError: the text is not TOML."""
    return tomllib.loads(text)


def dumps(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return sections of settings as sorted TOML: equal settings give equal bytes."""
    blocks = []
    for section in sorted(tables):
        lines = [f"{_key(key)} = {_value(value)}" for key, value in sorted(tables[section].items())]
        blocks.append("\n".join([f"[{_section(section)}]", *lines]))
    return "\n\n".join(blocks) + "\n"


def _section(name: str) -> str:
    return ".".join(map(_key, name.split(".")))


def _key(name: str) -> str:
    return name if _BARE.match(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"a settings file cannot hold a {type(value).__name__}")


def _text(value: str) -> str:
    return '"' + "".join(map(_character, value)) + '"'


def _character(c: str) -> str:
    printable = c >= " " and c != "\x7f"
    return _ESCAPES.get(c) or (c if printable else f"\\u{ord(c):04x}")
