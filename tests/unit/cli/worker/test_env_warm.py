from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.wheel_files import make_version


@pytest.fixture(autouse=True)
def versions(tmp_path: Path) -> None:
    for version in ("46.0.0", "47.0.0"):
        make_version(tmp_path / "locks", version)


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return {row["Version"]: row["Done"] for row in json.loads(capsys.readouterr().out)}


def test_all_versions_are_made_ready_once(worker: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert worker("env", "warm", "-f", "json") == 0
    assert rows(capsys) == {"46.0.0": "made warm", "47.0.0": "made warm"}
    assert worker("env", "warm", "-f", "json") == 0
    assert rows(capsys) == {"46.0.0": "was warm", "47.0.0": "was warm"}


def test_only_one(worker: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert worker("env", "warm", "46.0.0", "-f", "json") == 0
    assert rows(capsys) == {"46.0.0": "made warm"}


def test_a_version_that_is_not_on_the_node(worker: Callable[..., int], caplog: pytest.LogCaptureFixture) -> None:
    assert worker("env", "warm", "1.2.3") != 0
    assert "1.2.3: not on this node" in caplog.text


def test_a_version_that_cannot_be_made_ready(
    worker: Callable[..., int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    next((tmp_path / "locks" / "46.0.0" / "wheels").glob("tempest-*")).write_bytes(b"damaged")
    assert worker("env", "warm") != 0
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert error.startswith("Tempest 46.0.0: ") and "has 7 bytes" in error and "47.0.0" not in error


def test_collect(worker: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert worker("env", "warm", "--collect") == 0
    assert "removed 0 entries" in capsys.readouterr().out
