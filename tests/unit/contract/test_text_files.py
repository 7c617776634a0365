from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.contract.text_files import decode_leniently, decode_text, lines_of, read_limited


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="larger than 100 bytes: '/dev/zero'"):
        read_limited(Path("/dev/zero"), 100)
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_limited(tmp_path / "file", 100) == b"x" * 100


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_as_systems_save_it(encoding: str) -> None:
    assert decode_text("password: ü\r\n".encode(encoding)) == "password: ü\r\n"


def test_other_bytes() -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text(b"\xfc")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_other_bytes_in_text_from_elsewhere(encoding: str) -> None:
    assert decode_leniently("tempest.a # ü".encode(encoding)) == "tempest.a # ü"
    assert decode_leniently(b"tempest.a # \xfc") == "tempest.a # \N{REPLACEMENT CHARACTER}"


def test_lines_end_where_python_ends_those_of_a_file() -> None:
    assert lines_of("a\nb\r\nc\rd\n\ne") == ["a", "b", "c", "d", "", "e"]
    assert lines_of("") == [] and lines_of("a\n") == ["a"]
    within = "x\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029y"
    assert lines_of(f"{within}\n{within}") == [within, within]
