"""The command line of the installer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refstack_install.cli import main


def test_missing_settings_are_named_and_the_status_is_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text("ID=debian\n")
    assert main(["plan", "--json", "--root", str(tmp_path), "--set", "node.slots=1"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["reason"] == "answers"
    assert "keys.fleet" in error["what"]


def test_a_wrong_command_line_has_status_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--nonsense"]) == 3
    assert "see --help" in capsys.readouterr().err
