"""Lists of tests as Tempest writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refstack_worker.execute_test.failures import BadInput
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.listing import TestFacts, exact_names, list_tests, listed_names
from refstack_worker.execute_test.tempest.workspace import Workspace
from tests.support.tempest_standin import tempest_standin


def test_names_among_other_lines() -> None:
    output = b"starting now\nm.C.test_a[id-1,smoke]\n  m.C.test_b(scenario x)\n\nnot a test\n"
    assert listed_names(output) == ["m.C.test_a[id-1,smoke]", "m.C.test_b(scenario x)"]


def test_a_scenario_may_have_any_letter_in_its_name() -> None:
    name = "m.C.test_b(one\u2028two\x85)"
    assert listed_names(f"{name}\nm.C.test_a\n".encode()) == [name, "m.C.test_a"]


def test_a_test_that_is_slow_with_some_options_is_named_in_both_forms() -> None:
    names = ["m.C.test_a[id-1,image,slow,volume]", "m.C.test_b[compute,id-2,slow]", "m.C.test_slow[id-3,slower]"]
    assert exact_names(names) == [
        names[0], "m.C.test_a[id-1,image,volume]", names[1], "m.C.test_b[compute,id-2]", names[2],
    ]  # fmt: skip


def test_the_tests_of_a_selection(tmp_path: Path) -> None:
    home = tempest_standin(tmp_path / "tempest", b"", listing="m.C.test_a\nm.C.test_b\n")
    workspace = Workspace(tmp_path / "work")
    workspace.create()
    tempest = Tempest(home / "bin" / "tempest", "47.0.0", include_list=True, name_prefix=True)
    listing = list_tests(tempest, workspace, ["^m"])
    assert (listing.status, listing.names) == (0, ("m.C.test_a", "m.C.test_b"))
    assert workspace.test_list.read_text() == "^m\n"


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
