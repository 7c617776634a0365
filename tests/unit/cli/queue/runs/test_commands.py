"""How a run is shown: lines for people, the API's own values for machines."""

from __future__ import annotations

import argparse

import pytest

from refstack_worker.cli.queue.runs import commands, results
from refstack_worker.errors import UsageError

PROGRESS = {"done": 3, "total": 9, "passed": 1, "failed": 2, "skipped": 0, "seconds_left": 60}
COUNTS = {"passed": 0, "failed": 0, "skipped": 0}
TESTS = {"names": ["a.b", "c.d"], "regexes": ["x|y"]}


def shown(**run):
    return dict(zip(*commands._shown(run)))


def test_people_read_lines():
    told = shown(progress=PROGRESS, counts=COUNTS, testcases=TESTS, state="running")
    assert told["state"] == "running"
    assert told["progress"].human_readable() == "3 of 9: 1 passed, 2 failed, 0 skipped"
    assert told["counts"].human_readable() == "0 passed, 0 failed, 0 skipped"
    assert told["testcases"].human_readable() == "a.b\nc.d\nregex x|y"
    assert shown(testcases=None)["testcases"].human_readable() == "the operator's default"


def test_machines_read_what_the_api_says():
    told = shown(progress=PROGRESS, counts=COUNTS, testcases=TESTS)
    assert told["progress"].machine_readable() == PROGRESS
    assert told["counts"].machine_readable() == COUNTS
    assert told["testcases"].machine_readable() == TESTS
    assert shown(testcases=None)["testcases"].machine_readable() is None


def test_verdict_needs_both_of_guideline_and_program():
    asked = argparse.Namespace(id=1, guideline="2020.06", program="", json=False)
    with pytest.raises(UsageError, match="--guideline, --program"):
        results.RunVerdict(None, None).take_action(asked)
