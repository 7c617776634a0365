"""A separate process with limits tells what took too much from trouble of this server."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from refstack_worker import process
from refstack_worker.errors import ProcessError
from refstack_worker.server.results import limited
from tests.support.processes import eventually

HERE = __name__
LIMITS = limited.ProcessLimits(10, 512 * limited.MEBIBYTE, limited.MEBIBYTE, 60)


def main(words: Sequence[str]) -> int:
    """What the process does here: the module that is run is this one."""
    action, *more = words
    if action == "say":
        print(sys.stdin.read().upper())
    elif action == "refuse":
        print("this is not a result", file=sys.stderr)
        return limited.REFUSED
    elif action == "memory":
        bytearray(1 << 40)
    elif action == "file":
        Path(more[0]).write_bytes(bytes(2 * limited.MEBIBYTE))
    elif action == "time":
        while True:
            pass
    elif action == "wait":
        Path(more[0]).write_text(str(os.getpid()))
        time.sleep(120)
    elif action == "core":
        print(resource.getrlimit(resource.RLIMIT_CORE))
    elif action == "break":
        raise OSError(28, "No space left on device")
    return 0


def test_it_prints_what_the_module_says() -> None:
    assert limited.run(HERE, ["say"], LIMITS, "aha") == "AHA\n"


def test_it_leaves_no_core_file_with_what_it_was_given() -> None:
    """At its limit of processor time it ends by a signal that makes one."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        assert limited.run(HERE, ["core"], LIMITS) == "(0, 0)\n"
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def test_what_is_refused_is_told_in_the_modules_words() -> None:
    with pytest.raises(limited.RefusedInputError, match="^this is not a result$"):
        limited.run(HERE, ["refuse"], LIMITS)


@pytest.mark.parametrize("action", ["memory", "file"])
def test_memory_and_files_have_a_limit(action: str, tmp_path: Path) -> None:
    with pytest.raises(limited.OverLimitError):
        limited.run(HERE, [action, tmp_path / "file"], LIMITS)


def test_time_has_a_limit() -> None:
    with pytest.raises(limited.OverLimitError):
        limited.run(HERE, ["time"], replace(LIMITS, cpu_seconds=1))


def test_trouble_of_this_machine_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProcessError, match="No space left"):
        limited.run(HERE, ["break"], LIMITS)
    with pytest.raises(ProcessError, match="still running"):
        limited.run(HERE, ["time"], replace(LIMITS, seconds=1.5))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ProcessError, match="cannot be started"):
        limited.run(HERE, ["say"], LIMITS)


def test_it_ends_with_the_process_that_waits_for_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    program = f"from {HERE} import HERE, LIMITS, limited; limited.run(HERE, ['wait', {str(file)!r}], LIMITS)"
    waiting = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[4])
    try:
        eventually("it began", lambda: file.exists() and file.read_text() != "")
    finally:
        waiting.kill()
        waiting.wait()
    pid = int(file.read_text())
    try:
        eventually("it ended", lambda: not is_alive(pid), 10)
    finally:
        process.kill_group(pid)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
