from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from refstack_worker.worker.sandbox import leftovers
from tests.support.worker_parts import eventually


def test_the_sweep_of_a_start_ends_only_what_is_marked(tmp_path: Path) -> None:
    mark = f"mark{os.getpid()}-{time.monotonic_ns()}"
    ours = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={leftovers.MARK: f"{mark}/1-1"})
    other = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], env={leftovers.MARK: f"{mark}x/1-1"}
    )
    try:
        eventually(lambda: ours.pid in list(leftovers.marked(f"{mark}/")))
        assert leftovers.end(f"{mark}/", patience=0.0) == 1
        assert ours.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    for name in ("run-1-1-x", "keep"):
        (tmp_path / name / "work").mkdir(parents=True)
    (tmp_path / "run-1-1-x" / "work").chmod(0)
    assert leftovers.sweep_folders(tmp_path, "run-") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]


def test_each_state_folder_is_an_instance_of_its_own(tmp_path: Path) -> None:
    first, second = leftovers.instance_of(tmp_path / "a"), leftovers.instance_of(tmp_path / "b")
    assert first != second and first == leftovers.instance_of(tmp_path / "c" / ".." / "a")


def test_the_folder_of_a_run_carries_its_id() -> None:
    assert leftovers.folder_prefix("instance/7-1-abc") == "run-7-1-abc-"
    assert leftovers.folder_prefix("") == "run-"
