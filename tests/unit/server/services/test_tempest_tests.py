"""What is known of Tempest's versions, and which one fits a guideline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.server.domain.guidelines import Guideline, GuidelineTest
from refstack_worker.server.services import tempest_tests
from refstack_worker.server.services.tempest_tests import Proposal, proposal, written_with

COMMIT = "d43223773d75d2e82fb33a1281038e611c41d0f3"
TABLE: dict[str, Any] = {
    "versions": ["24.0.0", "25.0.0", "26.0.0", "27.0.0"],
    "credentials": [["primary"], ["primary", "project_reader"]],
    "tests": {
        "tempest.api.a.A": {
            "test_old": [["id-old", 0, 1, 0, 0]],
            "test_all": [["id-all", 0, 2, 0, 0], ["id-all", 3, 3, 1, 1]],
        },
        "tempest.api.b.B": {"test_new": [["id-old", 2, 3, 1, 0]], "test_bare": [["", 3, 3, 0, 0]]},
    },
    "attributes": [[], ["compute", "slow"]],
    "serial": ["tempest.api.b.B"],
    "locks": {"quotas": ["tempest.api.a.A"]},
    "releases": {"victoria": "25.0.0", "ussuri": "24.0.0"},
    "commits": {COMMIT: "25.0.0", "e" * 40: "26.0.0"},
}
OLD = GuidelineTest("tempest.api.a.A.test_old")
MOVED = GuidelineTest("tempest.api.a.A.test_old", "id-old")
ALIASED = GuidelineTest("tempest.api.a.A.test_old", "", ("tempest.api.b.B.test_new",))
ALL = GuidelineTest("tempest.api.a.A.test_all", "id-all")


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    (tmp_path / "table.json").write_text(json.dumps(TABLE))
    monkeypatch.setattr(tempest_tests, "_FILE", tmp_path / "table.json")
    caches = (tempest_tests._table, tempest_tests._of, tempest_tests._serial, tempest_tests._locks)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def guideline(commit: str = "", *releases: str) -> Guideline:
    return Guideline("2020.06", "2.0", {}, releases, {"tempest": commit} if commit else {})


@pytest.mark.parametrize(
    ("version", "test", "is_missing"),
    [("25.0.0", OLD, False), ("26.0.0", OLD, True), ("26.0.0", MOVED, False), ("26.0.0", ALIASED, False)],
)
def test_a_test_is_there_by_name_by_alias_or_by_id(version: str, test: GuidelineTest, is_missing: bool) -> None:
    known = tempest_tests.of_version(version)
    assert known is not None
    assert known.missing([test]) == ([test.name] if is_missing else [])


def test_of_a_plugin_and_of_other_versions_nothing_is_said() -> None:
    known = tempest_tests.of_version("24.0.0")
    assert known is not None and known.missing([GuidelineTest("heat_tempest_plugin.A.test")]) == []
    assert tempest_tests.of_version("99.0.0") is None


def test_accounts_follow_the_version() -> None:
    assert tempest_tests.newest().needs([ALL, MOVED, OLD]) == {("primary", "project_reader"): 2}
    known = tempest_tests.of_version("24.0.0")
    assert known is not None and known.needs([ALL]) == {("primary",): 1}


@pytest.mark.parametrize(
    ("given", "version"),
    [
        (guideline(COMMIT, "ussuri"), "25.0.0"),
        (guideline(COMMIT[:10].upper()), "25.0.0"),
        (guideline("master", "ussuri", "victoria", "unknown"), "25.0.0"),
        (guideline("d43"), ""),
        (guideline(), ""),
    ],
    ids=["commit", "short", "release", "too-short", "silent"],
)
def test_the_version_that_a_guideline_was_written_with(given: Guideline, version: str) -> None:
    assert written_with(given) == version


@pytest.mark.parametrize(
    ("tests", "offered", "version"),
    [
        ([ALL], [], ""),
        ([ALL], ["24.0.0", "26.0.0", "27.0.0"], "26.0.0"),
        ([ALL], ["24.0.0"], "24.0.0"),
        ([OLD], ["24.0.0", "26.0.0", "27.0.0"], "24.0.0"),
        ([MOVED], ["24.0.0", "26.0.0", "27.0.0"], "26.0.0"),
        ([ALL], ["99.0.0"], "99.0.0"),
    ],
    ids=["none-offered", "next", "only-older", "only-older-has-it", "moved", "not-in-the-table"],
)
def test_the_version_that_fits(tests: list[GuidelineTest], offered: list[str], version: str) -> None:
    assert proposal(guideline(COMMIT), tests, offered) == Proposal(version, "25.0.0")


def test_names_in_full_as_tempest_lists_them() -> None:
    known = tempest_tests.of_version("27.0.0")
    assert known is not None
    assert sorted(known.full_names) == [
        "tempest.api.a.A.test_all[compute,id-id-all,slow]",
        "tempest.api.b.B.test_bare",
        "tempest.api.b.B.test_new[id-id-old]",
    ]
    assert known.sizes == {"tempest.api.a.A": 1, "tempest.api.b.B": 2}


def test_what_must_not_run_beside_others() -> None:
    assert tempest_tests.is_serial("tempest.api.b.B")
    assert not tempest_tests.is_serial("tempest.api.a.A")
    assert tempest_tests.locks_of("tempest.api.a.A") == {"quotas"}
    assert tempest_tests.locks_of("tempest.api.b.B") == frozenset()
