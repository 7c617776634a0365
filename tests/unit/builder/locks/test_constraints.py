"""Constraints are read as pip reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.builder.locks import constraints

FACTS = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/other.txt").write_text("included==2\n")
    path = tmp_path / "upper.txt"
    path.write_bytes(
        b"\xef\xbb\xbf# OpenStack's\r\nTempest===46.0.0;python_version>='3.10'\r\n"
        b"tempest===33.0.0;python_version=='3.8'\noslo.config===9.1 # newer break\n"
        b"split\\\n ==1.0 --hash=sha256:00\nranged>=2,<3\n-c more/other.txt\n--index-url https://a.example#x\n"
        b"by-url @ https://a.example/by-url-1.0.tar.gz\nnot a requirement\n"
    )
    return path


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("tempest", "46.0.0", ""),
        ("TEMPEST", "33.0.0", "===46.0.0"),
        ("oslo-config", "9.2", "===9.1"),
        ("split", "1.0", ""),
        ("split", "2.0", "==1.0"),
        ("ranged", "2.5", ""),
        ("ranged", "3.0", "<3,>=2"),
        ("included", "1", "==2"),
        ("by-url", "3", ""),
        ("unnamed", "3", ""),
    ],
)
def test_what_conflicts(file: Path, name: str, version: str, says: str) -> None:
    assert constraints.conflicting(file, FACTS, name, version) == says


def test_a_file_that_includes_itself(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-c a.txt\na==1\n")
    assert constraints.conflicting(tmp_path / "a.txt", FACTS, "a", "2") == "==1"


def test_variables_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPEST_PIN", "46.0.0")
    (tmp_path / "a.txt").write_text("tempest==${TEMPEST_PIN}\n")
    assert constraints.conflicting(tmp_path / "a.txt", FACTS, "tempest", "1") == "==46.0.0"


def test_one_distribution_is_left_out(file: Path, tmp_path: Path) -> None:
    lines = constraints.without(file, "tempest", tmp_path / "work.txt").read_text().splitlines()
    assert "oslo.config===9.1" in lines and f"-c {tmp_path}/more/other.txt" in lines
    assert not [line for line in lines if line.lower().startswith("tempest")]
