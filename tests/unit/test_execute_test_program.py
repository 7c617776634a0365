"""Where execute_test is found, with and without the modules of this software."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker import execute_test_program
from refstack_worker.errors import ConfigError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    execute_test_program.script.cache_clear()
    yield
    execute_test_program.script.cache_clear()


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As installed from a distribution's packages: the library without the modules, and the program."""
    monkeypatch.setattr(execute_test_program, "PACKAGE", tmp_path / "library")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "execute_test"


def test_modules_start_as_a_program_from_anywhere(tmp_path: Path) -> None:
    words = [*execute_test_program.command(), "--no-such-option"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env={})
    assert words[0] == sys.executable
    assert (done.returncode, done.stderr[:24]) == (2, "execute_test: bad-input:"), done.stderr


def test_text_is_one_file_that_runs() -> None:
    done = subprocess.run([sys.executable, "-I", "-", "--help"], input=execute_test_program.script(), text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 0 and "--tempest-home" in done.stdout, done.stderr


def test_installed_program_is_used_where_there_are_no_modules(packaged: Path) -> None:
    packaged.write_text("the program")
    packaged.chmod(0o755)
    assert execute_test_program.command() == (str(packaged),)
    assert execute_test_program.script() == "the program"


def test_nothing_is_installed(packaged: Path) -> None:
    for call in (execute_test_program.command, execute_test_program.script):
        with pytest.raises(ConfigError, match="not installed"):
            call()
