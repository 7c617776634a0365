"""Files of commands: whole or not at all, and ``-`` for standard output."""

from __future__ import annotations

import io
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
