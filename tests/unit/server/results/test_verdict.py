from __future__ import annotations

import json
from typing import Any

import pytest

from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server.results import verdict as guidelines

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


class TestParse:
    def test_a_program_joins_its_components_and_names_no_capability_twice(self) -> None:
        program = guidelines.parse(schema_2()).program("storage")
        assert [one.name for one in program.capabilities["required"]] == ["put", "get"]
        assert [one.name for one in program.capabilities["advisory"]] == ["new"]

    def test_flagged_tests_are_not_asked_for(self) -> None:
        found = guidelines.entries(guidelines.parse(schema_2()).program("Storage"), guidelines.KINDS)
        assert found == tuple(f"id-{UUIDS[n]}" for n in (1, 2, 4, 5))

    def test_a_program_that_is_not_there_is_named_with_those_that_are(self) -> None:
        with pytest.raises(NotFoundError, match=r"no program 'Compute'; it has: Storage, Half"):
            guidelines.parse(schema_2()).program("Compute")

    def test_schema_1_with_details(self) -> None:
        text = json.dumps(
            {
                "id": "2015.07",
                "schema": "1.3",
                "platform": {"required": ["compute", "object"]},
                "components": {"compute": {"required": ["a"]}, "object": {"required": ["b"], "advisory": ["a"]}},
                "capabilities": {
                    "a": {"tests": {"tempest.a.T.test": {"idempotent_id": f"id-{UUIDS[1]}"}}},
                    "b": {"tests": {"tempest.b.T.test": {"flagged": {"reason": "r"}}, "tempest.b.T.other": {}}},
                },
            }
        )
        found = guidelines.parse(text)
        wanted = {"OpenStack Powered Platform": 2, "OpenStack Powered Compute": 1, "OpenStack Powered Storage": 1}
        assert {name: len(guidelines.entries(one)) for name, one in found.programs.items()} == wanted

    def test_schema_1_2_lists_names_and_flags_beside_them(self) -> None:
        text = json.dumps(
            {
                "id": "2015.03.json",
                "schema": "1.2",
                "platform": {"required": ["object"]},
                "components": {"object": {"required": ["b"]}},
                "capabilities": {
                    "b": {"tests": ["tempest.b.T.one", "tempest.b.T.two"], "flagged": ["tempest.b.T.two"]}
                },
            }
        )
        found = guidelines.parse(text)
        assert found.id == "2015.03"
        assert guidelines.entries(found.program("OpenStack Powered Storage")) == ("tempest.b.T.one",)

    @pytest.mark.parametrize(
        "text",
        ["", "[]", "{}", "null", '"x"', '{"metadata": {"id": "x", "schema": "3.0"}, "capabilities": {}}',
         schema_2().replace('"one"}', '"nowhere"}'), schema_2().replace('["put"]', '["nothing"]'),
         schema_2().replace('"2020.06"', '""'), schema_2().replace('"required"', '"requires"', 1)[:-1]],
    )  # fmt: skip
    def test_what_is_no_guideline_is_refused_with_a_sentence(self, text: str) -> None:
        with pytest.raises(UsageError, match=r"guideline"):
            guidelines.parse(text)

    def test_one_that_is_too_large(self) -> None:
        with pytest.raises(UsageError, match="larger"):
            guidelines.parse(" " * (guidelines.MAX_BYTES + 1))


class TestJudge:
    def judge(self, *ran: tuple[str, str, str]) -> guidelines.Verdict:
        return guidelines.judge(guidelines.parse(schema_2()), "Storage", ran)

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
        assert verdict.required[0].outcomes[0].status == "failed"

    def test_nothing_ran(self) -> None:
        assert self.judge().count() == (0, 3)

    def test_json_names_what_is_lacking(self) -> None:
        told = self.judge(("x", UUIDS[1], "passed")).to_json()
        assert told["required"]["passed"] == 1
        assert told["required"]["capabilities"][0]["lacking"] == [
            {"name": "tempest.a.T.test_old", "uuid": UUIDS[2], "status": "missing"}
        ]
