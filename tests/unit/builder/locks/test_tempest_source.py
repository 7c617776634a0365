"""A checkout may be another user's: what its configuration names is not executed to look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker import process
from refstack_worker.builder.locks import tempest_source


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    return process.run(["git", "-C", str(folder), *who, *words], process.Options()).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "tempest"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "setup.py").write_text("x\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "x")
    return folder


def is_changed(checkout: Path, work: Path) -> bool:
    work.mkdir()
    _, commit, changed = tempest_source._copied(checkout, work)
    assert commit == git(checkout, "rev-parse", "HEAD")
    return changed


@pytest.mark.parametrize("setting", ["core.fsmonitor", "filter.x.clean", "filter.x.process"])
def test_a_program_that_its_configuration_names_is_not_executed(checkout: Path, tmp_path: Path, setting: str) -> None:
    """Security: the one who locks is often root."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\nexit 1\n")
    program.chmod(0o755)
    (checkout / ".gitattributes").write_text("* filter=x\n")
    (checkout / "setup.py").write_text("y\n")  # of the same size: git has to read it
    git(checkout, "config", setting, str(program))
    assert is_changed(checkout, tmp_path / "work")
    assert not (tmp_path / "executed").exists()


def test_what_differs_from_the_commit_is_a_change(checkout: Path, tmp_path: Path) -> None:
    (checkout / "notes").write_text("of no commit\n")
    assert not is_changed(checkout, tmp_path / "clean")
    git(checkout, "add", "notes")
    assert is_changed(checkout, tmp_path / "added")
    git(checkout, "rm", "-q", "--cached", "notes")
    (checkout / "setup.py").write_text("changed\n")
    assert is_changed(checkout, tmp_path / "changed")


def test_a_worktree_of_another_checkout_is_looked_at(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "worktree", "add", "-q", "--detach", str(tmp_path / "second"))
    assert not is_changed(tmp_path / "second", tmp_path / "clean")
    (tmp_path / "second" / "setup.py").unlink()
    assert is_changed(tmp_path / "second", tmp_path / "changed")
