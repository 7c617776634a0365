"""One file of several modules: the same bytes each time, imports and tracebacks as from a package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from refstack_worker.onefile import OneFileError, one_file

TOP = Path(__file__).resolve().parents[2]


def package(folder: Path, **modules: str) -> Path:
    (folder / "pack").mkdir()
    for name, text in {"__init__": "", **modules}.items():
        (folder / "pack" / f"{name}.py").write_text(text)
    return folder


MAIN = '''"""Say it."""

from __future__ import annotations

import json
import sys

from pack.base import WORD


def late() -> str:
    from pack.deep.broken import text

    return text()


if __name__ == "__main__":
    print(json.dumps(WORD), "pack.deep.broken" in sys.modules)
    print(late() if sys.argv[1:] else "end")
'''
BASE = '''"""The base."""

from __future__ import annotations

WORD = r"a\\b" + "ä"

if __name__ == "__main__":
    print("never")
'''
BROKEN = '''"""Fails when it is called."""


def text() -> str:
    return str([1 / zero for zero in (0,)])
'''


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """One file of a small package, whose modules exist nowhere else."""
    root = package(tmp_path, main=MAIN, base=BASE, unused="raise SystemExit(3)\n")
    (root / "pack" / "deep").mkdir()
    (root / "pack" / "deep" / "__init__.py").write_text("")
    (root / "pack" / "deep" / "broken.py").write_text(BROKEN)
    (tmp_path / "alone").mkdir()
    program = tmp_path / "alone" / "program"
    program.write_text(one_file(root, "pack.main"))
    return program


def call(program: Path, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", "-X", "utf8", str(program), *words]
    return subprocess.run(argv, cwd=program.parent, input=text, capture_output=True, text=True)


def test_modules_are_imported_when_they_are_needed(program: Path) -> None:
    assert program.read_text().startswith('#!/usr/bin/env python3\n"""Say it."""\n')
    assert "raise SystemExit(3)" not in program.read_text()
    done = call(program)
    assert done.stdout == json.dumps("a\\b" + "ä") + " False\nend\n", done.stderr


def test_tracebacks_show_lines_of_the_one_file(program: Path) -> None:
    done = call(program, "fail")
    lines = program.read_text().splitlines()
    shown = re.findall(r'File "([^"]+)", line (\d+), in (\S+)\n    (.+)', done.stderr)
    assert [name for _, _, name, _ in shown][:3] == ["<module>", "<module>", "late"], done.stderr
    assert {path for path, *_ in shown} == {str(program)}
    assert all(lines[int(number) - 1].strip() == line.strip() for _, number, _, line in shown)
    assert "return str([1 / zero for zero in (0,)])" in shown[-1][-1]


def test_text_runs_from_standard_input_too(program: Path) -> None:
    argv = [sys.executable, "-I", "-X", "utf8", "-"]
    done = subprocess.run(argv, input=program.read_text(), capture_output=True, text=True, cwd=program.parent)
    assert done.returncode == 0 and done.stdout.endswith("end\n"), done.stderr


def test_its_own_modules_come_before_installed_ones(program: Path) -> None:
    (program.parent / "pack").mkdir()
    (program.parent / "pack" / "__init__.py").write_text("raise SystemExit(9)\n")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, env={"PYTHONUTF8": "1"})
    assert done.returncode == 0 and done.stdout.endswith("end\n"), done.stderr


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        ({"main": "from pack import base\n", "base": ""}, "import names"),
        ({"main": "import pack.base\n", "base": ""}, "main:1: write 'from pack.module import name'"),
        ({"main": "from .base import a\n", "base": "a = 1\n"}, "main:1: write 'from pack.module import name'"),
        ({"main": "from pack.base import a\n", "base": "from pack.main import b\na = 1\n"}, "circle"),
        ({"main": "a = r'''1'''\n"}, "use double quotes"),
    ],
)
def test_modules_that_break_the_rules(tmp_path: Path, modules: dict[str, str], problem: str) -> None:
    with pytest.raises(OneFileError, match=problem):
        one_file(package(tmp_path, **modules), "pack.main")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """execute_test as the tool makes it, alone in a folder."""
    program = tmp_path_factory.mktemp("alone") / "execute_test"
    done = subprocess.run([sys.executable, "tools/onefile", "execute_test", "--output", program], cwd=TOP)
    assert done.returncode == 0
    return program


def test_execute_test_stands_alone(built: Path) -> None:
    done = subprocess.run([sys.executable, "-I", built, "--help"], cwd=built.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--tempest-home" in done.stdout
    refused = subprocess.run([sys.executable, "-I", built], cwd=built.parent, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith("execute_test: bad-input: --tempest-home")


def test_the_same_bytes_wherever_it_is_built(built: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    words = [sys.executable, str(TOP / "tools" / "onefile"), "execute_test", "--output", str(again)]
    subprocess.run(words, cwd=tmp_path, env=environment, check=True)
    assert again.read_bytes() == built.read_bytes()
    assert os.access(again, os.X_OK)


def test_the_interpreter_of_a_distribution(tmp_path: Path, built: Path) -> None:
    words = [sys.executable, "tools/onefile", "execute_test", "--python", "/usr/bin/python3"]
    subprocess.run([*words, "--output", tmp_path / "program"], cwd=TOP, check=True)
    first, rest = (tmp_path / "program").read_text().split("\n", 1)
    assert first == "#!/usr/bin/python3"
    assert rest == built.read_text().split("\n", 1)[1]
