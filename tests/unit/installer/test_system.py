"""Programs, paths and environment of the machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from refstack_install.errors import StepError
from refstack_install.system import Completed, System, run_program


def python(code: str, timeout: float | None = 60, **extra: str) -> Completed:
    return run_program([sys.executable, "-c", code], extra, timeout)


def test_outcome_and_output() -> None:
    done = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (done.status, done.out, done.err, done.output_tail) == (3, "out\n", "err\n", "err")


def test_variables_reach_the_program_and_messages_are_english() -> None:
    done = python("import os; print(os.environ['KEY'], os.environ['LC_ALL'])", KEY="secret")
    assert done.out == "secret C.UTF-8\n"


def test_a_missing_program_is_an_outcome() -> None:
    done = run_program(["/no/such/program"], {}, 1)
    assert (done.status, done.err) == (127, "/no/such/program: No such file or directory")


def test_a_program_that_takes_too_long_is_killed_with_its_children() -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '600'])"
    done = python(code, timeout=0.5)
    assert done.status == 124
    assert "killed: still running after 0.5 s" in done.err


def test_ctrl_c_waits_for_a_program_without_time_limit(tmp_path: Path) -> None:
    """A package manager must end its work: it runs in its own session and is waited for."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    code = f"""
import pathlib, time
pathlib.Path({str(begun)!r}).touch()
while not pathlib.Path({str(tmp_path / "go")!r}).exists(): time.sleep(0.01)
pathlib.Path({str(ended)!r}).touch()
"""

    def interrupt() -> None:
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        (tmp_path / "go").touch()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            python(code, timeout=None)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert ended.exists()


def test_must_reports_the_failure() -> None:
    with pytest.raises(StepError, match="false failed with status 1"):
        System().must(["false"])


def test_paths_lie_below_the_root(tmp_path: Path) -> None:
    system = System(tmp_path)
    assert system.path("/etc/passwd") == tmp_path / "etc/passwd"
    assert not system.is_live and not system.systemd_runs()


def test_seconds_of_the_package_manager_are_counted() -> None:
    system = System()
    system.package_manager([sys.executable, "-c", "import time; time.sleep(0.05)"])
    assert system.spent.package_manager >= 0.05


def test_programs_are_looked_for_on_the_path(tmp_path: Path) -> None:
    assert System().has("sh")
    assert not System(environ={"PATH": str(tmp_path)}).has("sh")
