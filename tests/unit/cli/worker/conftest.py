from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refstack_worker.cli import app
from refstack_worker.cli.worker.main import main
from refstack_worker.contract import keys


@pytest.fixture(autouse=True)
def same_logging() -> Iterator[None]:
    """Undo what a program's start does to logging."""
    root = logging.getLogger()
    before = list(root.handlers), root.level, app.LOG.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    app.LOG.setLevel(before[2])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A valid worker.toml with its keys."""
    keys.generate_pair("seal", tmp_path / "fleet.key", tmp_path / "fleet.pub")
    keys.generate_pair("sign", tmp_path / "sign.key", tmp_path / "server.pub")
    file = tmp_path / "worker.toml"
    file.write_text(
        f"""
[node]
name = "node-1"
state_folder = "{tmp_path}/state"
runtime_folder = "{tmp_path}/run"
[server]
urls = ["https://refstack.example.org"]
[keys]
fleet_private = "{tmp_path}/fleet.key"
server_public = "{tmp_path}/server.pub"
[run]
runner = "embedded"
environments = "{tmp_path}/environments"
[environments]
store = "{tmp_path}/store"
lock_folders = ["{tmp_path}/locks"]
interpreters = ["{sys.executable}"]
[limits]
min_free_mb = 1
"""
    )
    return file


@pytest.fixture
def worker(config: Path) -> Callable[..., int]:
    """Runs ``refstack-worker`` with that file and returns its exit status."""
    return lambda *args: main(["--config", str(config), *args])
