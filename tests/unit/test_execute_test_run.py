"""A run and the list of its tests, with a program in Tempest's place."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from refstack_worker import execute_test
from refstack_worker.execute_test import Selection, Tempest, Voice, Workspace

TEMPEST = """\
#!{python}
import os, sys, time
asked_for = sys.argv[sys.argv.index("--include-list") + 1]
if "--list-tests" in sys.argv:
    open("{marker}", "w").close()
    sys.exit(0)
before = os.stat(asked_for)
while not os.path.exists("{marker}"):
    time.sleep(0.02)
after = os.stat(asked_for)
same = (before.st_ino, before.st_mtime_ns, before.st_size) == (after.st_ino, after.st_mtime_ns, after.st_size)
sys.exit(0 if same else 9)
"""


def a_run(program: Path, folder: Path) -> execute_test.TestRun:
    workspace = Workspace(folder)
    workspace.create()
    tempest = Tempest(program, "47.0.0", include_list=True, name_prefix=True, cleanup_prefix=True)
    selection = Selection(("tempest.api.a", "tempest.api.b"))
    return execute_test.TestRun(tempest, workspace, selection, 1, Voice(True, io.StringIO()))


def test_list_does_not_write_again_what_the_run_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute_test, "LIST_AFTER_START_SECONDS", 1.0)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    (folder / "stestr").symlink_to("/bin/true")
    program = folder / "tempest"
    program.write_text(TEMPEST.format(python=sys.executable, marker=tmp_path / "listed"))
    program.chmod(0o755)
    run = a_run(program, tmp_path / "work")
    run.go()
    assert (run.status, run.listed) == (0, 0)


def test_what_was_listed_and_not_carried_out_is_told(tmp_path: Path) -> None:
    run = a_run(tmp_path / "tempest", tmp_path / "work")
    run.listed, run.tally.seen = 0, 1
    run.tally.counts = execute_test.Counts(total=2, done=1, passed=1)
    assert execute_test.judge(run, []) == (0, "passed", "1 passed, 0 failed, 0 skipped, 1 not carried out")
