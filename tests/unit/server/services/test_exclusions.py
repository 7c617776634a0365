"""What is left out of a run does not run, and the verdict says so."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import pytest

from refstack_worker.contract.test_choice import split_entry
from refstack_worker.contract.testcases import Testcases
from refstack_worker.errors import UsageError
from refstack_worker.server.domain.guideline_file import parse
from refstack_worker.server.domain.guidelines import Program
from refstack_worker.server.services.exclusions import ALL_TESTS, API_TESTS, Exclusions, without_effect
from refstack_worker.server.services.tempest_tests import newest
from tests.unit.server.domain.test_verdict import UUIDS, schema_2

ID = UUIDS[1]
LISTED = [f"tempest.api.a.A.test_x[id-{ID}]", "tempest.api.a.A.test_xy", "tempest.api.b.B.test_z[id-2]", "other.T.test"]


def of(**reasons: str) -> Exclusions:
    return Exclusions.of([{"test": name.replace("__", "."), "reason": why} for name, why in reasons.items()])


def runs(chosen: Testcases) -> list[str]:
    patterns = [*chosen.regexes, *(f"^{re.escape(name.partition('[')[0])}(?:[.\\[(]|$)" for name in chosen.names)]
    return [test for test in LISTED if any(re.search(one, test) for one in patterns)]


@pytest.mark.parametrize("expression", [ALL_TESTS, API_TESTS, "tempest", r"\.test_", "test_x|test_z|test$"])
def test_an_expression_finds_all_but_what_is_left_out(expression: str) -> None:
    everything = runs(Testcases(regexes=(expression,)))
    excluded = of(tempest__api__a__A__test_x="bug", tempest__api__b="no b")
    expected = [test for test in everything if test not in (LISTED[0], LISTED[2])]
    assert runs(excluded.apply(Testcases(regexes=(expression,)))) == expected


def test_a_test_is_left_out_by_its_id() -> None:
    excluded = Exclusions.of([{"test": f"id-{ID}"}])
    assert runs(excluded.apply(Testcases(regexes=(ALL_TESTS,)))) == LISTED[1:]
    assert excluded.apply(Testcases(names=(f"x.Y.z[id-{ID}]", f"q[id-{UUIDS[2]}]"))).names == (f"q[id-{UUIDS[2]}]",)


def test_a_test_is_left_out_by_its_id_from_what_has_none() -> None:
    excluded = Exclusions.of([{"test": f"id-{ID}"}])
    chosen = excluded.apply(Testcases(names=("tempest.api.a", "tempest.api.b.B.test_z")))
    assert runs(chosen) == LISTED[1:3]
    name, uuid = split_entry(next(one for one in newest().full_names if "[" in one))
    known = Exclusions.of([{"test": f"id-{uuid}"}]).apply(Testcases(names=(name, "tempest.api.b.B.test_z")))
    assert known.names == () and runs(known) == LISTED[2:3]


def test_names_are_taken_out_and_a_class_runs_without_one_test() -> None:
    excluded = of(tempest__api__a__A__test_x="bug")
    assert runs(excluded.apply(Testcases(names=("tempest.api.a", "tempest.api.b.B.test_z")))) == LISTED[1:3]
    assert excluded.apply(Testcases(names=("tempest.api.a.A.test_x", "q"))).names == ("q",)


@pytest.mark.parametrize("prefix", ["tempest.api.a", "tempest.api.a."])
def test_prefixes_may_end_in_a_dot(prefix: str) -> None:
    assert runs(Exclusions.of([{"test": prefix}]).apply(Testcases(regexes=(ALL_TESTS,)))) == LISTED[2:]
    one = of(tempest__api__a__A__test_x="bug").apply(Testcases(names=(prefix,)))
    assert one.names == () and runs(one) == LISTED[1:2]


@pytest.mark.parametrize("chosen", [Testcases(names=("tempest.api.a.A.test_x",)), Testcases(url="http://x/")])
def test_what_cannot_be_is_refused(chosen: Testcases) -> None:
    with pytest.raises(UsageError, match="exclude"):
        of(tempest__api__a="why").apply(chosen)


@pytest.mark.parametrize("text", ["", " ", "a b", "a;b", "(x)", "--x", "a.b$"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="exclude"):
        Exclusions.of([{"test": text}])


def test_more_than_an_expression_holds_is_refused_with_a_sentence() -> None:
    many: list[Any] = [{"test": f"tempest.api.module.Class.test_{number}"} for number in range(2000)]
    with pytest.raises(UsageError, match="characters"):
        Exclusions.of(many).apply(Testcases(regexes=(ALL_TESTS,)))


def test_what_a_program_loses_has_its_reason() -> None:
    program = parse(schema_2()).program("Storage")
    excluded = Exclusions.of([{"test": "tempest.b.T.test_older", "reason": "bug 1"}, {"test": f"id-{UUIDS[4]}"}])
    assert excluded.left_out(program) == {
        "tempest.a.T.test_old": "bug 1",
        "tempest.a.T.test_get": "no reason given",
    }


def test_what_would_be_too_long_is_not_written_first() -> None:
    """Each expression carries all exclusions: a request of half a megabyte became gigabytes."""
    excluded = Exclusions.of([{"test": f"n{number}.{'x' * 400}"} for number in range(300)])
    chosen = Testcases(names=tuple(f"n{number}" for number in range(300)))
    tracemalloc.start()
    with pytest.raises(UsageError, match="exclude: is too long"):
        excluded.apply(chosen)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_what_is_below_a_name_is_found_among_many() -> None:
    excluded = Exclusions.of([{"test": name} for name in ("a.b.c", "a.bc.d", "a.b-x".replace("-", "_"), "z.y")])
    assert [excluded._is_within(name) for name in ("a", "a.b", "a.bc", "a.b.c", "z", "y", "a.b_x")] == [
        *(True, True, True, False, True, False, False)
    ]


class Asked(dict[str, str]):
    """Reasons that keep which names were looked up."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__(reasons)
        self.names: list[object] = []

    def __contains__(self, name: object) -> bool:
        self.names.append(name)
        return super().__contains__(name)


