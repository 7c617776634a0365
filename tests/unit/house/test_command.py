"""``python -m tests.house`` on a checkout of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.__main__ import main


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "refstack_worker").mkdir()
    (tmp_path / "refstack_worker" / "run.py").write_text('def run():\n    raise ValueError("the run is no run")\n')
    return tmp_path


def test_table_and_details(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--top", str(checkout), "--details"]) == 0
    shown = capsys.readouterr().out
    assert "signs of stilted English: 1\n  refstack_worker/run.py:2: is no … (string): the run is no run" in shown


def test_check_fails_while_a_figure_is_not_zero(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--top", str(checkout), "--check"]) == 1
    (checkout / "refstack_worker" / "run.py").write_text('def run():\n    raise ValueError("not a run")\n')
    assert main(["--top", str(checkout), "--check"]) == 0


def test_texts(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--top", str(checkout), "--text"]) == 0
    assert capsys.readouterr().out == "refstack_worker/run.py:2: the run is no run\n"
