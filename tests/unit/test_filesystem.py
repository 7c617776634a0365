"""Removing trees that were made to be hard to remove."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refstack_worker.filesystem import remove_tree


def dig(top: Path, levels: int, name: str = "d") -> None:
    """Make folders within folders, deeper than any path may be long."""
    number = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=number)
        deeper = os.open(name, os.O_RDONLY, dir_fd=number)
        os.close(number)
        number = deeper
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=number))
    os.close(number)


@pytest.mark.parametrize(("levels", "name"), [(10_000, "d"), (60, "n" * 250)], ids=["deep", "long"])
def test_a_tree_that_is_deeper_than_any_path(tmp_path: Path, levels: int, name: str) -> None:
    (tmp_path / "tree").mkdir()
    dig(tmp_path / "tree", levels, name)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "tree" / "to-folder").symlink_to(tmp_path / "kept")
    (tmp_path / "tree" / "to-file").symlink_to(tmp_path / "kept" / "file")
    (tmp_path / "tree" / "to-nothing").symlink_to("nowhere")
    os.link(tmp_path / "kept" / "file", tmp_path / "tree" / "hard")
    remove_tree(tmp_path / "tree")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"] and (tmp_path / "kept" / "file").exists()


def test_what_is_neither_file_nor_folder_and_what_nobody_may_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "closed" / "within").mkdir(parents=True)
    (tree / "closed" / "within" / "file").touch()
    os.mkfifo(tree / "pipe")
    for folder in (tree / "closed" / "within", tree / "closed", tree):
        folder.chmod(0)
    remove_tree(tree)
    assert not tree.exists()
    remove_tree(tree)
