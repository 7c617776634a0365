"""Who is to blame for what cannot be read: what was sent, or this server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refstack_worker.errors import KeyFileError, LedgerError, ResultError
from refstack_worker.server.results import confined


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(b"{}")
    with pytest.raises(ResultError) as raised:
        confined.import_result(given, tmp_path / "stream")
    assert "Traceback" not in str(raised.value) and str(raised.value)


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(KeyFileError, match="private_key"):
        confined.upload_key("no key at all")


def test_trouble_of_the_server_is_never_the_vendors_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tmp_path / "given"
    given.write_bytes(b"test: a.B.c\nsuccess: a.B.c\n")
    # a full disk, or a folder that is gone
    with pytest.raises(LedgerError, match="try again"):
        confined.from_v1(given, tmp_path / "gone" / "stream")
    monkeypatch.setattr(confined, "MAX_SECONDS", 0.01)
    with pytest.raises(LedgerError, match="try again"):
        confined.import_result(given, tmp_path / "stream")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(LedgerError, match="try again"):
        confined.upload_key("")


def test_other_requests_come_first_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(confined.limited, "run", lambda _module, _words, limits, _input: given.append(limits) or "[]")
    confined.chosen_tests(["a"], ["a"])
    assert given[0].niceness > 0


class TestChosenTests:
    LISTED = ("a.B.test_c[id-00000000-0000-0000-0000-000000000001,smoke]", "a.B.test_d", "a.E.test_f[slow]")

    def test_as_a_node_chooses_them(self) -> None:
        assert confined.chosen_tests(["a.B", r"regex:\[.*slow"], self.LISTED) == list(self.LISTED)
        assert confined.chosen_tests(["tempest"], self.LISTED) == list(self.LISTED)
        assert confined.chosen_tests(["a.X.test_c[id-00000000-0000-0000-0000-000000000001]"], self.LISTED) == [
            self.LISTED[0]
        ]

    def test_what_makes_no_sense_is_refused(self) -> None:
        with pytest.raises(ResultError, match="not a regular expression"):
            confined.chosen_tests(["regex:("], self.LISTED)

    def test_what_takes_for_ever_is_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(confined, "MAX_CHOOSING_SECONDS", 1)
        with pytest.raises(ResultError, match="take too long"):
            confined.chosen_tests(["regex:(a+)+$"], ["a" * 60 + "b"])
