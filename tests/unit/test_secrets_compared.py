"""Secrets are compared in constant time: ``==`` tells by its duration how much of a guess was right."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "refstack_worker"
SECRET = re.compile(
    r"secret|token|password|passwd|bearer|proof|signature|hmac|csrf|nonce|credential|cookie", re.IGNORECASE
)
IDENTIFIER = re.compile(r"(_id|_at|_file|_bytes)\Z", re.IGNORECASE)


def names(node: ast.expr) -> Iterator[str]:
    """Yield what an operand is: its last name, and for a call the names of what goes in."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Subscript):
        yield from (*names(node.value), *names(node.slice))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") != "len":
        for part in (node.func, *node.args):
            yield from names(part)


def is_column(node: ast.expr) -> bool:
    """Return whether an operand is a column: the database finds digests, and no duration tells anything of those."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "c"


def is_secret(name: str) -> bool:
    return bool(SECRET.search(name)) and not IDENTIFIER.search(name)


def is_fixed(node: ast.expr) -> bool:
    """Return whether an operand is written in the code: comparing with that tells nothing that is not known."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Tuple) and all(map(is_fixed, node.elts)))


def compared(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
            operands = [node.left, *node.comparators]
            if any(is_fixed(part) or is_column(part) for part in operands):
                continue
            if any(is_secret(name) for part in operands for name in names(part)):
                yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_secret_is_compared_with_equals(path: Path) -> None:
    assert list(compared(ast.parse(path.read_text()))) == []


def test_it_would_be_noticed() -> None:
    found = [line for line, _ in compared(ast.parse("a = given == self.token\nb = secret != x.y\nc = token == ''\n"))]
    assert found == [1, 2]
