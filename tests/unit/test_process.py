from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from refstack_worker import process
from refstack_worker.errors import ProcessError
from refstack_worker.process import Options


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_output_and_time_come_back() -> None:
    done = process.run(
        script("import sys; print(sys.stdin.read()[::-1]); print('x', file=sys.stderr)"), Options(input="abc")
    )
    assert (done.stdout, done.stderr, done.returncode) == ("cba\n", "x\n", 0)
    assert done.seconds > 0


def test_a_failure_says_which_program_and_what_it_said() -> None:
    with pytest.raises(ProcessError, match="ended with status 3: no such cloud"):
        process.run(script("import sys; sys.exit(print('no such cloud', file=sys.stderr) or 3)"))
    assert process.run(script("import sys; sys.exit(3)"), Options(check=False)).returncode == 3


def test_a_killed_program_is_told_from_a_failed_one() -> None:
    with pytest.raises(ProcessError, match="was killed by signal 9"):
        process.run(script("import os; os.kill(os.getpid(), 9)"))


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ProcessError, match="/no/such/program: cannot be started: No such file"):
        process.run(["/no/such/program"])


def test_no_shell() -> None:
    with pytest.raises(ValueError, match="no shell"):
        process.start(["true"], shell=True)  # noqa: S604 - the refusal is what is tested
    assert process.run(["echo", "$(id); `id` > x"]).stdout == "$(id); `id` > x\n"


def test_the_whole_group_goes_when_time_is_up(tmp_path: Path) -> None:
    note = tmp_path / "child"
    text = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(note)!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    with pytest.raises(ProcessError, match="still running after 2 s and was killed"):
        process.run(script(text), Options(timeout=2))
    pid = int(note.read_text())
    deadline = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(pid)


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert process.run(script("import os; os.write(1, b'\\xff\\xfeok')")).stdout.endswith("ok")


def test_descendants_are_found_down_to_the_last() -> None:
    child = "print(1, flush=True); import time; time.sleep(600)"
    text = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    parent = process.start(script(text), stdout=-1, start_new_session=True)
    try:
        parent.stdout.readline()
        found = list(process.descendants(os.getpid()))
        assert parent.pid in found
        assert any(pid in found for pid in process.descendants(parent.pid))
    finally:
        process.kill_group(parent.pid)
        parent.communicate()
