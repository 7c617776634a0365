"""The architecture is kept: imports run one way, every ``__init__`` is empty, modules and functions stay small."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "refstack_worker"

MAY_IMPORT = {
    "errors": set(),
    "process": {"errors"},
    "gearman": {"errors"},
    "systemd": set(),
    "version": set(),
    "http": {"errors", "contract"},
    "filesystem": {"errors"},
    "contract": {"errors"},
    "config": {"errors", "contract", "gearman", "filesystem"},
    "environments": {"errors", "http", "contract", "config", "process", "filesystem"},
    "worker": {
        *("errors", "http", "contract", "config", "process", "gearman", "systemd", "filesystem", "environments"),
        "execute_test_program",
    },
    "server": {
        *("errors", "version", "http", "contract", "config", "process", "filesystem", "gearman", "environments"),
        *("execute_test", "execute_test_program"),
    },
    "builder": {"errors", "version", "contract", "config", "process", "filesystem", "environments"},
    "cli": {
        *("errors", "version", "http", "contract", "config", "process", "gearman", "systemd", "filesystem"),
        *("environments", "worker", "server", "builder"),
    },
    "execute_test": {"contract"},
    "onefile": set(),
    "execute_test_program": {"errors", "onefile"},
}
"""Part to the parts below it; within itself a part may import what it likes."""

MAX_MODULE_LENGTH = 400
MAX_FUNCTION_LENGTH = 60


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            words = name.split(".")
            if words[0] == "refstack_worker" and len(words) > 1:
                yield node.lineno, words[1]


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


def closure(path: Path) -> set[Path]:
    """A module and all the modules of the package that it needs."""
    done: set[Path] = set()
    waiting = [path]
    while waiting:
        one = waiting.pop()
        done.add(one)
        names = [name for _, name in imports_of(one) if name.startswith("refstack_worker.")]
        waiting += {PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names} - done
    return done


def execute_test_modules() -> list[Path]:
    return [path for path in modules() if part_of(path) == "execute_test" and path.name != "__init__.py"]


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in modules()} - {"__init__"} == set(MAY_IMPORT)


def test_the_arrows_have_no_circle() -> None:
    for part, below in MAY_IMPORT.items():
        assert not any(part in MAY_IMPORT[other] for other in below), part


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    part = part_of(path)
    allowed = MAY_IMPORT.get(part, set()) | {part}
    wrong = [
        f"{path}:{line}: {part} imports {name}"
        for line, name in imported_parts(ast.parse(path.read_text()))
        if name not in allowed
    ]
    assert not wrong


EXECUTE_TEST_LAYERS = (
    {"contract"},
    {"failures", "log"},
    {"addresses", "progress", "programs"},
    {"http", "tempest"},
    {"inputs"},
    {"arguments", "cloud"},
    {"refstack_server", "summary"},
    {"preparation"},
    {"cleanup", "whole_run"},
    {"commands"},
    {"main"},
    {"__main__"},
)
"""Modules and folders of ``execute_test``; each imports only from the rows above it, and folders from themselves."""


@pytest.mark.parametrize("path", execute_test_modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_execute_test_has_layers(path: Path) -> None:
    rank = {name: row for row, names in enumerate(EXECUTE_TEST_LAYERS) for name in names}
    own = path.relative_to(PACKAGE / "execute_test").parts[0].removesuffix(".py")
    for line, name in imports_of(path):
        words = name.split(".")
        if words[0] == "refstack_worker":
            other = words[2] if words[1] == "execute_test" else words[1]
            assert other == own or rank[other] < rank[own], f"{path}:{line}: {own} imports {name}"


SERVER_LAYERS = (
    {"domain", "secret_store"},
    {"db"},
    {"ledger"},
    {"notify", "queue", "results"},
    {"services"},
    {"auth"},
    {"serving"},
    {"api", "monitor", "tester"},
    {"web"},
    {"app"},
    {"service"},
)
"""Modules and folders of ``server``, as in ``execute_test``."""
UPWARDS = {}
"""Imports against the layers of ``server`` that are still there."""


def server_modules() -> list[Path]:
    return [path for path in modules() if part_of(path) == "server" and path.name != "__init__.py"]


def imported_folders(path: Path) -> Iterator[tuple[int, str]]:
    """Line and folder of what a module of ``server`` imports from other folders there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("refstack_worker.server"):
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}".split(".")[2]


