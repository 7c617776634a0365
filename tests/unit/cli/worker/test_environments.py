from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.cli.worker.environments import plugins_of
from refstack_worker.errors import UsageError
from tests.support.wheel_files import make_version

Output = Callable[..., Any]


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return make_version(tmp_path / "locks", "47.0.0")


@pytest.fixture
def shown(worker: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> Output:
    """Runs a command that must succeed and returns its JSON."""

    def run(*args: str) -> Any:
        assert worker(*args, "-f", "json") == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_a_version_is_listed_built_and_then_warm(shown: Output, version: Path) -> None:
    (row,) = shown("versions")
    assert (row["Version"], row["Warm"], row["Problem"]) == ("47.0.0", False, "")
    built = shown("env", "build", "47.0.0")
    assert (built["version"], built["tests"]) == ("47.0.0", 3)
    (row,) = shown("versions")
    assert (row["Warm"], row["Tests"]) == (True, 3)
    assert len(shown("env", "list", "--entries")) == 3
    assert shown("env", "list") == []


def test_a_folder_is_kept(shown: Output, version: Path, tmp_path: Path) -> None:
    built = shown("env", "build", "47.0.0", "--folder", str(tmp_path / "env"))
    assert built["folder"] == str(tmp_path / "env") and (tmp_path / "env" / "bin" / "tempest").exists()
    (row,) = shown("env", "list")
    assert row["Folder"] == str(tmp_path / "env")


def test_a_folder_for_temporary_files_with_a_blank_or_without_programs_does_no_harm(
    shown: Output, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "t m p"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    assert shown("env", "build", "47.0.0")["tests"] == 3
    (warmed,) = shown("env", "warm")
    assert warmed["Done"] == "was warm" and list(place.iterdir()) == []
    assert not list((tmp_path / "store").glob("work/*/env"))


def test_damage_is_found_and_repaired(
    worker: Callable[..., int], shown: Output, version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown("env", "build", "47.0.0")
    assert worker("env", "verify") == 0
    (file,) = (tmp_path / "store").glob("entries/*/site/shared/one.py")
    file.chmod(0o644)
    file.write_text("ONE = 2\n")
    assert worker("env", "verify") != 0
    capsys.readouterr()
    assert len(shown("env", "verify", "--repair")) == 1
    assert worker("env", "verify") == 0


def test_what_no_version_uses_is_collected(
    worker: Callable[..., int], shown: Output, version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown("env", "build", "47.0.0")
    assert worker("env", "gc", "--limit-mb", "0") == 0
    assert capsys.readouterr().out.startswith("removed 0 entries")
    shutil.rmtree(tmp_path / "locks")
    assert worker("env", "gc", "--limit-mb", "0") == 0
    assert capsys.readouterr().out.startswith("removed 3 entries")


@pytest.mark.parametrize("args", [(), ("47.0.0", "--openstack", "2025.1")])
def test_one_of_version_and_release_is_needed(
    worker: Callable[..., int], args: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    assert worker("env", "build", *args) == 2
    assert "give either VERSION or --openstack RELEASE" in caplog.text


def test_plugins_need_an_exact_version() -> None:
    assert plugins_of(["heat-tempest-plugin==3.0.0"]) == {"heat-tempest-plugin": "3.0.0"}
    for word in ("heat", "heat>=3", "==3", "heat==", "heat==3,4"):
        with pytest.raises(UsageError, match="exact version"):
            plugins_of([word])
