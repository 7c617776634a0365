"""Options of ``refstack-queue standalone`` are checked before its folder is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.cli.queue.main import main


@pytest.mark.parametrize("options", [("--port", "99999"), ("--port", "-1"), ("--port", "http"), ("--slots", "-1")])
def test_a_wrong_number_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str]
) -> None:
    folder = tmp_path / "sa"
    with pytest.raises(SystemExit, match="2"):
        main(["standalone", "--folder", str(folder), *options, "--prepare"])
    assert f"argument {options[0]}: " in capsys.readouterr().err and not folder.exists()
