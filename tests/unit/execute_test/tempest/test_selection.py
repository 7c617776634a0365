"""Which tests an entry selects."""

from __future__ import annotations

import re

import pytest

from refstack_worker.execute_test.failures import BadInput
from refstack_worker.execute_test.tempest.selection import Selection, check_testcases, expression

UUID = "a22ef352-a342-4587-8f47-3bbdb5b039c4"


@pytest.mark.parametrize(
    ("entry", "name", "found"),
    [
        (f"a.new.Name.test_x[id-{UUID}]", f"an.old.Name.test_y[id-{UUID},smoke]", True),
        (f"id-{UUID.upper()}", f"m.C.test[id-{UUID}]", True),
        (f"id-{UUID}", "m.C.test[id-00000000-a342-4587-8f47-3bbdb5b039c4]", False),
        ("tempest.api.object_storage", "tempest.api.object_storage.test_a.A.test_b[id-1]", True),
        ("tempest.api.object", "tempest.api.object_storage.test_a.A.test_b[id-1]", False),
        ("m.C.test_a", "m.C.test_a[id-1]", True),
        ("m.C.test_a", "m.C.test_a", True),
        ("m.C.test_a", "m.C.test_ab[id-1]", False),
        ("m.C.test_a", "x.m.C.test_a[id-1]", False),
        ("regex:test_(a|b)$", "m.C.test_b", True),
        ("tempest", "keystone_tempest_plugin.tests.T.test_x", True),
    ],
)
def test_what_an_entry_means(entry: str, name: str, found: bool) -> None:
    assert bool(re.search(expression(entry), name)) is found
    assert (Selection((entry,)).unmatched([name]) == []) is found


def test_expression_survives_a_list_file() -> None:
    """stestr cuts a line at # and takes off outer blanks."""
    for entry, name in (("regex:a#b", "a#b"), ("regex: b", "a b"), ("regex:b ", "b c")):
        line = expression(entry).split("#")[0].strip()
        assert re.search(line, name)


def test_everything_needs_no_list() -> None:
    assert Selection(("tempest", "a.b")).expressions == []


@pytest.mark.parametrize("told", [None, "x", [], [1], ["a", None], {"a": 1}, ["--list"], ["a\nb"], ["x;y"], ["regex:"]])
def test_test_cases_that_are_none(told: object) -> None:
    with pytest.raises(BadInput):
        check_testcases(told, "there")


OTHER = "b22ef352-a342-4587-8f47-3bbdb5b039c4"


def test_a_name_with_an_id_means_the_test_of_that_name_and_no_twin() -> None:
    listed = [f"m.IpV6Test.test_a[id-{UUID}]", f"m.Test.test_a[id-{UUID},smoke]", f"m.Test.test_b[id-{OTHER}]"]
    selection = Selection((f"m.Test.test_a[id-{UUID}]",))
    assert selection.is_by_name_first and not Selection(("m.Test", f"id-{UUID}", "regex:a[id-x]")).is_by_name_first
    found = selection.resolved(listed).expressions
    assert [name for name in listed if any(re.search(one, name) for one in found)] == [listed[1]]


def test_a_name_that_is_gone_is_found_by_its_id() -> None:
    listed = [f"new.Test.test_a[id-{UUID}]", f"new.IpV6Test.test_a[id-{UUID}]"]
    (expression_,) = Selection((f"old.Test.test_a[id-{UUID}]",)).resolved(listed).expressions
    assert [bool(re.search(expression_, name)) for name in listed] == [True, False]


def test_a_name_in_a_guideline_that_no_test_can_have_counts_by_its_id() -> None:
    """As in the guidelines of Orchestration, which the interop working group published."""
    entry, listed = f"m.Test.test_a:Wherej[id-{UUID}]", [f"m.Test.test_a[id-{UUID}]", "m.Test.test_b"]
    selection = Selection((entry,))
    assert [any(re.search(one, name) for one in selection.listing_expressions) for name in listed] == [True, False]
    assert selection.chosen_of(listed)[1] == listed[:1]
    assert (selection.unmatched(listed), selection.unmatched(listed[1:])) == ([], [entry])


def test_what_is_listed_to_choose_from_has_names_and_ids() -> None:
    listed = [f"m.Test.test_a[id-{OTHER}]", f"x.Y.z[id-{UUID}]", "m.Test.test_ab", "q.R.s"]
    expressions = Selection((f"m.Test.test_a[id-{UUID}]", "q.R")).listing_expressions
    assert [any(re.search(one, name) for one in expressions) for name in listed] == [True, True, False, True]


def test_an_entry_with_a_wrong_id_is_not_missing_where_its_name_is_listed() -> None:
    assert Selection((f"m.Test.test_a[id-{UUID}]",)).unmatched([f"m.Test.test_a[id-{OTHER}]"]) == []


@pytest.mark.parametrize("scenario", ["a+b", "it's", "50%", '"q"', "a;b", "{'x': 1}", "<lambda>", "ü", "#1"])
def test_a_scenario_of_any_name(scenario: str) -> None:
    name = f"a.B.test_c({scenario})"
    pattern = expression(name)
    assert re.search(pattern, name) and "#" not in pattern
    assert not re.search(pattern, "a.B.test_c(other)")


@pytest.mark.parametrize("prefix", ["tempest.api.a", "tempest.api.a."])
def test_a_prefix_may_end_in_a_dot(prefix: str) -> None:
    listed = ["tempest.api.a.A.test_x", "tempest.api.ab.A.test_x"]
    assert Selection((prefix,)).chosen_of(listed)[1] == listed[:1]
    assert Selection((prefix,)).unmatched(listed) == []
