from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.cli.queue.main import main
from tests.support.ledgers import make_settings


def config(folder: Path, *lines: str) -> Path:
    path = folder / "refstack.cfg"
    keys = make_settings(folder).keys.sign.parent
    path.write_text("\n".join([f'KEY_FOLDER = "{keys}"', f'DATA_FOLDER = "{folder}"', *lines]) + "\n")
    return path


def check(path: Path) -> int:
    return main(["--config", str(path), "config", "check", "-f", "json"])


def test_what_is_right_is_shown_without_its_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = 'DATABASE_URL = "postgresql://refstack:hidden-91@db.example/refstack"'  # no test connects to it
    assert check(config(tmp_path, url)) == 0
    shown = capsys.readouterr().out
    assert "db.example" in shown and "hidden-91" not in shown and "127.0.0.1:4730" in shown


@pytest.mark.parametrize("line", ['GEARMAN_PORT = "x"', "SEAL_TO = 7", "APP_ADDRESS ="])
def test_a_wrong_setting(tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(config(tmp_path, line)) == 3
    assert "refstack.cfg" in capsys.readouterr().err


def test_a_key_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path)
    (tmp_path / "keys" / "sign.key").write_text("nonsense\n")
    assert check(path) == 3
    assert "sign.key" in capsys.readouterr().err
