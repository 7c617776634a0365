"""Makes one readable Python file of a module and everything of its package that it imports.

The modules stand in the file one after the other, in the order of their imports, in one namespace. So each module
imports names (``from package.module import name``), and no two modules define the same public name; anything else is an
error. A private name (``_name``) that an earlier module has too gets the module's name before it. The same modules give
the same bytes. Standard library alone.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SHEBANG = "#!/usr/bin/env python3"
_RULE = "=" * 20
_LINE_LENGTH = 120


class OneFileError(Exception):
    """The modules cannot be put into one file."""


@dataclass(frozen=True)
class _Module:
    name: str
    source: str
    tree: ast.Module

    @classmethod
    def load(cls, root: Path, name: str) -> _Module:
        path = root.joinpath(*name.split(".")).with_suffix(".py")
        try:
            source = path.read_text(encoding="utf-8")
        except OSError as error:
            raise OneFileError(f"{name}: {error}; import names from modules, not modules from packages") from error
        return cls(name, source, ast.parse(source, str(path)))

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    def is_internal(self, node: ast.stmt) -> bool:
        """Return whether a statement imports from the same package."""
        if isinstance(node, ast.ImportFrom):
            return bool(node.level) or (node.module or "").partition(".")[0] == self.package
        return isinstance(node, ast.Import) and any(
            alias.name.partition(".")[0] == self.package for alias in node.names
        )

    def dependencies(self) -> list[str]:
        """Return the modules of the package that this one imports from."""
        return sorted({self._imported(node) for node in ast.walk(self.tree) if isinstance(node, ast.stmt)
                       and self.is_internal(node)})  # fmt: skip

    def _imported(self, node: ast.stmt) -> str:
        plain = isinstance(node, ast.ImportFrom) and not node.level and not any(each.asname for each in node.names)
        if not plain or node not in self.tree.body:
            raise OneFileError(f"{self.name}:{node.lineno}: only 'from {self.package}.module import name', at the top")
        assert isinstance(node, ast.ImportFrom)  # noqa: S101 - for the type checker
        return node.module or ""

    def external_imports(self) -> Iterator[str]:
        """Yield what it imports from elsewhere, one statement for each name."""
        for node in self.tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not self.is_internal(node):
                start = f"from {node.module} import" if isinstance(node, ast.ImportFrom) else "import"
                for alias in node.names:
                    yield f"{start} {alias.name}" + (f" as {alias.asname}" if alias.asname else "")

    def defined(self) -> set[str]:
        """Return the names that it defines."""
        return _defined(self.tree.body)

    def privately_imported(self) -> set[str]:
        """Return the private names that it imports from its package."""
        names = {alias.name for node in self.tree.body if isinstance(node, ast.ImportFrom) and self.is_internal(node)
                 for alias in node.names}  # fmt: skip
        return {name for name in names if _is_private(name)}

    def renamed(self, name: str) -> _Module:
        """Return the module with another name in place of one of its own.

        :raises OneFileError: that would change more than the name.
        """
        new = f"_{self.name.rpartition('.')[2]}{name}"
        source = re.sub(rf"(?<![\w.\"']){name}(?![\w\"'])", new, self.source)
        tree = ast.parse(source)
        if ast.dump(_Restored(new, name).visit(ast.parse(source))) != ast.dump(self.tree):
            raise OneFileError(f"{self.name}: {name} cannot be renamed without changing more; rename it by hand")
        return _Module(self.name, source, tree)

    def body(self, is_entry: bool) -> str:
        """Return the source without imports; if it is the entry, also without docstring but with the call of main."""
        lines = self.source.splitlines()
        kept = [True] * len(lines)
        for node in self.tree.body:
            if self._is_left_out(node, is_entry):
                end = node.end_lineno or node.lineno
                while end < len(lines) and not lines[end]:
                    end += 1
                kept[node.lineno - 1 : end] = [False] * (end - node.lineno + 1)
        return "\n".join(line for line, is_kept in zip(lines, kept) if is_kept).strip("\n")

    def _is_left_out(self, node: ast.stmt, is_entry: bool) -> bool:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return True
        is_docstring = node is self.tree.body[0] and ast.get_docstring(self.tree) is not None
        return is_docstring if is_entry else _is_main_guard(node)


def one_file(root: Path, entry: str, shebang: str = SHEBANG) -> str:
    """Return the text of one file that does what ``python -m entry`` does.

    :param root: the folder that holds the package.
    :raises OneFileError: a module does not follow the rules above.
    """
    modules = _with_names_of_their_own(_in_order(root, entry))
    parts = [f'{shebang}\n"""{ast.get_docstring(modules[-1].tree, clean=False) or entry}"""']
    parts[0] += "\n\n# Made by tools/onefile: change the modules named below, not this file."
    parts[0] += "\n\nfrom __future__ import annotations\n\n" + "\n".join(_merged_imports(modules))
    for module in modules:
        path = module.name.replace(".", "/") + ".py"
        parts.append(f"# {_RULE} {path} {_RULE}\n\n{module.body(module.name == entry)}")
    return "\n\n\n".join(parts) + "\n"


def _merged_imports(modules: Iterable[_Module]) -> Iterator[str]:
    statements = {statement for module in modules for statement in module.external_imports()}
    names: dict[str, set[str]] = {}
    for statement in statements:
        start, _, name = statement.partition("import ")
        names.setdefault(start, set()).add(name)
    names.pop("from __future__ ", None)
    for name in sorted(names.pop("", ())):
        yield f"import {name}"
    for start in sorted(names):
        line = f"{start}import {', '.join(sorted(names[start]))}"
        listed = "".join(f"    {name},\n" for name in sorted(names[start]))
        yield line if len(line) <= _LINE_LENGTH else f"{start}import (\n{listed})"


def _in_order(root: Path, entry: str) -> list[_Module]:
    """Return the entry and all that it needs, each after what it needs itself."""
    done: dict[str, _Module] = {}
    under_way: list[str] = []

    def add(name: str) -> None:
        if name in under_way:
            raise OneFileError(f"imports run in a circle: {' → '.join([*under_way, name])}")
        if name not in done:
            under_way.append(name)
            module = _Module.load(root, name)
            for dependency in module.dependencies():
                add(dependency)
            under_way.pop()
            done[name] = module

    add(entry)
    return list(done.values())


def _with_names_of_their_own(modules: Iterable[_Module]) -> list[_Module]:
    """Return the modules such that every name means one thing in all of them, and none hides a built-in one."""
    meanings = {name: "Python itself" for name in dir(builtins) if not name.startswith("__")}
    done = []
    for module in modules:
        if module.privately_imported():
            raise OneFileError(f"{module.name}: imports a private name: {', '.join(module.privately_imported())}")
        for name in sorted(filter(_is_private, module.defined() & meanings.keys())):
            module = module.renamed(name)
        bound = {statement.rpartition(" ")[2].partition(".")[0]: statement for statement in module.external_imports()}
        bound.update({name: module.name for name in module.defined()})
        for name, meaning in sorted(bound.items()):
            if meanings.setdefault(name, meaning) != meaning:
                raise OneFileError(f"{module.name}: {name} is also a name of {meanings[name]}; rename one of them")
        done.append(module)
    return done


class _Restored(ast.NodeTransformer):
    """Puts the old name back wherever the new one is a name of the module, or stands in a text."""

    def __init__(self, new: str, old: str) -> None:
        self._new, self._old = new, old

    def visit_Name(self, node: ast.Name) -> ast.AST:  # noqa: N802 - the library's name
        node.id = self._old if node.id == self._new else node.id
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:  # noqa: N802
        node.name = self._old if node.name == self._new else node.name
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:  # noqa: N802
        # what a class defines is reached through the class, where the name did not change
        if self._new not in _defined(node.body):
            self.generic_visit(node)
            node.name = self._old if node.name == self._new else node.name
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:  # noqa: N802
        if isinstance(node.value, str):
            node.value = node.value.replace(self._new, self._old)
        return node


def _defined(body: Iterable[ast.stmt]) -> set[str]:
    """Return the names that the statements of a module or class define."""
    names = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= set(_stored(node))
    return names


def _stored(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement binds, but for the variables of comprehensions and functions."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    if not isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)):
        for child in ast.iter_child_nodes(node):
            yield from _stored(child)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in {each.id for each in ast.walk(node.test)
                                                        if isinstance(each, ast.Name)}  # fmt: skip
