"""What the tests of the environments share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments import interpreters
from refstack_worker.environments.interpreters import Interpreter
from tests.support.wheel_files import make_version


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    """The interpreter that runs the tests."""
    return interpreters.probe(Path(sys.executable))


@pytest.fixture(autouse=True)
def only_this_interpreter(monkeypatch):
    """Keep the machine's interpreters out: what the tests find is the one that runs them."""
    monkeypatch.setattr(interpreters, "candidates", lambda extra=(): [*extra, Path(sys.executable)])


@pytest.fixture
def locks(tmp_path) -> Path:
    """A folder of versions with one in it: 47.0.0."""
    make_version(tmp_path / "locks", "47.0.0")
    return tmp_path / "locks"


@pytest.fixture
def settings(tmp_path, locks) -> EnvironmentSettings:
    """Settings with an empty store and those locks."""
    return EnvironmentSettings(tmp_path / "store", (locks,))
