from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from refstack_worker.worker import main


def test_the_process_is_replaced_and_keeps_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda program, argv: calls.append((program, argv)))
    monkeypatch.setattr(os, "chdir", lambda folder: calls.append(("chdir", [folder])))
    main.become(tmp_path / "worker.toml", "1.2.3")
    (_, folder), (program, argv) = calls
    assert folder == ["/"] and program == sys.executable
    assert argv[-4:] == ["--config", str(tmp_path / "worker.toml"), "--software", "1.2.3"]


def test_a_wrong_file_is_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "worker.toml"
    file.write_text("[node]\nslots = 0\n")
    assert main.main(["--config", str(file)]) == 3
    assert "node.slots must be a whole number from 1 to 64" in capsys.readouterr().err
