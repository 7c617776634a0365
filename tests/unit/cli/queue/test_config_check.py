from __future__ import annotations

import json
from pathlib import Path

import certifi
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


def test_names_that_look_like_a_typo_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path, 'TESTING_HOST = ["10.0.0.0/8"]', "rate_limit = 20", 'SECRET_KEY = "x"', "DEBUG = True")
    assert check(path) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["file"] == str(path) and shown["not used"].splitlines() == [
        f"{path}:3: TESTING_HOST is not a setting; did you mean TESTING_HOSTS?",
        f"{path}:4: rate_limit is not a setting; did you mean RATE_LIMIT?",
    ]
    assert check(config(tmp_path, "RATE_LIMIT = 20")) == 0
    assert "not used" not in capsys.readouterr().out


@pytest.mark.parametrize("line", ['GEARMAN_PORT = "x"', "SEAL_TO = 7", "APP_ADDRESS ="])
def test_a_wrong_setting(tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(config(tmp_path, line)) == 3
    assert "refstack.cfg" in capsys.readouterr().err


def test_a_key_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path)
    (tmp_path / "keys" / "sign.key").write_text("nonsense\n")
    assert check(path) == 3
    assert "sign.key" in capsys.readouterr().err
    assert check(config(tmp_path, 'KEY_FOLDER = "/nowhere"')) == 3
    assert "SIGN_KEY_FILE: /nowhere/sign.key: No such file" in capsys.readouterr().err


MISSING = "/nowhere/file"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f'SMTP_PASSWORD_FILE = "{MISSING}"', f"SMTP_PASSWORD_FILE: {MISSING}: No such file or directory; put"),
        ('SMTP_PASSWORD_FILE = "/dev/null"', "SMTP_PASSWORD_FILE: /dev/null is empty; put the password"),
        ('SMTP_USER = "refstack"', "SMTP_USER: no password is set; name the file that contains it"),
        (f'SMTP_CA_FILE = "{MISSING}"', f"SMTP_CA_FILE: {MISSING}: No such file"),
        ('SMTP_CA_FILE = "/etc/passwd"', "SMTP_CA_FILE: /etc/passwd contains no certificate in PEM form; put"),
        (f'OIDC_CLIENT_SECRET_FILE = "{MISSING}"', f"OIDC_CLIENT_SECRET_FILE: {MISSING}: No such file"),
        ('OIDC_CLIENT_SECRET_FILE = "/etc"', "OIDC_CLIENT_SECRET_FILE: /etc: Is a directory; put the client secret"),
        (f'OIDC_CA_FILE = "{MISSING}"', f"OIDC_CA_FILE: {MISSING}: No such file"),
        (f'UPLOAD_KEY_FILE = "{MISSING}"', f"UPLOAD_KEY_FILE: {MISSING}: cannot be read: No such file"),
        (f'TEMPEST_HOME = "{MISSING}"', f"TEMPEST_HOME: {MISSING} is not a folder; name a virtualenv"),
        ('TEST_METHOD = "local"', 'TEMPEST_HOME is not set, and TEST_METHOD "local" needs it'),
        ('DATA_FOLDER = "/etc/passwd"', "DATA_FOLDER: /etc/passwd is not a folder"),
    ],
)
def test_a_file_that_cannot_be_used(
    tmp_path: Path, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(config(tmp_path, line)) == 3
    assert message in capsys.readouterr().err


def test_files_that_can_be_used(tmp_path: Path) -> None:
    secret, home = tmp_path / "secret", tmp_path / "tempest"
    secret.write_text("s3cret\n")
    home.mkdir()
    lines = [f'SMTP_PASSWORD_FILE = "{secret}"', 'SMTP_USER = "refstack"', f'OIDC_CLIENT_SECRET_FILE = "{secret}"']
    authorities = [f'SMTP_CA_FILE = "{certifi.where()}"', f'OIDC_CA_FILE = "{certifi.where()}"']
    assert check(config(tmp_path, *lines, *authorities, f'TEMPEST_HOME = "{home}"', 'TEST_METHOD = "local"')) == 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://db.example/refstack", "DATABASE_URL: 'mysql' databases are not supported; use sqlite:////PATH, or"),
        ("nosuch://db.example/refstack", "DATABASE_URL: 'nosuch' databases are not supported"),
        ("postgresql+nosuch://db.example/refstack", "DATABASE_URL: driver 'postgresql+nosuch' cannot be used"),
        ("sqlite://", "DATABASE_URL: an SQLite database in memory is lost"),
        ("sqlite:////etc", "DATABASE_URL: /etc is a folder; name a file"),
        ("sqlite:////etc/passwd/sub/x.sqlite", "DATABASE_URL: /etc/passwd is not a folder; name a file"),
    ],
)
def test_a_database_that_cannot_be_used(
    tmp_path: Path, url: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(config(tmp_path, f'DATABASE_URL = "{url}"')) == 3
    assert message in capsys.readouterr().err


def test_the_database_is_not_made(tmp_path: Path) -> None:
    assert check(config(tmp_path, f'DATABASE_URL = "sqlite:///{tmp_path}/new/folder/x.sqlite"')) == 0
    assert not (tmp_path / "new").exists()
