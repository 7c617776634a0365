"""Verdicts of the programs with plugins over streams that real services gave: Designate and Heat beside a Keystone.

The streams are those of two runs through the queue on 2026-11-26: Tempest 47.0.0 with designate-tempest-plugin 0.30.0
against Designate 20.0.2, and with heat-tempest-plugin 3.0.0 against Heat 24.1.2 without Nova, Neutron and Glance. What
the tests logged was taken out. ``REFSTACK_TEST_INTEROP`` names a folder with the guideline files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.server.domain.guideline_file import parse
from refstack_worker.server.domain.verdict import BY_ID, judge
from refstack_worker.server.results import subunit
from tests.support.refstack import guideline_files

STREAMS = Path(__file__).resolve().parents[3] / "data" / "streams"
NO_GLANCE = "glance service not available, skipping test."


def lacking(name: str, target: str, folder: Path) -> tuple[list[int], dict[str, tuple[str, str]], int]:
    """Return passed and required, what did not pass with its reason, and how many tests counted by their ids."""
    guideline = parse(guideline_files()[f"{name}.json"].read_text("utf-8"), name=name)
    tests = list(subunit.parse(STREAMS / f"{name}.subunit", folder / "rows").tests)
    verdict = judge(guideline, guideline.program(target).name, tests)
    judged = [test for one in verdict.required for test in one.tests]
    missed = {test.test.name.rpartition("Test.")[2]: (test.status, test.reason) for one in verdict.required
              for test in one.lacking}  # fmt: skip
    return list(verdict.count("required")), missed, sum(test.decided_by == BY_ID for test in judged)


def test_dns_against_designate(tmp_path: Path) -> None:
    assert lacking("dns.2020.06", "DNS", tmp_path) == ([10, 10], {}, 2)


def test_orchestration_against_heat_without_servers(tmp_path: Path) -> None:
    count, missed, by_id = lacking("orchestration.2020.06", "Orchestration", tmp_path)
    assert (count, by_id) == ([54, 60], 1)
    assert {name: reason for name, (status, reason) in missed.items() if status == "skipped"} == {
        "test_base_resources_integration": NO_GLANCE,
        "test_deployments_metadata": NO_GLANCE,
        "test_deployments_timeout_failed": NO_GLANCE,
        "test_hidden_stack": "hidden_stack_tag is not set",
    }
    # the guideline's own name of the second one; what ran is found by its id
    failed = {name for name, (status, _reason) in missed.items() if status == "failed"}
    assert failed == {"test_basic_fail", "test_res_group_with_nested_template:Wherej"}


@pytest.mark.parametrize("name", ["dns.2020.06", "orchestration.2020.06"])
def test_no_place_of_the_machine_is_in_a_kept_stream(name: str) -> None:
    assert b"/lib/python" not in (STREAMS / f"{name}.subunit").read_bytes()
