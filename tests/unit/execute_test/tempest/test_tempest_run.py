"""A run and the list of its tests, with a program in Tempest's place."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from refstack_worker.execute_test.progress import EventWriter
from refstack_worker.execute_test.tempest import tempest_run
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.selection import Selection
from refstack_worker.execute_test.tempest.tempest_run import TempestRun
from refstack_worker.execute_test.tempest.workspace import Workspace

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


def a_run(program: Path, folder: Path) -> TempestRun:
    workspace = Workspace(folder)
    workspace.create()
    tempest = Tempest(program, "47.0.0", include_list=True, name_prefix=True, cleanup_prefix=True)
    selection = Selection(("tempest.api.a", "tempest.api.b"))
    return TempestRun(tempest, workspace, selection, 1, EventWriter(True, io.StringIO()))


def test_list_does_not_write_again_what_the_run_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempest_run, "LIST_AFTER_START_SECONDS", 1.0)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    (folder / "stestr").symlink_to("/bin/true")
    program = folder / "tempest"
    program.write_text(TEMPEST.format(python=sys.executable, marker=tmp_path / "listed"))
    program.chmod(0o755)
    run = a_run(program, tmp_path / "work")
    run.carry_out()
    assert (run.status, run.list_status) == (0, 0)
