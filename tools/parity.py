"""Write ``docs/parity.md``: what can be done on pages, in the API and on the command line: ``python -m tools.parity``.

With ``--check`` nothing is written, and the exit status is 1 when the page differs, when a page, a call or a command
that exists is in no row, when a row names one that does not exist, or when an empty cell has no reason.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from refstack_worker.cli.queue.main import COMMANDS
from refstack_worker.server.api.description import RESOURCES
from refstack_worker.server.app import PAGES
from refstack_worker.server.web.pages import WEB
from tools.parity_rows import ROWS, Row

PAGE = Path(__file__).resolve().parents[1] / "docs" / "parity.md"
HEAD = """# What can be done where

Made by `python -m tools.parity` from the routes of pages and API and from the commands; each of them is in a row.
A dash has its reason in the last column. Pages and calls are named by their views.

| what | page | API | `refstack-queue` | why not |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Surface:
    """One way to do things, and everything that there is in it."""

    name: str
    existing: frozenset[str]


def surfaces() -> tuple[Surface, Surface, Surface]:
    """Return what the route tables and the commands have."""
    app = Flask("parity")
    app.register_blueprint(WEB)
    pages = {rule.endpoint.rpartition(".")[2] for rule in app.url_map.iter_rules() if rule.endpoint.startswith("web.")}
    calls = {operation.view.__name__ for resource in RESOURCES for operation in resource.operations}
    return Surface("page", frozenset(pages)), Surface("call", frozenset(calls)), Surface("command", frozenset(COMMANDS))


def troubles(rows: Sequence[Row] = ROWS) -> Iterator[str]:
    """Yield what is wrong with the rows."""
    for surface, cell in zip(surfaces(), ("pages", "calls", "commands")):
        named = {name for row in rows for name in getattr(row, cell)}
        yield from (f"{surface.name} {name!r} is in no row" for name in sorted(surface.existing - named))
        yield from (f"there is no {surface.name} {name!r}" for name in sorted(named - surface.existing))
    for row in rows:
        if not (row.pages and row.calls and row.commands) and not row.why:
            yield f"{row.what}: an empty cell without a reason"


def page() -> str:
    return HEAD + "".join(
        f"| {row.what} | {_cell(row.pages)} | {_cell(row.calls)} | {_cell(row.commands)} | {row.why} |\n"
        for row in ROWS
    )


def main(argv: Sequence[str]) -> int:
    """Write or check the page."""
    wrong = list(troubles())
    for line in wrong:
        print(line, file=sys.stderr)
    if "--check" in argv:
        return int(bool(wrong) or PAGE.read_text(encoding="utf-8") != page())
    if not wrong:
        PAGE.write_text(page(), encoding="utf-8")
    return int(bool(wrong))


def _cell(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


assert PAGES  # the modules that add their pages to the blueprint  # noqa: S101

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
