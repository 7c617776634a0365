"""Tempest's folders are where it can work, and go with the run."""

from __future__ import annotations

from pathlib import Path

import pytest

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
