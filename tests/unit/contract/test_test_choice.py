"""The test that a guideline names is the one that runs; an id decides only where none of the names is there."""

from __future__ import annotations

import pytest

from refstack_worker.contract.test_choice import choose, closest, entry, split_entry

ONE = "0f3d62a6-47e3-4554-b0e5-1a5dc372d501"
TWO = "dbbfd247-c40c-449e-8f6c-d2aa7c7da7cf"


def test_a_twin_with_the_same_id_is_not_chosen() -> None:
    named, twin = f"a.NetworksTest.test_show[id-{ONE}]", f"a.NetworksIpV6Test.test_show[id-{ONE}]"
    assert choose([entry("a.NetworksTest.test_show", ONE)], [twin, named]) == [named]


def test_an_alias_is_chosen_where_it_is_listed() -> None:
    moved = f"b.New.test_show[id-{ONE},smoke]"
    asked = [entry("a.Old.test_show", ONE), entry("b.New.test_show", ONE, is_alias=True)]
    assert choose(asked, [moved]) == [moved]
    assert choose(asked, [moved, f"a.Old.test_show[id-{ONE}]"]) == [f"a.Old.test_show[id-{ONE}]"]


def test_two_required_names_of_one_id_are_both_chosen() -> None:
    listed = [f"a.One.test_x[id-{ONE}]", f"a.Two.test_x[id-{ONE}]", f"a.TwoIpV6.test_x[id-{ONE}]"]
    assert choose([entry("a.One.test_x", ONE), entry("a.Two.test_x", ONE)], listed) == listed[:2]


def test_without_any_of_the_names_the_id_decides_and_the_twin_stays_out() -> None:
    moved, twin = f"b.NetworksTest.test_show[id-{ONE}]", f"b.NetworksIpV6Test.test_show[id-{ONE}]"
    assert choose([entry("a.NetworksTest.test_show", ONE)], [twin, moved]) == [moved]


def test_a_wrong_id_does_no_harm_where_the_name_is_listed() -> None:
    named, other = f"a.B.test_x[id-{ONE}]", f"a.C.test_y[id-{TWO}]"
    assert choose([entry("a.B.test_x", TWO)], [named, other]) == [named]


def test_a_name_without_an_id_is_chosen_by_name_alone() -> None:
    assert choose(["a.B.test_x", "a.B.test_gone"], ["a.B.test_x", "a.B.test_y"]) == ["a.B.test_x"]


def test_nothing_is_chosen_where_neither_name_nor_id_is_listed() -> None:
    assert choose([entry("a.B.test_x", TWO)], [f"a.B.test_y[id-{ONE}]"]) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (f"a.B.test_x[id-{ONE},smoke]", ("a.B.test_x", ONE)),
        (f"a.B.test_x[id-{ONE.upper()}]", ("a.B.test_x", ONE)),
        (f"id-{ONE}", ("", ONE)),
        ("a.B.test_x(scenario)", ("a.B.test_x", "")),
        ("a.B.test_x[smoke]", ("a.B.test_x", "")),
    ],
)
def test_an_entry_is_taken_apart(text: str, parts: tuple[str, str]) -> None:
    assert split_entry(text) == parts


def test_the_closest_has_the_method_and_the_class_of_the_name() -> None:
    assert closest(["a.b.C.test_x"], ["z.CTwin.test_x", "z.C.test_y", "z.C.test_x"]) == "z.C.test_x"
