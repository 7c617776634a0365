"""Operators' commands go over the network with a token, and to the server's own database without."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from refstack_worker.cli.queue.api_access import is_remote
from refstack_worker.cli.queue.main import main
from refstack_worker.cli.queue.standalone import files
from refstack_worker.cli.queue.standalone.files import Folder, Wish


@pytest.mark.parametrize(
    ("config", "token", "remote"),
    [(None, Path("t"), True), (Path("c"), Path("t"), False), (None, None, False), (Path("c"), None, False)],
)
def test_a_token_leads_to_the_server_unless_a_configuration_is_named(
    config: Path | None, token: Path | None, remote: bool
) -> None:
    assert is_remote(argparse.Namespace(config=config, token_file=token)) is remote


def test_the_servers_own_calls_are_checked_and_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Folder(tmp_path / "queue")
    folder.path.mkdir()
    files.prepare(folder, Wish())

    def call(*words: str) -> int:
        return main(["--config", str(folder.settings), *words])

    assert call("db", "upgrade") == 0
    assert call("vendor", "create", "Acme") == 0
    assert call("vendor", "create", "Acme") == 5, "the API's refusal keeps its exit status"
    assert call("pause", "--reason", "new disks") == 0
    capsys.readouterr()
    assert call("audit", "list", "-f", "csv") == 0
    audit = capsys.readouterr().out
    assert "on the server" in audit and "pause queue" in audit and "add vendor" in audit
    assert not (folder.path / "data" / "uploads").exists(), "the folder of the service is not made by a command"
