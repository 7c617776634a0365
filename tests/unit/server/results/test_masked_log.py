"""Tempest's own log, written again without the run's secrets."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from refstack_worker.contract import run_log
from refstack_worker.server.results.masked_log import masked_log

SECRET = "pw-of-the-cloud-77"


def written(folder: Path, data: bytes) -> Path:
    file = folder / "log.gz"
    file.write_bytes(gzip.compress(data))
    return file


def test_secrets_are_masked_also_across_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "_PIECE", 7)
    made = masked_log(written(tmp_path, f"a {SECRET} b\n".encode() * 20), tmp_path / "out", [SECRET])
    assert made is not None and gzip.decompress(made.read_bytes()) == b"a *** b\n" * 20


def test_no_log_and_one_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"INFO not compressed")
    assert masked_log(None, tmp_path / "out", []) is None
    assert masked_log(tmp_path / "plain", tmp_path / "out", []) is None


def test_one_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MAX_PACKED", 10)
    assert masked_log(written(tmp_path, b"INFO"), tmp_path / "out", []) is None
