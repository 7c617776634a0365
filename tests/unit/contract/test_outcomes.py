"""One rule counts the tests of a result: on the node, on the server, and in everything shown."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subunit import ByteStreamToStreamResult

from refstack_worker.contract.outcomes import (
    FAILED,
    MAX_ABOVE,
    MAX_GROUPS,
    MAX_SELECTED,
    PASSED,
    SKIPPED,
    Answered,
    Counts,
    Outcomes,
    class_of,
    group_of,
    groups_above,
    selected_packet,
    skipped_packet,
)


def outcomes(*ended: tuple[str, str], selected: tuple[str, ...] = ()) -> Outcomes:
    found = Outcomes()
    for test, outcome in ended:
        found.begin(test)
        found.end(test, outcome)
    for test in selected:
        found.select(test)
    return found


def test_each_test_counts_once() -> None:
    assert outcomes(("a.B.c", PASSED), ("a.B.d", FAILED), ("a.B.e", SKIPPED)).counted() == Counts(1, 1, 1)


@pytest.mark.parametrize(
    ("first", "second", "counted"),
    [
        (PASSED, FAILED, Counts(failed=1)),
        (FAILED, PASSED, Counts(failed=1)),
        (PASSED, SKIPPED, Counts(skipped=1)),
        (SKIPPED, PASSED, Counts(skipped=1)),
        (PASSED, PASSED, Counts(passed=1)),
    ],
)
def test_a_test_that_runs_twice_has_the_worse_outcome(first: str, second: str, counted: Counts) -> None:
    assert outcomes(("a.B.c", first), ("a.B.c", second)).counted() == counted


def test_the_end_of_a_test_says_what_it_changed() -> None:
    found = Outcomes()
    ended = [found.end("a.B.c", outcome) for outcome in (PASSED, FAILED, PASSED)]
    assert [(one.is_first, one.is_worse) for one in ended] == [(True, False), (False, True), (False, False)]


def test_a_class_that_cannot_be_set_up_answers_for_each_of_its_selected_tests() -> None:
    found = outcomes(("setUpClass (a.B)", FAILED), selected=("a.B.c[id-1]", "a.B.d", "a.Other.c"))
    assert found.counted() == Counts(failed=2)
    assert found.answered() == [
        Answered("a.B.c[id-1]", FAILED, "setUpClass (a.B)"),
        Answered("a.B.d", FAILED, "setUpClass (a.B)"),
    ]


def test_a_class_that_is_skipped_answers_with_its_skip() -> None:
    assert outcomes(("setUpClass (a.B)", SKIPPED), selected=("a.B.c", "a.B.d")).counted() == Counts(skipped=2)


def test_a_module_that_cannot_be_set_up_answers_for_the_tests_of_its_classes() -> None:
    found = outcomes(("setUpModule (a.b)", FAILED), selected=("a.b.C.d", "a.b.E.f", "a.bc.D.e"))
    assert found.counted() == Counts(failed=2)


def test_a_group_whose_selected_tests_are_not_known_counts_as_one() -> None:
    assert outcomes(("setUpClass (a.B)", FAILED)).counted() == Counts(failed=1)


def test_a_class_that_cannot_be_torn_down_fails_once_and_its_tests_keep_their_outcomes() -> None:
    found = outcomes(("a.B.c", PASSED), ("tearDownClass (a.B)", FAILED), selected=("a.B.c",))
    assert found.counted() == Counts(passed=1, failed=1)


@pytest.mark.parametrize("group", ["tearDownClass (a.B)", "tearDownModule (a)"])
def test_a_class_that_cannot_be_torn_down_does_not_answer_for_tests_that_did_not_run(group: str) -> None:
    found = outcomes(("a.B.c", PASSED), (group, FAILED), selected=("a.B.c", "a.B.d"))
    assert found.answered() == [] and found.counted() == Counts(passed=1, failed=1)


def test_the_set_up_of_a_class_answers_beside_its_failed_tear_down() -> None:
    found = outcomes(("tearDownClass (a.B)", FAILED), ("setUpClass (a.B)", SKIPPED), selected=("a.B.c",))
    assert found.answered() == [Answered("a.B.c", SKIPPED, "setUpClass (a.B)")]
    assert found.counted() == Counts(failed=1, skipped=1)


def test_a_test_that_ran_keeps_its_outcome_when_its_class_fails_in_another_process() -> None:
    found = outcomes(("a.B.c", PASSED), ("setUpClass (a.B)", FAILED), selected=("a.B.c", "a.B.d"))
    assert found.counted() == Counts(passed=1, failed=1)


def test_the_worst_group_answers() -> None:
    found = outcomes(("setUpClass (a.b.C)", SKIPPED), ("setUpModule (a.b)", FAILED), selected=("a.b.C.d",))
    assert [one.outcome for one in found.answered()] == [FAILED]


def test_what_begins_and_does_not_end_has_failed() -> None:
    found = outcomes(("a.B.c", PASSED))
    found.begin("a.B.c")
    found.begin("a.B.d")
    assert found.running == ["a.B.c", "a.B.d"]
    assert found.finish() == ["a.B.c", "a.B.d"]
    assert found.counted() == Counts(failed=2)


def test_selected_tests_are_bounded() -> None:
    found = outcomes(("setUpModule (a)", FAILED))
    for number in range(MAX_SELECTED + 10):
        found.select(f"a.B.c{number}")
    assert found.counted() == Counts(failed=MAX_SELECTED)
    long = outcomes(("setUpModule (a)", FAILED))
    for number in range(20):
        long.select(f"a.B.{number}{'c' * 1024 * 1024}")
    assert long.counted().failed < 9


@pytest.mark.parametrize(
    ("test", "group", "parent"),
    [
        ("setUpClass (a.b.C)", "a.b.C", None),
        ("tearDownModule (a.b)", "a.b", None),
        ("a.b.C.test_x[id-1,smoke](scenario.y)", "", "a.b.C"),
        ("a.b.C.test_setUpClass (odd)", "", None),
        ("setUpClass ()", "", None),
    ],
)
def test_names_are_told_apart(test: str, group: str, parent: str | None) -> None:
    assert group_of(test) == group
    if parent is not None:
        assert class_of(test) == parent


def test_above_a_test_are_its_class_and_its_modules() -> None:
    assert list(groups_above(class_of("a.b.C.d"))) == ["a.b.C", "a.b", "a"]
    assert list(groups_above("")) == [""]


def test_what_is_above_a_long_name_takes_no_more_than_its_length() -> None:
    parent = ".".join("a" * 2000)
    assert sum(map(len, groups_above(parent))) <= MAX_ABOVE * len(parent)


def test_many_classes_that_fail_and_many_that_were_selected_take_no_time() -> None:
    outcomes = Outcomes()
    for number in range(MAX_SELECTED + 10):
        outcomes.select(f"a.b.C{number}.test")
    outcomes.end("setUpClass (a.b.C7)", FAILED)
    for number in range(MAX_GROUPS):
        outcomes.end(f"setUpClass (a.b.D{number})", FAILED)
    assert len(outcomes._selected) == MAX_SELECTED, "what is not remembered takes no memory"
    began = time.process_time()
    assert [answer.test for answer in outcomes.answered()] == ["a.b.C7.test"]
    assert time.process_time() - began < 5


# the names that Debian 12's hypothesis knows, too
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=20_000))
def test_a_selected_packet_is_what_the_subunit_library_reads(name: str) -> None:
    read: list[dict[str, Any]] = []

    class Reader:
        def status(self, **event: Any) -> None:
            read.append(event)

    ByteStreamToStreamResult(io.BytesIO(selected_packet(name))).run(Reader())
    assert [(event["test_id"], event["test_status"], event["runnable"]) for event in read] == [(name, "exists", True)]


def test_a_skipped_packet_is_what_the_subunit_library_reads() -> None:
    read: list[dict[str, Any]] = []

    class Reader:
        def status(self, **event: Any) -> None:
            read.append(event)

    reason = "image: none; ü " + "x" * 300
    ByteStreamToStreamResult(io.BytesIO(skipped_packet("a.B.test_c", reason))).run(Reader())
    (event,) = read
    assert (event["test_id"], event["test_status"], event["file_name"], event["mime_type"], event["eof"]) == (
        "a.B.test_c", "skip", "reason", "text/plain;charset=utf8", True,
    )  # fmt: skip
    assert bytes(event["file_bytes"]).decode() == reason


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a.B.c", "a.B.d", "a.E.f", "setUpClass (a.B)", "setUpModule (a)", "tearDownClass (a.E)"]),
        st.sampled_from(["begin", "select", PASSED, FAILED, SKIPPED]),
    ),
    max_size=30,
)


def told(events: list[tuple[str, str]]) -> Outcomes:
    found = Outcomes()
    for test, event in events:
        if event == "select":
            found.select(test)
        elif event == "begin":
            found.begin(test)
        else:
            found.end(test, event)
    found.finish()
    return found


@given(EVENTS)
def test_no_test_is_lost_and_none_counts_twice(events: list[tuple[str, str]]) -> None:
    found = told(events)
    ended = {test for test, event in events if event != "select"}
    answered = {one.test for one in found.answered()}
    assert not answered & ended
    groups = {one.group for one in found.answered()}
    assert found.counted().total == len(ended) - len(groups) + len(answered)


@given(EVENTS)
def test_when_the_selection_becomes_known_makes_no_difference(events: list[tuple[str, str]]) -> None:
    early = sorted(events, key=lambda one: one[1] != "select")
    late = sorted(events, key=lambda one: one[1] == "select")
    assert told(early).counted() == told(late).counted()
