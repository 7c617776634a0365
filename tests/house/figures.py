"""Figures of the package's structure: what is large, crowded, or named twice."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_MODULES = 15
MAX_SIBLINGS = 2
"""Modules of one folder whose names begin with the same word; three are a folder."""
MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 50
MAX_THIN_WORDS = 4
"""Words of a docstring that most likely repeats the name."""
LIMIT_NAME = re.compile(r"_?(MOST|LONGEST|LARGEST)_\w+\Z")
"""Names of upper limits that are to begin with ``MAX_``."""

Function = (ast.FunctionDef, ast.AsyncFunctionDef)
Documented = (*Function, ast.ClassDef, ast.Module)


@dataclass(frozen=True)
class Finding:
    """A place that counts in a figure."""

    place: str
    """``file:line``, a file, or a folder."""
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass(frozen=True)
class Module:
    """A parsed module of the package."""

    name: str
    """Path below the checkout."""
    text: str
    tree: ast.Module

    @property
    def folder(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def stem(self) -> str:
        return self.name.rpartition("/")[2].removesuffix(".py")


def read_modules(top: Path, package: str = "refstack_worker") -> list[Module]:
    """Return the modules of a package, sorted; empty ``__init__.py`` files are left out."""
    found = []
    for path in sorted((top / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name != "__init__.py" or text.strip():
            found.append(Module(str(path.relative_to(top)), text, ast.parse(text)))
    return found


def by_folder(modules: list[Module]) -> Mapping[str, list[Module]]:
    folders: dict[str, list[Module]] = defaultdict(list)
    for module in modules:
        folders[module.folder].append(module)
    return dict(sorted(folders.items()))


def crowded_folders(modules: list[Module]) -> list[Finding]:
    return [
        Finding(folder, f"{len(inside)} modules")
        for folder, inside in by_folder(modules).items()
        if len(inside) > MAX_MODULES
    ]


def sibling_groups(modules: list[Module]) -> list[Finding]:
    """Return groups of modules in one folder whose names begin with the same word."""
    found = []
    for folder, inside in by_folder(modules).items():
        groups: dict[str, list[str]] = defaultdict(list)
        for module in inside:
            groups[module.stem.split("_")[0]].append(module.stem)
        large = {word: names for word, names in groups.items() if word and len(names) > MAX_SIBLINGS}
        found += [Finding(folder, f"{word}: {', '.join(names)}") for word, names in sorted(large.items())]
    return found


def repeated_classes(modules: list[Module]) -> list[Finding]:
    places: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{module.name}:{node.lineno}")
    repeated = {name: where for name, where in places.items() if len(where) > 1}
    return [Finding(where[0], f"{name}: also {', '.join(where[1:])}") for name, where in sorted(repeated.items())]


def long_modules(modules: list[Module]) -> list[Finding]:
    sizes = ((module, len(module.text.splitlines())) for module in modules)
    return [Finding(module.name, f"{size} lines") for module, size in sizes if size > MAX_MODULE_LINES]


def long_functions(modules: list[Module]) -> list[Finding]:
    found = []
    for module in modules:
        for node in ast.walk(module.tree):
            size = (node.end_lineno or node.lineno) - node.lineno + 1 if isinstance(node, Function) else 0
            if isinstance(node, Function) and size > MAX_FUNCTION_LINES:
                found.append(Finding(f"{module.name}:{node.lineno}", f"{node.name}: {size} lines"))
    return found


def thin_docstrings(modules: list[Module]) -> list[Finding]:
    """Return docstrings of modules, classes and functions that say next to nothing."""
    return [
        Finding(f"{module.name}:{line}", f'{name}: """{text}"""')
        for module in modules
        for name, line, text in docstrings(module)
        if len(text.split()) <= MAX_THIN_WORDS
    ]


def docstrings(module: Module) -> Iterator[tuple[str, int, str]]:
    """Yield the name, line and docstring of everything in a module that has one."""
    for node in ast.walk(module.tree):
        if isinstance(node, Documented):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "name", module.stem), node.body[0].lineno, text


def odd_limits(modules: list[Module]) -> list[Finding]:
    """Return where a name of an upper limit does not begin with ``MAX_``; each name counts once in a module."""
    found = []
    for module in modules:
        lines: dict[str, int] = {}
        for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
            if token.type == tokenize.NAME and LIMIT_NAME.match(token.string):
                lines.setdefault(token.string, token.start[0])
        found += [Finding(f"{module.name}:{line}", name) for name, line in lines.items()]
    return found
