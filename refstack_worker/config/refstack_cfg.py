"""RefStack's own settings file, ``refstack.cfg``: lines ``NAME = literal``.

The file belongs to RefStack: it was once executed as Python. Here it is parsed, never executed; names that are not ours
are left alone, and so are lines of theirs whose value is more than a literal.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import ConfigError

MAX_BYTES = 1024 * 1024


def read(path: Path, ours: frozenset[str]) -> Mapping[str, Any]:
    """Return those settings of a file whose names are in ``ours``.

    :raises ConfigError: the file cannot be read or parsed, or one of ours is not a literal; the message names the line.
    """
    try:
        data = read_limited(path, MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name the file with --config or REFSTACK_CFG") from error
    return parse(data, str(path), ours)


def parse(data: bytes, where: str, ours: frozenset[str]) -> Mapping[str, Any]:
    """Return the settings in the bytes of a file; see :func:`read`."""
    try:
        tree = ast.parse(data, filename=where)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        why = ", not indented" if isinstance(error, IndentationError) else ""
        raise ConfigError(f"{where}{f':{line}' if line else ''}: expected a line 'NAME = value'{why}") from None
    found: dict[str, Any] = {}
    for node in tree.body:
        for name, value in _assigned(node):
            if name in ours:
                found[name] = _literal(value, name, where)
    return found


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