@pytest.mark.parametrize("path", server_modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_server_has_layers(path: Path) -> None:
    rank = {name: row for row, names in enumerate(SERVER_LAYERS) for name in names}
    own = path.relative_to(PACKAGE / "server").parts[0].removesuffix(".py")
    for line, other in imported_folders(path):
        is_below = other == own or rank[other] < rank[own]
        assert is_below or (own, other) in UPWARDS, f"{path}:{line}: {own} imports {other}"


def test_what_is_excused_is_still_there() -> None:
    found = {
        (path.relative_to(PACKAGE / "server").parts[0].removesuffix(".py"), other)
        for path in server_modules()
        for _, other in imported_folders(path)
    }
    assert set(UPWARDS) <= found


def test_execute_test_needs_only_the_standard_library_and_requests() -> None:
    """So do the contract's modules that become part of its single file."""
    known = getattr(sys, "stdlib_module_names", None)
    if known is None:
        pytest.skip("Python 3.9 does not list the names of its own modules")
    roots = {
        name.split(".")[0] for path in closure(PACKAGE / "execute_test" / "main.py") for _, name in imports_of(path)
    }
    assert roots - set(known) == {"refstack_worker", "requests", "urllib3"}


def test_the_contract_in_the_single_file_needs_the_standard_library_alone() -> None:
    known = getattr(sys, "stdlib_module_names", None)
    if known is None:
        pytest.skip("Python 3.9 does not list the names of its own modules")
    shared = {path for path in closure(PACKAGE / "execute_test" / "main.py") if part_of(path) == "contract"}
    assert PACKAGE / "contract" / "secrets.py" in shared
    assert {name.split(".")[0] for path in shared for _, name in imports_of(path)} <= {"refstack_worker", *known}


@pytest.mark.parametrize("path", [p for p in modules() if p.name == "__init__.py"], ids=str)
def test_init_is_empty(path: Path) -> None:
    assert ast.parse(path.read_text()).body == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_MODULE_LENGTH
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LENGTH
    ]
    assert not long


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_subprocesses_only_through_the_one_door(path: Path) -> None:
    if path.name == "process.py" or part_of(path) == "execute_test":  # which stands alone
        return
    calls = [
        f"{path}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr)
        in {("subprocess", "run"), ("subprocess", "Popen"), ("os", "system"), ("os", "popen")}
    ]
    # naming the type is not a call
    text = path.read_text().splitlines()
    assert not [place for place in calls if "Popen[" not in text[int(place.rsplit(":", 1)[1]) - 1]]


WORKER_LAYERS = {
    "logs": set(),
    "server_api": {"logs"},
    "sandbox": set(),
    "spool": {"logs", "server_api", "sandbox"},
    "attempt": {"logs", "server_api", "sandbox", "spool"},
    "admission": set(),
    "queue": {"attempt", "admission"},
    "doctor": {"admission", "attempt", "queue", "sandbox", "spool"},
    "control_socket": set(),
    "metrics": {"attempt"},
    "status": {"admission", "attempt", "metrics", "queue", "server_api"},
    "store_cleanup": set(),
    "daemon": {
        *("admission", "attempt", "control_socket", "queue", "sandbox", "server_api", "spool", "status"),
        "store_cleanup",
        "metrics",
    },
    "main": {"daemon", "logs"},
}
"""Folder or module of the worker to those below it."""

WORKER = PACKAGE / "worker"


@pytest.mark.parametrize("path", sorted(WORKER.rglob("*.py")), ids=lambda path: str(path.relative_to(WORKER)))
def test_imports_inside_the_worker_run_one_way(path: Path) -> None:
    if path.name == "__init__.py":
        return
    layer = path.relative_to(WORKER).parts[0].removesuffix(".py")
    tree = ast.parse(path.read_text())
    imported = {
        (node.lineno, name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("refstack_worker.worker")
        for name in _layers_of(node)
    }
    wrong = [f"{path}:{line}: {name}" for line, name in imported if name not in WORKER_LAYERS[layer] | {layer}]
    assert not wrong


def _layers_of(node: ast.ImportFrom) -> list[str]:
    words = (node.module or "").split(".")[2:]
    return words[:1] or [alias.name for alias in node.names]


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "server" / "web").glob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_pages_use_nothing_of_the_api(path: Path) -> None:
    assert not [name for _line, name in imports_of(path) if name.startswith("refstack_worker.server.api")]


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "server" / "services").glob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_services_know_nothing_of_requests(path: Path) -> None:
    assert not [name for _line, name in imports_of(path) if name.startswith(("flask", "werkzeug"))]