def test_a_long_name_is_looked_up_only_as_deep_as_the_reasons() -> None:
    """To look up each part of a name with 250,000 dots took hours."""
    reasons = Asked({"a.b.C": "bug"})
    assert Exclusions(reasons).reason(".".join("a" * 100_000)) is None
    assert reasons.names == ["a.a.a", "a.a", "a"]
    assert Exclusions(reasons).reason("a.b.C.test") == "bug" and Exclusions(reasons).reason("a.b") is None


def test_without_exclusions_no_test_is_looked_at() -> None:
    class Unread(Program):
        def tests(self, *_: Any, **__: Any) -> Any:
            raise AssertionError

    assert Exclusions({}).left_out(Unread("x")) == {}


@pytest.mark.parametrize(
    ("chosen", "excluded"),
    [
        pytest.param({}, ["tempest.api.servers.Test.test_typo", f"id-{ID}"], id="all tests"),
        pytest.param({"testcases": {"regexes": ["api"]}}, ["tempest.api.compute.servers.nowhere"], id="an expression"),
        pytest.param({"testcases": {"names": ["tempest.api.volume"]}}, ["tempest.api.compute", "x.y"], id="a prefix"),
        pytest.param({"testcases": {"names": ["tempest.api"]}}, ["tempest.api.compute.Typo"], id="below a prefix"),
        pytest.param({"testcases": {"names": ["a.B.test_c"]}}, ["a.B.test_d", "a.B2"], id="a test"),
        pytest.param({"guideline": {}}, ["tempest.a.T.test_typo", "tempest.api.compute"], id="a guideline"),
        pytest.param({"guideline": {"tests": "api"}}, ["tempest.api.compute.Typo"], id="a guideline and all API tests"),
    ],
)  # fmt: skip
def test_exclusions_without_effect_are_named(chosen: dict[str, Any], excluded: list[str]) -> None:
    program = parse(schema_2()).program("Storage") if "guideline" in chosen else None
    body = {"tempest_version": "47.0.0", "exclude": [{"test": one} for one in excluded], **chosen}
    (warning,) = without_effect(body, program)
    assert warning.endswith(f" no test of this run: {', '.join(excluded)}.")


@pytest.mark.parametrize(
    ("chosen", "excluded"),
    [
        ({}, "tempest.api.compute.servers"),
        ({"plugins": {"heat-tempest-plugin": "3.0.0"}}, f"id-{ID}"),
        ({"plugins": {"heat-tempest-plugin": "3.0.0"}}, "heat_tempest_plugin.tests.T.test_x"),
        ({"tempest_version": "99.0.0"}, "tempest.api.compute.Typo"),
        ({"testcases": {"names": ["tempest.api.compute."]}}, "tempest.api.compute.servers"),
        ({"testcases": {"names": ["heat_tempest_plugin.tests"]}}, "heat_tempest_plugin.tests.T.test_x"),
        ({"testcases": {"names": [f"a.B.test_c[id-{ID}]"]}}, f"id-{ID.upper()}"),
        ({"guideline": {}}, "tempest.b.T.test_older"),
        ({"guideline": {}}, f"id-{UUIDS[4]}"),
        ({"guideline": {"tests": "api"}}, "tempest.api.compute"),
        ({"guideline": {"tests": "api"}}, "tempest.b.T.test_older"),
    ],
)
def test_exclusions_that_may_have_an_effect_are_not_named(chosen: dict[str, Any], excluded: str) -> None:
    program = parse(schema_2()).program("Storage") if "guideline" in chosen else None
    assert without_effect({"tempest_version": "47.0.0", "exclude": [{"test": excluded}], **chosen}, program) == []
