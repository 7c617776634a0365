"""Makes one readable Python file of a module and everything of its package that it imports.

The file holds each module as a text below a line with its path. A module is compiled when it is imported, so that a
start pays only for what it uses, and tracebacks show the lines of the file. The same modules give the same bytes.
Standard library alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SHEBANG = "#!/usr/bin/env python3"
_RULE = "=" * 20
_HEAD = '''\
{shebang}
"""{docstring}"""

# Made by tools/onefile: change the modules named below, not this file. Each of them stands here as a text, with the
# number of the line before it, and is compiled when it is imported.

import sys
from importlib.machinery import ModuleSpec

FILE = globals().get("__file__", "<stdin>")
PACKAGES = {packages}
MODULES = {{}}


class Importer:
    """Imports the packages and modules of this file, and is asked before any that are installed."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in PACKAGES or name in MODULES:
            return ModuleSpec(name, cls, origin=FILE, is_package=name in PACKAGES)
        return None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        module.__file__ = FILE
        if module.__name__ in MODULES:
            exec(code_of(module.__name__), module.__dict__)


def code_of(name):
    """Return a module's code, with line numbers of this file."""
    line, text = MODULES[name]
    return moved(compile(text, FILE, "exec", dont_inherit=True), line)


def moved(code, lines):
    nested = (moved(each, lines) if isinstance(each, type(code)) else each for each in code.co_consts)
    return code.replace(co_firstlineno=code.co_firstlineno + lines, co_consts=tuple(nested))


'''
_TAIL = """\
sys.meta_path.insert(0, Importer)
exec(code_of("{entry}"))
"""


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
        if "'''" in source:
            raise OneFileError(f"{name}: ''' would end the text that it becomes; use double quotes")
        return cls(name, source, ast.parse(source, str(path)))

    def dependencies(self) -> list[str]:
        """Return the modules of the same package that this one imports from.

        :raises OneFileError: it imports one in a form that does not say whether a name is a module.
        """
        return sorted({self._imported(node) for node in ast.walk(self.tree) if self._is_internal(node)})

    def _is_internal(self, node: ast.AST) -> bool:
        package = self.name.partition(".")[0]
        if isinstance(node, ast.ImportFrom):
            return bool(node.level) or (node.module or "").partition(".")[0] == package
        return isinstance(node, ast.Import) and any(alias.name.partition(".")[0] == package for alias in node.names)

    def _imported(self, node: ast.AST) -> str:
        if not isinstance(node, ast.ImportFrom) or node.level:
            line = getattr(node, "lineno", 0)
            raise OneFileError(f"{self.name}:{line}: write 'from {self.name.partition('.')[0]}.module import name'")
        return node.module or ""


def one_file(root: Path, entry: str, shebang: str = SHEBANG) -> str:
    """Return the text of one file that does what ``python -m entry`` does.

    :param root: the folder that holds the package.
    :raises OneFileError: a module does not follow the rules above.
    """
    modules = list(_in_order(root, entry))
    docstring = ast.get_docstring(modules[-1].tree, clean=False) or entry
    text = _HEAD.format(shebang=shebang, docstring=docstring, packages=_packages(modules))
    for module in modules:
        text += f"# {_RULE} {module.name.replace('.', '/')}.py {_RULE}\n\n"
        line = text.count("\n")
        text += f"MODULES[\"{module.name}\"] = {line}, r'''\n{module.source.rstrip()}\n'''\n\n\n"
    return text + _TAIL.format(entry=entry)


def _packages(modules: Iterable[_Module]) -> str:
    names = {name for module in modules for name in _parents(module.name)}
    return "{\n" + "".join(f'    "{name}",\n' for name in sorted(names)) + "}"


def _parents(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name


def _in_order(root: Path, entry: str) -> Iterable[_Module]:
    """Return the entry and all that it needs, each after what it needs itself.

    :raises OneFileError: imports run in a circle.
    """
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
    return done.values()
