"""The one file: the same bytes each time, and enough for the oldest Python."""

from __future__ import annotations

import hashlib
import io
import json
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
INSTALLER = TOP / "installer"
ONEFILE = TOP / "tools" / "onefile"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The installer, built with a stand-in for tomli's wheel: the real one is fetched by the system tests."""
    wheel = tmp_path / "tomli.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tomli/__init__.py", "from tomllib import *\n")
        archive.writestr("tomli-2.dist-info/LICENSE", "MIT\n")
    build = runpy.run_path(str(ONEFILE))
    build["main"].__globals__["TOMLI_SHA256"] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for name in ("one", "two"):
        monkeypatch.setattr(
            sys, "argv", ["onefile", "refstack-install", "--output", str(tmp_path / name), "--tomli", str(wheel)]
        )
        assert build["main"]() == 0
    return tmp_path / "one"


def test_the_same_bytes_each_time(built: Path) -> None:
    assert built.read_bytes() == built.with_name("two").read_bytes()


def test_it_has_every_module_and_the_licence_of_what_it_brings_along(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
    assert {str(path.relative_to(INSTALLER)) for path in (INSTALLER / "refstack_install").rglob("*.py")} < names
    assert {"tomli/__init__.py", "tomli-2.dist-info/LICENSE"} < names


def test_it_runs_alone(built: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-I", built, "plan", "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["error"]["reason"] == "answers"


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "tomli.whl"
    wheel.write_bytes(io.BytesIO(b"PK").getvalue())
    argv = [sys.executable, ONEFILE, "refstack-install", "--tomli", wheel, "--output", tmp_path / "out"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode != 0
    assert "is not the expected tomli" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_modules_need_nothing_but_the_standard_library() -> None:
    import ast

    known = getattr(sys, "stdlib_module_names", None)
    if known is None:
        pytest.skip("Python 3.9 does not tell the names of its own modules")
    allowed = {*known, "refstack_install", "tomli"}
    for path in (INSTALLER / "refstack_install").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, path
