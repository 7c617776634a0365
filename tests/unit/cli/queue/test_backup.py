"""The commands make a backup, show it, and restore it elsewhere; the queue is paused afterwards."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.cli.queue.main import main


def server(folder: Path) -> str:
    (folder / "data").mkdir(parents=True)
    (folder / "refstack.cfg").write_text(
        f'TEST_METHOD = "gearman"\nDATA_FOLDER = "{folder}/data"\nKEY_FOLDER = "{folder}/keys"\n'
        'APP_ADDRESS = "http://127.0.0.1:1"\n'
    )
    return str(folder / "refstack.cfg")


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, file = server(tmp_path / "one"), server(tmp_path / "other"), str(tmp_path / "backup.tar.gz")
    assert main(["--config", one, "keys", "generate"]) == 0
    assert main(["--config", one, "db", "upgrade"]) == 0
    capsys.readouterr()
    assert main(["--config", one, "backup", "create", file, "-f", "json"]) == 0
    made = shown(capsys)
    assert made["keys in it"] == "fleet.key fleet.pub sign.key sign.pub store.key store.pub"
    assert main(["--config", one, "backup", "show", file, "-f", "json"]) == 0
    assert shown(capsys) == made
    assert main(["--config", other, "backup", "restore", file, "-f", "json"]) == 0
    restored = shown(capsys)
    assert (restored["queued again"], restored["held by nodes"]) == (0, 0)
    assert (restored["schedules moved on"], restored["messages not sent"]) == (0, 0)
    assert (tmp_path / "other/keys/store.key").read_bytes() == (tmp_path / "one/keys/store.key").read_bytes()
    assert main(["--config", other, "backup", "settle", "-f", "json"]) == 0


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, file = server(tmp_path / "one"), tmp_path / "file"
    file.touch()
    assert main(["--config", config, "db", "upgrade"]) == 0
    capsys.readouterr()
    assert main(["--config", config, "backup", "create", str(file / "b")]) == 16
    assert f"{file}/b: there is no folder {file}; create it, or name another file\n" in capsys.readouterr().err
    assert main(["--config", config, "backup", "show", str(file)]) == 16
    assert "method gz" not in (shown := capsys.readouterr().err) and "not a whole backup" in shown


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", server(tmp_path / "one"), "backup", "restore", str(tmp_path / "none.tar.gz")]) == 16
    assert "none.tar.gz: no such file" in capsys.readouterr().err


def backed_up(folder: Path) -> tuple[str, str]:
    """Return the settings of a server with keys, and its backup."""
    config, file = server(folder), str(folder / "backup.tar.gz")
    assert main(["--config", config, "keys", "generate"]) == 0
    assert main(["--config", config, "db", "upgrade"]) == 0
    assert main(["--config", config, "backup", "create", file]) == 0
    return config, file


def full(source: Any, *_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", str(source))


def test_a_full_disk_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    config, file = backed_up(tmp_path / "one")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        assert main(["--config", config, "backup", "create", str(tmp_path / "b")]) == 16
    shown = capsys.readouterr().err
    assert (
        f"backup {tmp_path}/b: the disk of {tmp_path} is full (No space left on device); free up space there" in shown
    )
    assert not list(tmp_path.glob("*b*"))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        assert main(["--config", config, "backup", "show", file]) == 16
    shown = capsys.readouterr().err
    assert f"unpacking {file}: the disk of " in shown and "TMPDIR" in shown and "not a whole backup" not in shown


def test_a_restore_that_is_refused_leaves_no_key_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, file = backed_up(tmp_path / "one")
    other = server(tmp_path / "other")
    assert main(["--config", other, "db", "upgrade"]) == 0
    assert main(["--config", other, "vendor", "create", "Acme"]) == 0
    (tmp_path / "other/keys").mkdir()
    kept = shutil.copy(tmp_path / "one/keys/sign.key", tmp_path / "other/keys")
    assert main(["--config", other, "backup", "restore", file]) == 16
    assert "the database has 1 vendor" in capsys.readouterr().err
    assert [str(path) for path in (tmp_path / "other/keys").iterdir()] == [str(kept)]
    assert main(["--config", other, "backup", "restore", file, "--replace"]) == 0
    assert (tmp_path / "other/keys/store.key").is_file()
