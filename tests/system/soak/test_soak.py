"""A small soak (``python -m tests.system.soak`` does the real one; ``docs/soak.md``)."""

from __future__ import annotations

import pytest

from tests.system.soak.soak import Plan, Soak


@pytest.fixture(scope="module")
def report():
    plan = Plan(runs=30, seconds=120, record_for=0, nodes=3, slots=2, seed=20261122, logs=None)
    return Soak(plan).carry_out()


def test_everything_is_accounted_for(report):
    assert report["wrong"] == []


def test_all_runs_ended_with_one_result_each_although_there_were_faults(report):
    excused = len(report["excused"])
    assert report["faults_total"] >= 4
    assert sum(report["states"].values()) == report["recorded"] == 30
    assert report["states"]["finished"] == report["results"] == 30 - excused
    assert report["tests"] == 2 * report["results"]
