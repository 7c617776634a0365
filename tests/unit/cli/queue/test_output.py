"""Files of commands: whole or not at all, and ``-`` for standard output."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from pathlib import Path

import pytest

from refstack_worker.cli.queue.output import opened
from refstack_worker.errors import UsageError


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "result"
    with opened(str(file)) as out:
        out.write(b"all")
        assert not file.exists()
    assert [one.name for one in tmp_path.iterdir()] == ["result"] and file.read_bytes() == b"all"


def test_nothing_is_left_of_what_broke(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), opened(str(tmp_path / "result")) as out:
        out.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_dash_is_standard_output() -> None:
    buffer = io.BytesIO()
    with opened("-", lambda: buffer) as out:
        out.write(b"all")
    assert buffer.getvalue() == b"all"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"), opened(str(tmp_path / "no" / "result")):
        pass


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with opened(str(pipe)) as out:
        out.write(b"all")
    assert pipe.is_fifo()
    reader.join(10)
    assert read == [b"all"] and [one.name for one in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path: Path, there: bool) -> None:
    target, link = tmp_path / "elsewhere" / "result", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_bytes(b"old")
    link.symlink_to(target)
    with opened(str(link)) as out:
        out.write(b"all")
    assert link.is_symlink() and target.read_bytes() == b"all"
    assert [one.name for one in target.parent.iterdir()] == ["result"]


@pytest.mark.parametrize("breaks", [False, True])
def test_a_file_beside_it_is_left_alone(tmp_path: Path, breaks: bool) -> None:
    mine = tmp_path / "result.part"
    mine.write_bytes(b"mine")
    with contextlib.suppress(RuntimeError), opened(str(tmp_path / "result")) as out:
        out.write(b"all")
        if breaks:
            raise RuntimeError
    assert mine.read_bytes() == b"mine"


def test_a_folder_is_named_and_stays(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"), opened(str(tmp_path)) as out:
        out.write(b"all")
    assert list(tmp_path.iterdir()) == []


def test_its_mode_follows_the_umask(tmp_path: Path) -> None:
    file = tmp_path / "result"
    before = os.umask(0o027)
    try:
        with opened(str(file)) as out:
            out.write(b"all")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o640
