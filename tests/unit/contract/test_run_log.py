"""Tempest's log as it travels: whole when it is short, with its ends when it is long, and no bomb."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from refstack_worker.contract import run_log


def text_of(data: bytes) -> bytes:
    return b"".join(run_log.unpacked(iter([data])))


def test_a_short_log_travels_whole(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntwo\n")
    assert text_of(run_log.packed(tmp_path / "log")) == b"one\ntwo\n"


def test_of_a_long_log_both_ends_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MAX_TEXT", 30)
    monkeypatch.setattr(run_log, "KEPT_HEAD", 10)
    (tmp_path / "log").write_bytes(b"a" * 10 + b"b" * 50 + b"c" * 20)
    assert text_of(run_log.packed(tmp_path / "log")) == (
        b"a" * 10 + b"\n[50 bytes of the log are left out here]\n" + b"c" * 20
    )


def test_no_log_and_one_that_stays_too_large_are_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_log.packed(tmp_path / "none") == b""
    (tmp_path / "log").write_bytes(bytes(range(256)))
    monkeypatch.setattr(run_log, "MAX_PACKED", 100)
    assert run_log.packed(tmp_path / "log") == b""


def test_a_bomb_is_cut() -> None:
    bomb = gzip.compress(b"\0" * (run_log.MAX_TEXT + 5 * 2**20))
    assert len(text_of(bomb)) <= run_log.MAX_TEXT + 2**20


def test_what_is_no_log_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a compressed log"):
        text_of(b"plain text")
    assert text_of(zlib.compress(b"")[:0]) == b""
