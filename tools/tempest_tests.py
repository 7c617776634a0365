"""Write what the server knows of Tempest's tests: ``python -m tools.tempest_tests FILE…``.

For each version it reads the source, which has to be at hand as a wheel or as a zip file called ``tempest-VERSION.zip``
(``git archive --format=zip -o tempest-46.3.0.zip 46.3.0 tempest``): which tests it has, with which ids and attributes,
which accounts each test class asks for, and which classes must not run beside others. Nothing of Tempest is executed.
From the repository (``--git``) it takes the first version that has each of the commits that guideline files name.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import Version

from refstack_worker import process
from refstack_worker.builder.locks.releases import TABLE
from refstack_worker.environments.lock import tomllib
from refstack_worker.process import Options

DATA = Path(__file__).resolve().parents[1] / "refstack_worker/server/services/tempest_tests.json"
_TESTS = re.compile(r"tempest/(api|scenario|serial_tests)/.*test_[^/]*\.py")
_RELEASE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_ROOTS = {"TestCase", "BaseTestCase"}
_MAX_DEPTH = 20
"""Of base classes."""


@dataclass
class _Class:
    """A class of Tempest's source."""

    bases: list[tuple[str, str]]
    """Module and name of each."""
    credentials: list[str] | None
    """What the class asks for; None: it does not say."""
    tests: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Method to idempotent id and attributes, such as ``smoke``."""
    is_serial: bool = False
    """Whether it runs alone, beside no other class."""
    locks: frozenset[str] = frozenset()
    """What it shares with other classes that wait for one another."""


Classes = Mapping[tuple[str, str], _Class]


@dataclass(frozen=True)
class Listed:
    """A test of one version."""

    owner: str
    """The class, in full."""
    method: str
    uuid: str
    credentials: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    is_serial: bool = False
    locks: frozenset[str] = frozenset()


def tests_of(path: Path) -> Iterator[Listed]:
    """Yield the tests of the version in a wheel or zip file."""
    known: dict[tuple[str, str], _Class] = {}
    modules: dict[str, list[str]] = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith("tempest/") and name.endswith(".py") and not name.startswith("tempest/tests/"):
                module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                found = _classes(ast.parse(archive.read(name)), module)
                known.update({(module, one): about for one, about in found.items()})
                if _TESTS.fullmatch(name):
                    modules[module] = list(found)
    for module, names in modules.items():
        for name in names:
            yield from _listed((module, name), known)


def _listed(key: tuple[str, str], known: Classes) -> Iterator[Listed]:
    line = list(_line(key, known))
    if not any(name in _ROOTS for _, name in line):
        return
    tests: dict[str, tuple[str, tuple[str, ...]]] = {}
    for one in reversed(line):
        tests.update(known[one].tests if one in known else {})
    here = [known[one] for one in line if one in known]
    asked = next((one.credentials for one in here if one.credentials is not None), None)
    is_serial, locks = any(one.is_serial for one in here), frozenset().union(*(one.locks for one in here))
    for method, (uuid, attributes) in sorted(tests.items()):
        yield Listed(".".join(key), method, uuid, tuple(asked or ()), attributes, is_serial, locks)


def _line(key: tuple[str, str], known: Classes, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield a class and its bases, the nearest first."""
    yield key
    if key in known and depth < _MAX_DEPTH:
        for base in known[key].bases:
            yield from _line(base, known, depth + 1)


def _classes(tree: ast.Module, module: str) -> dict[str, _Class]:
    imported = dict(_imports(tree))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [base for one in node.bases if (base := _base(one, module, imported))]
            is_serial = any(ast.unparse(one).endswith("decorators.serial") for one in node.decorator_list)
            found[node.name] = _Class(
                bases, _credentials(node), dict(_methods(node)), is_serial, frozenset(_locks(node))
            )
    return found


def _locks(node: ast.ClassDef) -> Iterator[str]:
    """Yield the names of the locks that a class takes: its tests wait for those of other classes that take them."""
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and ast.unparse(one.func).endswith("LockFixture") and one.args:
            yield str(ast.literal_eval(one.args[0]))


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that a module imports, and what each means."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((one.asname or one.name, one.name) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((one.asname or one.name, f"{node.module}.{one.name}") for one in node.names)


def _base(node: ast.expr, module: str, imported: Mapping[str, str]) -> tuple[str, str] | None:
    text = ast.unparse(node)
    owner, _, name = text.rpartition(".")
    if owner:
        return imported.get(owner, owner), name
    owner, _, name = imported.get(text, f"{module}.{text}").rpartition(".")
    return owner, name


def _methods(node: ast.ClassDef) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name.startswith("test"):
            calls = [one for one in item.decorator_list if isinstance(one, ast.Call)]
            uuid = next((str(ast.literal_eval(one.args[0])) for one in calls
                         if ast.unparse(one.func).endswith("idempotent_id")), "")  # fmt: skip
            yield item.name, (uuid, tuple(sorted(set(_attributes(calls)))))


