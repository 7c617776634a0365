"""The virtualenv under an environment is made by virtualenv, or by Python's own ``venv`` where that cannot."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.layout import base_virtualenv
from refstack_worker.environments.store.verify import Store
from refstack_worker.errors import EnvironmentBuildError


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """virtualenv is not installed, as on a node of Debian's packages."""
    monkeypatch.setitem(sys.modules, "virtualenv", None)


def made(tmp_path: Path, interpreter: Interpreter) -> Path:
    folder = tmp_path / "made"
    base_virtualenv.make_virtualenv(folder, interpreter, Store(tmp_path / "store").prepare())
    return folder


def prefix(folder: Path) -> str:
    words = [str(folder / "bin/python"), "-I", "-c", "import sys; print(sys.prefix)"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_virtualenv_makes_it_without_packages(tmp_path: Path, interpreter: Interpreter) -> None:
    pytest.importorskip("virtualenv")
    folder = made(tmp_path, interpreter)
    assert prefix(folder) == str(folder)
    assert "\nvirtualenv = " in (folder / "pyvenv.cfg").read_text()
    assert not list(folder.glob("lib/python3*/site-packages/pip*"))


@pytest.mark.usefixtures("absent")
def test_without_virtualenv_venv_makes_it(tmp_path: Path, interpreter: Interpreter) -> None:
    folder = made(tmp_path, interpreter)
    assert prefix(folder) == str(folder)
    assert "\nvirtualenv = " not in (folder / "pyvenv.cfg").read_text()
    assert not list(folder.glob("lib/python3*/site-packages/pip*"))


def test_each_maker_has_a_base_of_its_own(
    tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("virtualenv")
    store = Store(tmp_path / "store").prepare()
    first = base_virtualenv.base_virtualenv_of(interpreter, store)
    monkeypatch.setitem(sys.modules, "virtualenv", None)
    second = base_virtualenv.base_virtualenv_of(interpreter, store)
    assert first.root != second.root
    assert {base.root for base in base_virtualenv.all_base_virtualenvs(store)} == {first.root, second.root}


@pytest.mark.usefixtures("absent")
def test_an_interpreter_that_can_do_neither_is_named(tmp_path: Path, interpreter: Interpreter) -> None:
    false = replace(interpreter, path=Path("/bin/false"))
    with pytest.raises(EnvironmentBuildError, match="^/bin/false: cannot create a virtualenv: virtualenv is not inst"):
        made(tmp_path, false)
