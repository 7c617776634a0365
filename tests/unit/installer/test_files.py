"""Files are written atomically and put back as they were."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from refstack_install import files
from refstack_install.errors import StepError
from refstack_install.files import TargetFile


def test_a_file_has_its_content_and_mode_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target = TargetFile(tmp_path / "a" / "b", b"content", 0o600)
    assert not files.is_current(target)
    files.write(target)
    assert files.is_current(target)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    target.path.chmod(0o644)
    assert not files.is_current(target)


def test_restoring_brings_back_content_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff before")
    path.chmod(0o640)
    record = files.snapshot(path)
    files.write(TargetFile(path, b"after"))
    files.restore(record)
    assert (path.read_bytes(), files.mode_of(path)) == (b"\xff before", 0o640)


def test_restoring_a_new_file_removes_it_and_the_folders_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    record = files.snapshot(path)
    files.write(TargetFile(path, b"x"))
    (tmp_path / "new" / "other").touch()
    files.restore(record)
    assert [str(left.relative_to(tmp_path)) for left in sorted(tmp_path.rglob("*"))] == ["new", "new/other"]
    files.restore(record)  # a second time after an interruption


def test_a_failed_write_keeps_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StepError, match="cannot write .*No space left on device; free space"):
        files.write(TargetFile(path, b"after"))
    assert [(left.name, left.read_bytes()) for left in tmp_path.iterdir()] == [("file", b"before")]


def test_secrets_are_described_by_a_digest() -> None:
    assert files.describe(b"secret", True) == "sha256:2bb80d537b1da3e3"
    assert files.describe(b"text", False) == "text"
    assert files.describe(None, True) == ""
