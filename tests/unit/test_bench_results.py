from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
KEPT = sorted((TOP / "docs" / "results").glob("*.json"))


def test_figures_are_kept() -> None:
    assert KEPT


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_every_kept_figure_is_json(path: Path) -> None:
    assert json.loads(path.read_text("utf-8"))


def test_what_a_benchmark_starts_does_not_print_between_its_json() -> None:
    code = f"""
import subprocess
from importlib.machinery import SourceFileLoader
run = SourceFileLoader("bench_run", {str(TOP / "tests" / "bench" / "run")!r}).load_module()
run.keep_stdout_for_json()
print("[1,")
subprocess.run(["echo", "a package is being built"], check=True)
print("2]")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1, 2]
    assert "a package is being built" in done.stderr


@pytest.mark.parametrize("path", sorted((TOP / "tests" / "bench").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_every_benchmark_begins(path: Path) -> None:
    # in this interpreter: tests/bench/run would fetch what a package's build has not
    code = f"from tests.bench import {path.stem}; {path.stem}.main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=TOP)
    assert done.returncode == 0 and "usage" in done.stdout, done.stderr
