from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from refstack_worker.contract import keys


@pytest.fixture(autouse=True)
def locks(tmp_path: Path) -> None:
    """Make the folder that the settings name."""
    (tmp_path / "locks").mkdir()


def test_a_valid_file_is_summarised(
    worker: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert worker("config", "check", "-f", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["node"] == "node-1" and shown["servers"] == "https://refstack.example.org"
    ring = keys.load_seal_private(tmp_path / "fleet.key")
    assert shown["fleet keys"] == ring.newest[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[node]\nslots = 0\n", "worker.toml:2: node.slots must be a whole number from 1 to 64"),
        ("[node]\nslot = 1\n", "worker.toml:2: node.slot is not a setting"),
        ("[node\n", "worker.toml"),
        ("", "server.urls is empty"),
    ],
)
def test_a_wrong_file_is_refused(
    worker: Callable[..., int], config: Path, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    config.write_text(text)
    assert worker("config", "check") == 3
    assert message in caplog.text


def test_a_wrong_key_is_refused(worker: Callable[..., int], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "fleet.key").write_text("not a key\n")
    assert worker("config", "check") == 3
    assert "fleet.key" in caplog.text


def test_the_file_itself_counts_and_not_the_copy_that_systemd_made_at_the_start(
    worker: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (tmp_path / "fleet.key").rename(credentials / "fleet.key")
    (tmp_path / "fleet.key").write_text("broken by an editor\n")
    (tmp_path / "fleet.key").chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert worker("config", "check") == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[server]\nca_file = "/nowhere/ca.pem"\n', "server.ca_file: /nowhere/ca.pem: No such file or directory; put"),
        ('[environments]\nca_file = "/etc/passwd"\n', "environments.ca_file: /etc/passwd contains no certificate"),
        (
            '[environments]\ninterpreters = ["/nowhere/python3.8"]\n',
            "environments.interpreters: /nowhere/python3.8 does not exist or is not executable; install it",
        ),
        (
            '[environments]\nlock_folders = ["/nowhere/locks"]\n',
            "environments.lock_folders: /nowhere/locks is not a folder; create it",
        ),
        (
            '[environments]\nwheelhouses = ["https://w.example/w", "htps://w.example/wheels"]\n',
            "environments.wheelhouses: htps:/w.example/wheels must be an absolute path",
        ),
        (
            '[environments]\nwheelhouses = ["/etc/passwd"]\n',
            "environments.wheelhouses: /etc/passwd is not a folder; create it",
        ),
        (
            '[environments]\nwheelhouses = ["https:///wheels"]\n',
            "environments.wheelhouses: https:///wheels is not a URL",
        ),
        ('[environments]\nindex = "pypi"\n', "environments.index: pypi is not a URL; write http:// or https://"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    worker: Callable[..., int], config: Path, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    drop_in = config.parent / "conf.d" / "site.toml"
    drop_in.parent.mkdir()
    drop_in.write_text(text)
    assert worker("config", "check") == 3
    assert message in caplog.text
