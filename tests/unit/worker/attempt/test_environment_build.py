from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from refstack_worker.errors import LockError, StoreError
from refstack_worker.worker.attempt.environment_build import EnvironmentBuild, end_processes_of
from tests.support.worker_parts import eventually, gone


class FakeEnvironment:
    """Is built when the test lets it."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.go = threading.Event()
        self.removed = False

    def __enter__(self) -> Any:
        self.go.wait(10)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(path=Path("/env"))

    def remove(self) -> None:
        self.removed = True


def test_a_built_environment_is_removed_at_the_end(tmp_path: Path) -> None:
    environment = FakeEnvironment()
    environment.go.set()
    with EnvironmentBuild(tmp_path, lambda: environment) as build:  # type: ignore[arg-type, return-value]
        built = build.wait(threading.Event())
        assert built is not None and built.path == Path("/env")
        assert not environment.removed
    assert environment.removed


def test_a_request_to_stop_is_not_held_up_by_the_build(tmp_path: Path) -> None:
    environment = FakeEnvironment()
    given_up = threading.Event()
    given_up.set()
    with EnvironmentBuild(tmp_path, lambda: environment) as build:  # type: ignore[arg-type, return-value]
        assert build.wait(given_up) is None
        environment.go.set()
    assert environment.removed, "it was built after all"


@pytest.mark.parametrize(
    ("error", "raised"),
    [(LockError("bad lock"), LockError), (OSError(28, "No space"), StoreError), (ZeroDivisionError(), StoreError)],
)
def test_an_error_of_the_build_reaches_the_run(tmp_path: Path, error: Exception, raised: type[Exception]) -> None:
    environment = FakeEnvironment(error)
    environment.go.set()
    with EnvironmentBuild(tmp_path, lambda: environment) as build:  # type: ignore[arg-type, return-value]
        with pytest.raises(raised):
            build.wait(threading.Event())
    assert not environment.removed


def test_programs_of_an_abandoned_environment_are_killed(tmp_path: Path) -> None:
    ours = [sys.executable, "-c", "import time; time.sleep(600)", f"{tmp_path}/bin/tempest"]
    other = [sys.executable, "-c", "import time; time.sleep(600)", f"{tmp_path}-2/bin/tempest"]
    children = [subprocess.Popen(argv) for argv in (ours, other)]
    try:
        for child in children:  # Popen returns when exec has begun: a moment before the command line can be read
            eventually(Path(f"/proc/{child.pid}/cmdline").read_bytes)
        end_processes_of(tmp_path)
        assert children[0].wait(10) < 0
        assert not gone(children[1].pid)
    finally:
        for child in children:
            child.kill()
            child.wait()
