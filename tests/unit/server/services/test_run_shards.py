"""How a run is split: every test in one shard, classes and locks whole, about as long, accounts never shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from refstack_worker.contract.accounts import account_sections, accounts_in
from refstack_worker.contract.outcomes import class_of
from refstack_worker.contract.testcases import Testcases
from refstack_worker.execute_test.tempest.selection import Selection
from refstack_worker.server.domain.runs import NewRun, RunSpec
from refstack_worker.server.domain.shards import ShardPlan
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import run_shards, tempest_tests
from refstack_worker.server.services.inputs.checks import InvalidInput

ADMIN = {"auth": {"admin_username": "admin", "admin_password": "p"}}
NETWORK = "tempest.api.network"
SERIAL = "tempest.serial_tests"
VERSION = "47.0.0"


def planned(ledger: Ledger, conf: dict[str, Any] = ADMIN, shards: int = 2, **spec: Any) -> NewRun:
    chosen = Testcases(**spec.pop("testcases", {"names": ("tempest",)}))
    given = {"tempest_version": VERSION, "testcases": chosen, "shards": shards, **spec}
    return run_shards.with_shards(ledger, NewRun(RunSpec(**given), conf), None)


def meant_by(plan: ShardPlan) -> list[str]:
    """Return what a node chooses of a shard's test cases."""
    known = tempest_tests.of_version(VERSION)
    assert known is not None
    return Selection(plan.names).chosen_of(known.full_names)[1]


def listed() -> tuple[str, ...]:
    known = tempest_tests.of_version(VERSION)
    assert known is not None
    return known.full_names


def accounts(*projects: Sequence[str]) -> dict[str, Any]:
    """Options with accounts; each project is given as the role of each of its accounts."""
    return account_sections(
        [
            {"username": f"u{number}-{place}", "password": "p", "project_name": f"p{number}", "roles": [role]}
            for number, project in enumerate(projects)
            for place, role in enumerate(project)
        ]
    )


