"""What a run gets to know about its tests beforehand: read strictly, and given to stestr in its own format."""

from __future__ import annotations

import json
from dbm import dumb
from pathlib import Path

import pytest

from refstack_worker.execute_test.failures import BadInput
from refstack_worker.execute_test.tempest.test_facts import TestFacts, give_durations


def test_names_and_durations_are_read(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("a.B.test_c[id-1,smoke]\n\na.B.test_d(x\u2028y)\n")
    (tmp_path / "seconds").write_text(json.dumps({"a.B.test_c": 1.5, "x": -1, "y": "no", "z": True, "w": 1e12}))
    facts = TestFacts.read(tmp_path / "names", tmp_path / "seconds")
    assert facts.names == ("a.B.test_c[id-1,smoke]", "a.B.test_d(x\u2028y)")
    assert facts.durations == {"a.B.test_c": 1.5}
    assert TestFacts.read(None, None) == TestFacts()


@pytest.mark.parametrize(("text", "said"), [("[1]", "not a JSON object"), ("{", "not JSON"), (None, "No such file")])
def test_what_is_no_list_of_durations_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "seconds").write_text(text)
    with pytest.raises(BadInput, match=said):
        TestFacts.read(None, tmp_path / "seconds")


def test_durations_of_the_chosen_tests_are_in_the_repository(tmp_path: Path) -> None:
    give_durations(tmp_path, {"a.B.test_c": 1.5, "a.B.other": 3.0}, ["a.B.test_c[id-1,smoke]", "a.B.test_d"])
    with dumb.open(str(tmp_path / ".stestr/times.dbm"), "r") as times:
        assert {key: float(times[key]) for key in times.keys()} == {b"a.B.test_c": 1.5}
    assert (tmp_path / ".stestr/format").read_text() == "1\n"


def test_no_repository_is_made_for_nothing(tmp_path: Path) -> None:
    give_durations(tmp_path, {"a.B.other": 3.0}, ["a.B.test_c"])
    assert list(tmp_path.iterdir()) == []


def test_stestr_itself_reads_the_durations(tmp_path: Path) -> None:
    file = pytest.importorskip("stestr.repository.file")
    give_durations(tmp_path, {"a.B.test_c": 1.5}, ["a.B.test_c[id-1,smoke]"])
    repository = file.RepositoryFactory().open(str(tmp_path))
    assert repository.get_test_times(["a.B.test_c[id-1,smoke]"])["known"] == {"a.B.test_c[id-1,smoke]": 1.5}
