"""What the commands that change a repository print when they changed nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refstack_worker.builder.repository.publish import Publisher
from refstack_worker.cli.package import main


@pytest.mark.parametrize("words", [["--dry-run"], ["--key", "ID"]])
def test_prune_with_nothing_to_do_says_so(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["prune", "--repo", str(tmp_path), "--keep", "3", *words]
    assert main.main(argv) == 0
    assert capsys.readouterr().out == "nothing to withdraw\n"
    assert main.main([*argv, "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_what_prune_withdrew_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Publisher, "prune", lambda *_: ["a_1.deb"])
    assert main.main(["prune", "--repo", str(tmp_path), "--keep", "3", "--key", "ID"]) == 0
    assert "a_1.deb" in capsys.readouterr().out


def test_publish_with_nothing_new_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Publisher, "publish", lambda *_: [])
    assert main.main(["publish", "--repo", str(tmp_path), "--key", "ID", "a_1.deb"]) == 0
    assert capsys.readouterr().out == "nothing to publish: the repositories have these packages already\n"
