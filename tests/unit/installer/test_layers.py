"""Imports inside the installer run one way."""

from __future__ import annotations

import ast

from tests.support.node_machine import INSTALLER

PACKAGE = INSTALLER / "refstack_install"
LAYERS = (
    ("errors", "package_names", "toml"),
    ("files", "openpgp", "system"),
    ("answers", "hosts"),
    ("step",),
    ("journal", "reporter"),
    ("bundle",),
    ("packages",),
    ("steps",),
    ("engine",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def test_every_import_is_of_a_lower_layer_or_the_own_folder() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for used in _imported(ast.parse(path.read_text())):
            if used != own and RANK[used] >= RANK[own]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {used}")
    assert wrong == []


def _imported(tree: ast.Module) -> set[str]:
    """Return the folders and modules of the installer that a module imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "refstack_install":
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("refstack_install."):
            names.add(str(node.module).split(".")[1])
    return names
