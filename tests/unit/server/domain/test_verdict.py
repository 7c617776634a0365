"""The verdict over a result: the test that the guideline names decides; an id only where no name ran."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from refstack_worker.server.domain.guideline_file import parse
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.verdict import Verdict, judge

UUIDS = [f"0000000{n}-0000-4000-8000-000000000000" for n in range(9)]


def schema_2(**tests: Any) -> str:
    capabilities = {
        "put": {
            "description": "Put",
            "tests": tests
            or {
                "tempest.a.T.test_put": {"idempotent_id": f"id-{UUIDS[1]}"},
                "tempest.a.T.test_old": {"idempotent_id": f"id-{UUIDS[2]}", "aliases": ["tempest.b.T.test_older"]},
                "tempest.a.T.test_bad": {"idempotent_id": f"id-{UUIDS[3]}", "flagged": {"reason": "a bug"}},
            },
        },
        "get": {"tests": {"tempest.a.T.test_get": {"idempotent_id": f"id-{UUIDS[4]}"}}},
        "new": {"tests": {"tempest.a.T.test_new": {"idempotent_id": f"id-{UUIDS[5]}"}}},
    }
    return json.dumps(
        {
            "metadata": {"id": "2020.06", "schema": "2.0"},
            "platforms": {
                "Storage": {"components": [{"name": "one"}, {"name": "two"}]},
                "Half": {"components": [{"name": "two"}]},
            },
            "components": {
                "one": {"capabilities": {"required": ["put"], "advisory": ["new"], "removed": []}},
                "two": {"capabilities": {"required": ["get", "put"]}},
            },
            "capabilities": capabilities,
        }
    )


def results(*ran: tuple[str, str, str]) -> list[TestResult]:
    """Return the tests of a result: name, id, status."""
    return [TestResult(at, name, uuid, status, 1.0) for at, (name, uuid, status) in enumerate(ran, 1)]


class TestJudge:
    def judge(self, *ran: tuple[str, str, str]) -> Verdict:
        return judge(parse(schema_2()), "Storage", results(*ran))

    def test_all_passed_by_id_alias_and_name(self) -> None:
        verdict = self.judge(
            ("tempest.moved.T.test_put", UUIDS[1], "passed"),
            ("tempest.b.T.test_older", "", "passed"),
            ("tempest.a.T.test_get", "", "passed"),
        )
        assert verdict.passed
        assert verdict.count() == (3, 3)
        assert verdict.count("advisory") == (0, 1)

    def test_what_did_not_run_failed_or_was_skipped_is_missing_by_capability(self) -> None:
        verdict = self.judge(("x", UUIDS[1], "skipped"), ("y", UUIDS[2], "failed"))
        assert not verdict.passed
        assert {
            one.capability.name: [(outcome.test.name, outcome.status) for outcome in one.lacking]
            for one in verdict.required
        } == {
            "put": [("tempest.a.T.test_put", "skipped"), ("tempest.a.T.test_old", "failed")],
            "get": [("tempest.a.T.test_get", "missing")],
        }

    def test_a_flagged_test_that_fails_changes_nothing(self) -> None:
        good = [("x", UUIDS[n], "passed") for n in (1, 2, 4)]
        assert self.judge(*good, ("z", UUIDS[3], "failed")).passed

    @pytest.mark.parametrize("order", [("passed", "failed"), ("failed", "passed")])
    def test_a_test_in_several_scenarios_passed_only_if_all_did(self, order: tuple[str, str]) -> None:
        verdict = self.judge(*(("x", UUIDS[1], status) for status in order))
        assert verdict.required[0].tests[0].status == "failed"

    def test_nothing_ran(self) -> None:
        assert self.judge().count() == (0, 3)

    def test_json_names_what_is_lacking(self) -> None:
        told = self.judge(("x", UUIDS[1], "passed")).to_json()
        assert told["required"]["passed"] == 1
        assert told["required"]["capabilities"][0]["lacking"] == [
            {"name": "tempest.a.T.test_old", "uuid": UUIDS[2], "status": "missing"}
        ]

    def test_a_twin_class_with_the_same_id_spoils_nothing(self) -> None:
        for twin in ("failed", "skipped"):
            verdict = self.judge(
                ("tempest.a.TIpV6.test_put", UUIDS[1], twin),
                ("tempest.a.T.test_put", UUIDS[1], "passed"),
                ("tempest.a.T.test_old", UUIDS[2], "passed"),
                ("tempest.a.T.test_get", UUIDS[4], "passed"),
            )
            assert verdict.passed and verdict.refstack_count() == (3, 3) and verdict.by_id() == 0

    def test_a_twin_that_passes_does_not_stand_for_the_test_that_is_named(self) -> None:
        verdict = self.judge(("t.TIpV6.test_put", UUIDS[1], "passed"), ("tempest.a.T.test_put", UUIDS[1], "failed"))
        assert verdict.required[0].tests[0].status == "failed"

    def test_an_id_decides_where_none_of_the_names_ran_and_the_verdict_says_so(self) -> None:
        verdict = self.judge(
            ("tempest.moved.T.test_put", UUIDS[1], "passed"), ("tempest.moved.TIpV6.test_put", UUIDS[1], "failed")
        )
        (put, _old) = verdict.required[0].tests
        assert (put.status, put.ran_as, put.decided_by) == ("passed", "tempest.moved.T.test_put", "id")
        assert verdict.by_id() == 1 and verdict.refstack_count() == (0, 3) and verdict.count() == (1, 3)

    @pytest.mark.parametrize("statuses", [("passed", "failed"), ("failed", "passed"), ("passed", "skipped")])
    def test_of_the_scenarios_of_a_test_the_worst_counts(self, statuses: tuple[str, str]) -> None:
        ran = [(f"tempest.a.T.test_put({name})", UUIDS[1], status) for name, status in zip("xy", statuses)]
        twin = ("tempest.a.TIpV6.test_put(x)", UUIDS[1], "passed")
        (put, _old) = self.judge(twin, *ran).required[0].tests
        (worst,) = (status for status in statuses if status != "passed")
        assert (put.status, put.ran_as[:19], put.decided_by, put.times) == (worst, "tempest.a.T.test_pu", "id", 1)

    def test_scenarios_that_all_passed_have_passed(self) -> None:
        ran = [(f"tempest.a.T.test_put({number})", UUIDS[1], "passed") for number in range(40)]
        assert self.judge(*ran).required[0].tests[0].status == "passed"
        assert (
            self.judge(*ran, ("tempest.a.T.test_put(z)", UUIDS[1], "failed")).required[0].tests[0].ran_as[-3:] == "(z)"
        )

    @pytest.mark.parametrize("failed", ["tempest.b.T.test_put", "tempest.c.T.test_put"])
    def test_of_two_that_are_equally_like_the_name_the_one_that_did_not_pass_counts(self, failed: str) -> None:
        equal = ("tempest.b.T.test_put", "tempest.c.T.test_put")
        verdict = self.judge(*((name, UUIDS[1], "failed" if name == failed else "passed") for name in equal))
        assert verdict.required[0].tests[0].ran_as == failed

    def test_one_of_the_names_that_passed_is_enough(self) -> None:
        verdict = self.judge(("tempest.a.T.test_old", "", "failed"), ("tempest.b.T.test_older", "", "passed"))
        assert verdict.required[0].tests[1].status == "passed"

    def test_a_class_that_could_not_be_set_up_answers_for_its_required_tests(self) -> None:
        ran = [TestResult(1, "setUpClass (tempest.a.T)", "", "failed", 0.0, reason="Traceback\nNo network\n")]
        verdict = judge(parse(schema_2()), "Storage", ran)
        (put, _old) = verdict.required[0].tests
        assert (put.status, put.decided_by, put.reason) == ("failed", "class", "No network")

    @pytest.mark.parametrize(
        "group", ["setUpClass (tempest.a.T)", "setUpClass (tempest.b.T)", "setUpModule (tempest.a)"]
    )
    def test_a_twin_with_the_same_id_does_not_stand_for_a_class_that_could_not_be_set_up(self, group: str) -> None:
        twins = [("tempest.a.TIpV6.test_old", UUIDS[2], "passed"), ("tempest.c.T.test_old", UUIDS[2], "passed")]
        (_put, old) = self.judge(*twins, (group, "", "failed")).required[0].tests
        assert (old.status, old.ran_as, old.decided_by) == ("failed", group, "class")

    def test_a_scenario_that_ran_keeps_its_outcome_when_its_class_fails_in_another_process(self) -> None:
        ran = (("tempest.a.T.test_put(x)", UUIDS[1], "passed"), ("setUpClass (tempest.a.T)", "", "failed"))
        assert self.judge(*ran).required[0].tests[0].status == "passed"

    @pytest.mark.parametrize("group", ["tearDownClass (tempest.a.T)", "tearDownModule (tempest.a)"])
    def test_a_class_that_could_not_be_torn_down_does_not_answer_for_tests_that_did_not_run(self, group: str) -> None:
        (put, old) = self.judge(("tempest.a.T.test_put", "", "passed"), (group, "", "failed")).required[0].tests
        assert (put.status, old.status, old.decided_by) == ("passed", "missing", "")

    def test_a_quota_is_named_as_what_is_missing(self) -> None:
        error = "Traceback\nForbidden\nDetails: {'message': 'Quota exceeded for instances: Requested 1, used 1 of 1'}\n"
        ran = [TestResult(1, "setUpClass (tempest.a.T)", "", "failed", 0.0, reason=error)]
        (first, *_) = judge(parse(schema_2()), "Storage", ran).required[0].tests
        assert first.reason == "the cloud's quota: Quota exceeded for instances: Requested 1, used 1 of 1"

    def test_what_was_left_out_is_missing_with_its_reason(self) -> None:
        verdict = judge(parse(schema_2()), "Storage", [], {"tempest.a.T.test_put": "bug 1"})
        assert [test.reason for test in verdict.required[0].tests] == ["left out: bug 1", ""]

    @pytest.mark.parametrize(
        "ran", [("setUpClass (tempest.a.T)", "", "failed"), ("tempest.a.TIpV6.test_put", UUIDS[1], "passed")]
    )
    def test_what_was_left_out_did_not_run_whatever_became_of_its_class_and_its_twins(
        self, ran: tuple[str, str, str]
    ) -> None:
        verdict = judge(parse(schema_2()), "Storage", results(ran), {"tempest.a.T.test_put": "bug 1"})
        (put, _old) = verdict.required[0].tests
        assert (put.status, put.reason, put.decided_by) == ("missing", "left out: bug 1", "")

    def test_a_capability_counts_as_the_strictest_of_what_it_is_listed_as(self) -> None:
        text = schema_2().replace('"required": ["get", "put"]', '"required": ["get", "put"], "advisory": ["put"]')
        verdict = judge(parse(text), "Storage", [])
        assert [one.capability.name for one in verdict.capabilities["advisory"]] == ["new"]

    def test_flagged_tests_are_shown_and_do_not_count(self) -> None:
        verdict = self.judge(("tempest.a.T.test_bad", UUIDS[3], "failed"))
        assert [(one.test.name, one.status) for one in verdict.required[0].flagged] == [
            ("tempest.a.T.test_bad", "failed")
        ]
        assert verdict.count() == (0, 3)

    def test_a_program_without_required_tests_is_never_passed(self) -> None:
        assert not judge(parse(schema_2().replace('"required"', '"deprecated"')), "Half", []).passed


class TestHostileResults:
    """A vendor has a guideline and a result of its own: whatever is in them, a verdict takes no time."""

    def judged(self, tests: dict[str, Any], ran: list[TestResult]) -> tuple[Verdict, float]:
        guideline = parse(schema_2(**tests))
        began = time.process_time()
        verdict = judge(guideline, "Storage", ran)
        return verdict, time.process_time() - began

    def test_many_classes_that_could_not_be_set_up(self) -> None:
        tests = {f"tempest.a.C{number}.test": {"idempotent_id": ""} for number in range(5000)}
        ran = results(*((f"setUpClass (tempest.b.C{number})", "", "failed") for number in range(20_000)))
        verdict, seconds = self.judged(tests, [*ran, *results(("setUpClass (tempest.a.C7)", "", "failed"))])
        found = {test.test.name: test.status for test in verdict.tests()}
        assert found["tempest.a.C7.test"] == "failed" and found["tempest.a.C8.test"] == "missing"
        assert seconds < 5

    def test_many_names_that_carry_one_id(self) -> None:
        tests = {f"{'ab' * 200}{number}": {"idempotent_id": f"id-{UUIDS[1]}"} for number in range(3000)}
        ran = results(*((f"{'ba' * 200}{number}", UUIDS[1], "passed") for number in range(10_000)))
        verdict, seconds = self.judged(tests, ran)
        assert verdict.by_id() == 3000
        assert seconds < 10
