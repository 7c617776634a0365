"""RefStack's own settings file, ``refstack.cfg``: lines ``NAME = literal``.

The file belongs to RefStack: it was once executed as Python. Here it is parsed, never executed; names that are not ours
are left alone, and so are lines of theirs whose value is more than a literal.
"""

from __future__ import annotations

import ast
import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import ConfigError

MAX_BYTES = 1024 * 1024


FILE = Path("/etc/refstack/refstack.cfg")
"""Read when neither ``--config`` nor ``REFSTACK_CFG`` names another."""
SIMILARITY = 0.85
"""Of a name to one of ours from which on it may be a typo."""


def file_of(path: Path | None) -> Path:
    """Return the settings file: ``path``, or what ``REFSTACK_CFG`` names, or :data:`FILE`."""
    return path or Path(os.environ.get("REFSTACK_CFG") or FILE)


def read(path: Path, ours: frozenset[str]) -> Mapping[str, Any]:
    """Return those settings of a file whose names are in ``ours``.

    :raises ConfigError: the file cannot be read or parsed, or one of ours is not a literal; the message names the line.
    """
    return parse(_bytes(path), str(path), ours)


def misspelt(path: Path, ours: frozenset[str]) -> list[str]:
    """Return a sentence for each name in a file that is not ours and looks like one of them.

    :raises ConfigError: the file cannot be read or parsed.
    """
    found = []
    for node in _tree(_bytes(path), str(path)).body:
        for name, _ in _assigned(node):
            near = () if name in ours else difflib.get_close_matches(name.upper(), ours, 1, SIMILARITY)
            found += [f"{path}:{node.lineno}: {name} is not a setting; did you mean {one}?" for one in near]
    return found


def _bytes(path: Path) -> bytes:
    try:
        return read_limited(path, MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name the file with --config or REFSTACK_CFG") from error


def parse(data: bytes, where: str, ours: frozenset[str]) -> Mapping[str, Any]:
    """Return the settings in the bytes of a file; see :func:`read`."""
    found: dict[str, Any] = {}
    for node in _tree(data, where).body:
        for name, value in _assigned(node):
            if name in ours:
                found[name] = _literal(value, name, where)
    return found


def _tree(data: bytes, where: str) -> ast.Module:
    try:
        return ast.parse(data, filename=where)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        why = ", not indented" if isinstance(error, IndentationError) else ""
        raise ConfigError(f"{where}{f':{line}' if line else ''}: expected a line 'NAME = value'{why}") from None


def _assigned(node: ast.stmt) -> list[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        return [(target.id, node.value) for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return [(node.target.id, node.value)]
    return []


def _literal(value: ast.expr, name: str, where: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, RecursionError, MemoryError, SyntaxError):
        raise ConfigError(
            f"{where}:{value.lineno}: {name}: write a plain value (text in quotes, a number, True, False, a list); "
            "this file is read, not executed"
        ) from None
