"""Commands of the documentation, to be run as they stand there.

A block that is marked ``<!-- tested: NAME -->`` is a script: the test that has its name runs it word for word.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
"""A test that a page names."""

MARKED = re.compile(r"<!-- tested: (?P<name>[\w-]+) -->\n\n(?P<block>(?:(?:    .*)?\n)+)")
"""A marker, and the indented lines below it."""

PROGRAMS = {
    "refstack-package": "refstack_worker.cli.package.main",
    "refstack-queue": "refstack_worker.cli.queue.main",
    "refstack-worker": "refstack_worker.cli.worker.main",
}


def script(page: str, name: str) -> str:
    """Return the commands of one marked block of ``docs/<page>``."""
    text = (TOP / "docs" / page).read_text(encoding="utf-8")
    found = {match["name"]: match["block"] for match in MARKED.finditer(text)}
    return textwrap.dedent(found[name]).strip() + "\n"


def defined_in(path: Path) -> set[str]:
    """Return the tests of a module, those of a class with its name before them."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


@dataclass(frozen=True)
class Machine:
    """Where scripts run: this machine, with a home, an ``/srv`` and programs of the tests' own."""

    folder: Path

    def run(self, commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script until its first command that fails. Needs root, for the ``/srv`` of its own."""
        programs, home, served, source = (self.folder / name for name in ("bin", "home", "srv", "source"))
        for path in (programs, home, served, source):
            path.mkdir(exist_ok=True, mode=0o700)
        for name, module in PROGRAMS.items():
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
            (programs / name).chmod(0o755)
        env = {
            **os.environ, **variables, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(source),
            "HOME": str(home), "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        # the source may be below /srv itself
        whole = f"set -euo pipefail\nmount --bind {TOP} {source}\nmount --bind {served} /srv\n{commands}"
        argv = ["unshare", "--mount", "--propagation", "private", "bash", "-c", whole]
        return subprocess.run(argv, capture_output=True, text=True, env=env, cwd=home)
