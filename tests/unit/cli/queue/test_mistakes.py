"""Mistakes of users are one sentence that names the option or setting, not a fault to report."""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.cli.queue.main import main
from refstack_worker.config import refstack_cfg
from refstack_worker.contract.limits import MAX_GUIDELINE_BYTES, MAX_IMPORT_BYTES, MAX_TEXT_BYTES
from refstack_worker.contract.signed_verdict import MAX_BYTES


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "refstack.cfg"
    file.write_text(
        f'TEST_METHOD = "gearman"\nDATA_FOLDER = "{tmp_path}/data"\nKEY_FOLDER = "{tmp_path}/keys"\n'
        'APP_ADDRESS = "http://127.0.0.1:1"\n'
    )
    return file


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    # a program logs once; in these tests each call of main adds a handler
    (shown,) = set(capsys.readouterr().err.splitlines())
    assert "report it" not in shown and "Errno" not in shown
    return shown


@pytest.mark.parametrize("url", ["://", "postgresql://u:secret@h:port/x"])
def test_a_database_url_that_is_none(config: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "keys", "generate"]) == 0
    config.write_text(config.read_text() + f'DATABASE_URL = "{url}"\n')
    assert main(["--config", str(config), "db", "version"]) == 3
    shown = one_line(capsys)
    assert main(["--config", str(config), "config", "check"]) == 3
    assert one_line(capsys) == shown
    assert shown.startswith("DATABASE_URL: ") and "secret" not in shown


def test_a_database_below_a_file(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    config.write_text(config.read_text() + f'DATABASE_URL = "sqlite:///{tmp_path}/file/x"\n')
    assert main(["--config", str(config), "db", "version"]) == 3
    assert f"DATABASE_URL: folder {tmp_path}/file cannot be created" in one_line(capsys)


def test_a_revision_that_does_not_exist(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "db", "upgrade"]) == 0
    capsys.readouterr()
    assert main(["--config", str(config), "db", "downgrade", "nosuch"]) == 2
    assert one_line(capsys).startswith("revision 'nosuch': ")


@pytest.mark.parametrize("below", ["", "/x"])
def test_a_file_where_a_folder_is_wanted(
    config: Path, tmp_path: Path, below: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    path = f"{tmp_path}/file{below}"
    assert main(["--config", str(config), "keys", "generate", path]) == 3
    assert one_line(capsys).startswith(f"{path}: cannot be created: ")
    assert main(["standalone", "--folder", path, "--prepare"]) == 3
    assert one_line(capsys).startswith(f"--folder: {path}: cannot be created: ")


def test_a_guideline_that_is_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o600)
    words = ["--url", "http://127.0.0.1:1", "--token-file", str(tmp_path / "token")]
    assert main([*words, "guideline", "add", str(tmp_path)]) == 2
    assert one_line(capsys) == f"{tmp_path}: cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (["run", "create", "--tempest-version", "47.0.0", "--conf-json", "@{}"], MAX_TEXT_BYTES),
        (["run", "create", "--tempest-version", "47.0.0", "--testcases", "@{}"], MAX_TEXT_BYTES),
        (["run", "create", "--tempest-version", "47.0.0", "--exclude-list", "{}"], MAX_TEXT_BYTES),
        (["run", "create", "--tempest-version", "47.0.0", "--password-file", "{}"], MAX_TEXT_BYTES),
        (["run", "import", "--tempest-version", "47.0.0", "{}"], MAX_IMPORT_BYTES),
        (["run", "upload", "1", "--signature", "{}", "--public-key", "{}"], MAX_TEXT_BYTES),
        (["verify", "--key", "{}", "{}"], MAX_BYTES),
        (["guideline", "add", "{}"], MAX_GUIDELINE_BYTES),
    ],
)
def test_a_file_that_is_too_large(
    tmp_path: Path, words: list[str], limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, size in (("token", 1), ("file", limit + 1)):
        with (tmp_path / name).open("wb") as file:
            file.write(b"x")
            file.truncate(size)
        (tmp_path / name).chmod(0o600)
    access = ["--url", "http://127.0.0.1:1", "--token-file", str(tmp_path / "token")]
    assert main([*access, *(word.format(tmp_path / "file") for word in words)]) == 2
    assert f"larger than {limit} bytes" in one_line(capsys)


def test_settings_that_are_too_large(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(refstack_cfg.MAX_BYTES + 1)
    assert main(["--config", str(tmp_path / "file"), "db", "version"]) == 3
    assert f"larger than {refstack_cfg.MAX_BYTES} bytes; name the file with --config" in one_line(capsys)
