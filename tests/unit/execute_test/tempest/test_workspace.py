"""Tempest's folders are where it can work, and go with the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.workspace import PLAIN, Workspace


@pytest.mark.parametrize("name", ["my tests", 'w$HOME"x', "it's"])
def test_temporary_files_are_where_a_shell_finds_them(name: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / name)
    workspace.create()
    folder = workspace.temporary
    assert PLAIN.fullmatch(str(folder)) and folder.is_dir() and folder.stat().st_mode & 0o077 == 0
    (folder / "left.list").touch()
    workspace.remove()
    assert not folder.exists() and not workspace.scratch.exists()


def test_they_are_in_the_work_folder_where_they_can(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    assert workspace.temporary == tmp_path / "work/workspace/tmp"


def test_sets_have_the_same_order_in_every_process(tmp_path: Path) -> None:
    # Tempest takes accounts out of sets: what was tried before the tests has to be what they will find
    environment = Workspace(tmp_path).environment(Tempest(Path(sys.executable), "47.0.0", True, True))
    code = "import hashlib; print([*{hashlib.md5(bytes([n])).hexdigest() for n in range(9)}])"
    command = [sys.executable, "-c", code]
    orders = {subprocess.run(command, env=environment, capture_output=True, check=True).stdout for _ in range(3)}
    assert len(orders) == 1
