"""TOML settings files: a main file and the ``conf.d`` beside it, merged, with the line that each setting came from."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table = dict[str, Any]


def read(path: Path) -> tuple[Table, Mapping[str, str]]:
    """Return the merged settings of ``path`` and of ``conf.d/*.toml`` beside it (in the order of their names).

    :returns: the settings, and for each ``section.key`` the ``file:line`` it came from.
    :raises ConfigError: a file cannot be read or is not TOML.
    """
    merged: Table = {}
    origins: dict[str, str] = {}
    for file in [path, *_drop_ins(path.parent / "conf.d")]:
        text = _text(file)
        for section, values in _parse(file, text).items():
            if not isinstance(values, dict):
                raise ConfigError(f"{file}:{line_of(text, '', section)}: {section}: put settings below a [section]")
            table = merged.setdefault(section, {})
            if not values:
                origins[f"{section}."] = f"{file}:{_header_line(text, section)}"
            for key, value in values.items():
                table[key] = value
                origins[f"{section}.{key}"] = f"{file}:{line_of(text, section, key)}"
    return merged, origins


def _header_line(text: str, section: str) -> int:
    lines = enumerate(text.split("\n"), 1)
    return next((number for number, line in lines if re.match(rf"\s*\[+\s*[\"']?{re.escape(section)}\b", line)), 1)


def line_of(text: str, section: str, key: str) -> int:
    """Return the line number of a key in a section; 1 if unknown."""
    inside = not section
    for number, line in enumerate(text.split("\n"), 1):
        header = re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)
        if header:
            inside = header.group(1).strip("\"'") == section
        elif inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return number
    return _header_line(text, f"{section}.{key}" if section else key)


def _drop_ins(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.toml"))
    except OSError as error:  # the folder above it is closed to this user
        raise ConfigError(f"{folder}: {error.strerror}; run this as root or as the program's own user") from error


def _text(path: Path) -> str:
    try:
        return read_limited(path).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8") from None


def _parse(path: Path, text: str) -> Table:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from None
