"""The record of what was done to a machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from refstack_install.errors import BusyError, StepError
from refstack_install.journal import Journal
from refstack_install.system import System


def journal(root: Path) -> Journal:
    return Journal(System(root))


def test_entries_survive_the_program(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.begin("one", {"a": 1})
    assert journal(tmp_path).unfinished == {"step": "one", "state": "begun", "record": {"a": 1}}
    first.done({"a": 2})
    first.begin("two", {})
    first.drop_last()
    again = journal(tmp_path)
    assert again.unfinished is None
    assert again.entries == [{"step": "one", "state": "done", "record": {"a": 2}}]


def test_only_root_can_read_it(tmp_path: Path) -> None:
    made = journal(tmp_path)
    made.begin("one", {})
    made.keep_answers("[node]\n")
    assert [path.stat().st_mode & 0o777 for path in (made.file, made.answers)] == [0o600, 0o600]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 2, "entries": []}'])
def test_another_file_in_its_place_is_an_error(tmp_path: Path, content: str) -> None:
    made = journal(tmp_path)
    made.folder.mkdir(parents=True)
    made.file.write_text(content)
    with pytest.raises(StepError, match="not a journal that this installer can read; move it away"):
        journal(tmp_path)


def test_one_installer_at_a_time(tmp_path: Path) -> None:
    with journal(tmp_path).locked(), pytest.raises(BusyError), journal(tmp_path).locked():
        pass
    with journal(tmp_path).locked():
        pass


def test_what_another_installer_wrote_meanwhile_is_seen_under_the_lock(tmp_path: Path) -> None:
    early = journal(tmp_path)
    journal(tmp_path).begin("one", {})
    with early.locked():
        assert early.unfinished is not None


def test_erasing_leaves_nothing(tmp_path: Path) -> None:
    made = journal(tmp_path)
    made.begin("one", {})
    made.erase()
    assert not made.folder.exists()
