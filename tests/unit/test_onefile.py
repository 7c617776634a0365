"""One file of several modules: the same bytes each time, and an error where one namespace would not do."""

from __future__ import annotations

import os
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

from pack.base import WORD

print(json.dumps(WORD))

if __name__ == "__main__":
    print("end")
'''
BASE = '''"""The base."""

from __future__ import annotations

import json
from os import (
    sep,
    curdir,
)

WORD = json.loads("1") * sep

if __name__ == "__main__":
    print("never")
'''


def test_modules_stand_in_the_order_of_their_imports(tmp_path: Path) -> None:
    root = package(tmp_path, main=MAIN, base=BASE, unused="raise SystemExit(3)\n")
    text = one_file(root, "pack.main")
    assert text.startswith('#!/usr/bin/env python3\n"""Say it."""\n')
    assert text.count("import json") == 1 and "from os import curdir, sep" in text
    done = subprocess.run([sys.executable, "-"], input=text, capture_output=True, text=True, cwd="/")
    assert (done.stdout, done.returncode) == ('"/"\nend\n', 0), done.stderr


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        ({"main": "from pack import base\n", "base": ""}, "import names"),
        ({"main": "import pack.base\n", "base": ""}, "only 'from pack.module import name'"),
        ({"main": "from .base import a\n", "base": "a = 1\n"}, "only 'from pack.module import name'"),
        ({"main": "from pack.base import a as b\n", "base": "a = 1\n"}, "only 'from pack.module import name'"),
        ({"main": "def f():\n    from pack.base import a\n", "base": "a = 1\n"}, "main:2: only"),
        ({"main": "from pack.base import a\nb = 1\n", "base": "a = 1\nb = 2\n"}, "b is also a name of pack.base"),
        ({"main": "from pack.base import a\nimport json\n", "base": "a = json = 1\n"}, "json is also a name of"),
        (
            {"main": "from pack.base import a\nfrom os import sep\n", "base": "import posixpath as sep\na = 1\n"},
            "sep is",
        ),
        ({"main": "def filter(): ...\n"}, "filter is also a name of Python itself"),
        ({"main": "from pack.base import a\n", "base": "from pack.main import b\na = 1\n"}, "circle"),
    ],
)
def test_what_one_namespace_cannot_hold(tmp_path: Path, modules: dict[str, str], problem: str) -> None:
    with pytest.raises(OneFileError, match=problem):
        one_file(package(tmp_path, **modules), "pack.main")


HELPERS = """
def _twice(text):
    return f"{text}{text}"


_ALL = [_twice(_word) for _word in "ab"]


def first():
    return f"{_twice(_ALL[0])}"
"""
OTHER_HELPERS = """
from pack.base import first


def _twice(text):
    return text * 2 + "!"  # not that _twice


_ALL = _twice("c")
print(first(), f"{_twice(_ALL)}")
"""


def test_private_names_may_stand_in_several_modules(tmp_path: Path) -> None:
    text = one_file(package(tmp_path, base=HELPERS, main=OTHER_HELPERS), "pack.main")
    assert "def _twice(text):" in text and "def _main_twice(text):" in text
    done = subprocess.run([sys.executable, "-"], input=text, capture_output=True, text=True)
    assert done.stdout == "aaaa cc!cc!!\n", done.stderr


@pytest.mark.parametrize(
    ("main", "problem"),
    [
        ("from pack.base import _a\n", "imports a private name: _a"),
        ("from pack.base import b\n\n\ndef _a(): ...\n\n\ndef f(_a): ...\n", "cannot be renamed"),
        ("from pack.base import b\n\n\ndef _a(): ...\n\n\nclass C:\n    _a = 1\n", "cannot be renamed"),
        ("from pack.base import b\n\n\ndef _a(): ...\n\n\nb(_a=1)\n", "cannot be renamed"),
    ],
    ids=["imported", "parameter", "attribute", "keyword"],
)
def test_private_names_that_cannot_be_renamed(tmp_path: Path, main: str, problem: str) -> None:
    with pytest.raises(OneFileError, match=problem):
        one_file(package(tmp_path, main=main, base="_a = b = 1\n"), "pack.main")


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