class TestSplitting:
    @pytest.mark.parametrize("shards", [2, 3, 16])
    def test_every_test_is_in_one_shard(self, ledger: Ledger, shards: int) -> None:
        new = planned(ledger, shards=shards)
        assert sorted(name for plan in new.shards for name in meant_by(plan)) == sorted(listed())
        assert [plan.tests for plan in new.shards] == [len(meant_by(plan)) for plan in new.shards]
        assert sum(not plan.is_last for plan in new.shards) == shards

    def test_a_class_stays_in_one_shard(self, ledger: Ledger) -> None:
        new = planned(ledger, shards=5)
        count = Counter(one for plan in new.shards for one in {class_of(name) for name in meant_by(plan)})
        assert set(count.values()) == {1}

    def test_classes_that_wait_for_each_other_stay_in_one_shard(self, ledger: Ledger) -> None:
        new = planned(ledger, shards=5)
        for lock in ("compute_quotas", "volume_quotas"):
            having = [plan for plan in new.shards if any(lock in tempest_tests.locks_of(one) for one in plan.names)]
            assert len(having) == 1, lock

    def test_what_runs_alone_starts_when_the_others_have_ended(self, ledger: Ledger) -> None:
        new = planned(ledger)
        last = [plan for plan in new.shards if plan.is_last]
        assert len(last) == 1
        assert {name for plan in new.shards for name in meant_by(plan) if name.startswith(SERIAL)} == set(
            meant_by(last[0])
        )
        assert "tests that cannot run in parallel with others" in new.note

    def test_shards_take_about_as_long(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        took = {name.partition("[")[0]: 60.0 if name.startswith("tempest.scenario") else 1.0 for name in listed()}
        monkeypatch.setattr(ledger.durations, "of_cloud", lambda *_whose: took)
        new = planned(ledger, shards=3)
        beside = [plan for plan in new.shards if not plan.is_last]
        seconds = [sum(took[name.partition("[")[0]] for name in meant_by(plan)) for plan in beside]
        assert max(seconds) < 1.1 * min(seconds)

    def test_what_was_chosen_by_name_by_attribute_and_by_id(self, ledger: Ledger) -> None:
        chosen = {"names": (NETWORK,), "regexes": (r"\[.*\bsmoke\b.*\]",)}
        new = planned(ledger, testcases=chosen)
        expected = Selection((NETWORK, r"regex:\[.*\bsmoke\b.*\]")).chosen_of(listed())[1]
        assert sorted(name for plan in new.shards for name in meant_by(plan)) == sorted(expected)
        assert 0 < len(expected) < len(listed())

    def test_fewer_classes_than_shards(self, ledger: Ledger) -> None:
        two = sorted({class_of(name) for name in listed() if name.startswith(NETWORK)})[:2]
        new = planned(ledger, shards=4, testcases={"names": tuple(two)})
        assert len(new.shards) == 2
        assert new.note.startswith("split over 2 nodes: ")


class TestNotSplit:
    @pytest.mark.parametrize(
        ("spec", "why"),
        [
            ({"tempest_version": "99.0.0"}, "does not know the tests of Tempest 99.0.0"),
            ({"tempest_version": "", "openstack_release": "2025.1"}, "give a Tempest version"),
            ({"plugins": {"heat-tempest-plugin": "2.0.0"}}, "does not know the tests of Tempest plugins"),
            ({"testcases": {"url": "http://lists.example/a"}}, "only nodes download test lists"),
            ({"testcases": {"names": ("no.such.test",)}}, "has none of its tests"),
            ({"testcases": {"names": (f"{NETWORK}.test_ports.PortsTestJSON",)}}, "all in one class"),
            ({"testcases": {"names": (SERIAL,)}}, "cannot run in parallel"),
        ],
    )
    def test_one_node_runs_it_and_the_run_says_why(self, ledger: Ledger, spec: dict[str, Any], why: str) -> None:
        new = planned(ledger, **spec)
        assert new.shards == ()
        assert new.note.startswith("not split over 2 nodes: ")
        assert why in new.note

    def test_an_expression_that_takes_for_ever_takes_seconds(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run_shards.confined, "MAX_CHOOSING_SECONDS", 1)
        new = planned(ledger, testcases={"regexes": (r"((\w+)+\.)+#",)})
        assert "its expressions take too long" in new.note

    @pytest.mark.parametrize("shards", [0, 1])
    def test_off_unless_it_is_asked_for(self, ledger: Ledger, shards: int) -> None:
        new = planned(ledger, shards=shards)
        assert (new.shards, new.note) == ((), "")

    def test_tempestconf_adds_no_tests(self, ledger: Ledger) -> None:
        assert planned(ledger, plugins={"python-tempestconf": "3.5.4"}).shards


class TestAccounts:
    def test_an_administrator_is_shared(self, ledger: Ledger) -> None:
        assert [plan.conf_json for plan in planned(ledger).shards if not plan.is_last] == [ADMIN, ADMIN]

    def test_each_shard_has_accounts_of_its_own(self, ledger: Ledger) -> None:
        new = planned(
            ledger, accounts(*[["member"]] * 6), shards=3, testcases={"names": ("tempest.api.object_storage",)}
        )
        names = [[one["username"] for one in accounts_in(plan.conf_json)] for plan in new.shards if not plan.is_last]
        assert [len(one) for one in names] == [2, 2, 2]
        assert len({name for one in names for name in one}) == 6

    def test_accounts_of_one_project_stay_together(self, ledger: Ledger) -> None:
        new = planned(ledger, accounts(*[["member", "reader"]] * 4), testcases={"names": (NETWORK,)})
        beside = [plan for plan in new.shards if not plan.is_last]
        for plan in beside:
            of_projects = Counter(one["project_name"] for one in accounts_in(plan.conf_json))
            assert set(of_projects.values()) == {2} and len(of_projects) == 2
        # a test with a reader of the same project finds one in each shard
        assert sum(plan.tests for plan in beside) > 100

    def test_tests_that_need_more_than_a_shard_has_wait_for_all_accounts(self, ledger: Ledger) -> None:
        only_one = accounts(["member", "reader"], ["member"], ["member"], ["member"])
        new = planned(ledger, only_one, testcases={"names": (NETWORK,)})
        last = [plan for plan in new.shards if plan.is_last]
        known = tempest_tests.of_version(VERSION)
        assert known is not None
        needing = {
            class_of(name)
            for name in listed()
            if name.startswith(NETWORK) and "project_reader" in known.by_name[name.partition("[")[0]]
        }
        assert needing and needing <= {class_of(name) for plan in last for name in meant_by(plan)}

    @pytest.mark.parametrize(("count", "shards"), [(3, 2), (1, 2), (5, 3)])
    def test_too_few_are_refused(self, ledger: Ledger, count: int, shards: int) -> None:
        with pytest.raises(InvalidInput, match="each shard needs at least 2 accounts of its own") as refusal:
            planned(ledger, accounts(*[["member"]] * count), shards=shards)
        assert [one.field for one in refusal.value.errors] == ["shards"]
