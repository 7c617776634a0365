"""How tests are counted."""

from __future__ import annotations

import pytest

from refstack_worker.execute_test.tempest.counts import TestCounter
from tests.unit.execute_test.tempest.streams import taken, written


def counter_of(*events: tuple[str, str], listed: tuple[str, ...] = ()) -> TestCounter:
    counter = TestCounter()
    counter.listed(listed)
    for test, status in events:
        for packet in taken(written({"test_id": test, "test_status": status}))[1]:
            counter.packet(packet)
    return counter


def test_counter_counts_each_test_once() -> None:
    counter = counter_of(
        ("a", "inprogress"), ("a", "success"), ("a", "success"), ("b", "fail"), ("c", "skip"), ("d", "xfail")
    )
    counts = counter.counts
    assert (counts.done, counts.passed, counts.failed, counts.skipped) == (4, 1, 1, 2)
    assert counter.running == set()


def test_class_that_cannot_be_set_up_answers_for_its_tests() -> None:
    listed = ("m.A.test_1[id-1]", "m.A.test_2[id-2]", "m.B.test_3[id-3]")
    counts = counter_of(("setUpClass (m.A)", "skip"), ("m.B.test_3[id-3]", "success"), listed=listed).counts
    assert (counts.total, counts.done, counts.passed, counts.skipped) == (3, 3, 1, 2)


@pytest.mark.parametrize("status", ["skip", "fail"])
def test_class_that_ended_before_the_list_came_answers_for_its_tests_too(status: str) -> None:
    counter = counter_of(("setUpClass (m.A)", status), ("setUpClass (m.A)", status), ("m.B.test_3", "success"))
    counter.listed(("m.A.test_1", "m.A.test_2", "m.B.test_3"))
    counts = counter.counts
    assert (counts.total, counts.done, counts.passed, counts.skipped + counts.failed) == (3, 3, 1, 2)


def test_class_that_cannot_be_torn_down_counts_as_a_failure() -> None:
    counts = counter_of(("m.A.test_1", "success"), ("tearDownClass (m.A)", "fail"), listed=("m.A.test_1",)).counts
    assert (counts.done, counts.passed, counts.failed) == (1, 1, 1)


def test_class_that_cannot_be_torn_down_hides_no_test_that_did_not_run() -> None:
    listed = ("m.A.test_1", "m.A.test_2", "m.B.test_3")
    counts = counter_of(("m.A.test_1", "success"), ("tearDownClass (m.A)", "fail"), listed=listed).counts
    assert (counts.total, counts.done, counts.passed, counts.failed) == (3, 1, 1, 1)


def test_tests_that_never_ended_are_known() -> None:
    assert counter_of(("a", "inprogress"), ("b", "inprogress"), ("b", "success")).running == {"a"}