def _attributes(calls: Sequence[ast.Call]) -> Iterator[str]:
    """Yield what stands beside a test's id in its full name: its kinds and the services that it uses."""
    for call in calls:
        name = ast.unparse(call.func)
        if name.endswith("utils.services"):
            yield from (str(ast.literal_eval(one)) for one in call.args)
        elif name.endswith("decorators.attr"):
            for one in call.keywords:
                value = ast.literal_eval(one.value) if one.arg == "type" else ()
                yield from (value,) if isinstance(value, str) else value


def _credentials(node: ast.ClassDef) -> list[str] | None:
    for item in node.body:
        if isinstance(item, ast.Assign) and [ast.unparse(one) for one in item.targets] == ["credentials"]:
            return [_credential(one) for one in item.value.elts] if isinstance(item.value, ast.List) else None
    return None


def _credential(node: ast.expr) -> str:
    """Return a kind of account: ``primary``, or ``operator: object_storage.operator_role`` with its roles."""
    if not isinstance(node, ast.List):
        return str(ast.literal_eval(node))
    name, *roles = (ast.unparse(one).strip("'").removeprefix("CONF.") for one in node.elts)
    return f"{name}: {', '.join(roles)}"


def table(files: Sequence[Path]) -> dict[str, Any]:
    """Return the tests of all versions: class to method to id and spans of versions with accounts and attributes."""
    by_version = sorted((Version(_version(path)), path) for path in files)
    kinds: dict[tuple[str, ...], int] = {}
    attributes: dict[tuple[str, ...], int] = {}
    tests: dict[str, dict[str, list[Any]]] = {}
    serial: set[str] = set()
    locks: dict[str, set[str]] = {}
    for number, (_, path) in enumerate(by_version):
        for one in tests_of(path):
            kind = kinds.setdefault(one.credentials, len(kinds))
            more = attributes.setdefault(one.attributes, len(attributes))
            of_test = tests.setdefault(one.owner, {}).setdefault(one.method, [])
            span = [one.uuid, number, number, kind, more]
            if of_test and of_test[-1] == [one.uuid, of_test[-1][1], number - 1, kind, more]:
                of_test[-1][2] = number
            else:
                of_test.append(span)
            serial |= {one.owner} if one.is_serial else set()
            for lock in one.locks:
                locks.setdefault(lock, set()).add(one.owner)
    return {"versions": [str(version) for version, _ in by_version], "credentials": list(map(list, kinds)),
            "attributes": list(map(list, attributes)), "serial": sorted(serial),
            "locks": {name: sorted(classes) for name, classes in sorted(locks.items())},
            "tests": dict(sorted(tests.items()))}  # fmt: skip


def _version(path: Path) -> str:
    found = re.match(r"tempest-([0-9.]+[0-9])", path.name)
    if not found:
        raise SystemExit(f"{path}: its name has to be tempest-VERSION.zip, or a wheel's")
    return found.group(1)


def commits(git: Path, guidelines: Path) -> dict[str, str]:
    """Return the commits of Tempest that guideline files name, with the first version that has each."""
    found = {}
    for path in sorted(guidelines.rglob("*.json")):
        text = path.read_text(encoding="utf-8")
        for commit in re.findall(r'"(?:git-sha|reference)": "([0-9a-f]{7,40})"', text):
            tags = process.run(["git", "-C", git, "tag", "--contains", commit], Options(check=False)).stdout.split()
            releases_with = [tag for tag in tags if _RELEASE.fullmatch(tag)]
            if releases_with:
                found[commit] = min(releases_with, key=Version)
    return dict(sorted(found.items()))


def tagged(git: Path) -> dict[str, str]:
    """Return the commit of each version."""
    commit = "%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    listed = process.run(["git", "-C", git, "for-each-ref", "refs/tags", f"--format=%(refname:short) {commit}"])
    pairs = [line.split() for line in listed.stdout.splitlines()]
    return {commit: tag for tag, commit in pairs if _RELEASE.fullmatch(tag)}


def releases() -> dict[str, str]:
    """Return the first version that supports each OpenStack release."""
    found: dict[str, str] = {}
    for version, names in sorted(tomllib.loads(TABLE.read_text()).items(), key=lambda one: Version(one[0])):
        for name in names:
            found.setdefault(name, version)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("files", nargs="+", type=Path, help="wheels of Tempest, or zip files of its source")
    parser.add_argument("--guidelines", required=True, type=Path, help="folder of the interop repository")
    parser.add_argument("--git", required=True, type=Path, help="Tempest's repository")
    parser.add_argument("--to", type=Path, default=DATA)
    args = parser.parse_args(argv)
    known = {**tagged(args.git), **commits(args.git, args.guidelines)}
    made = {**table(args.files), "releases": releases(), "commits": dict(sorted(known.items()))}
    args.to.write_text(json.dumps(made, separators=(",", ":")) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
