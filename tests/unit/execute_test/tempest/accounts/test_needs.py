"""What prepared accounts are enough for, in words and for the run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refstack_worker.execute_test.failures import BadInput
from refstack_worker.execute_test.tempest.accounts.needs import better_trial, plan_accounts, ways_to_list
from refstack_worker.execute_test.tempest.accounts.rehearsal import AccountsTrial, Rehearsed
from refstack_worker.execute_test.tempest.listing import TestListing

ONE = json.dumps([["operator", "member"]])
TWO = json.dumps(["primary", "project_reader"])
RESELLER = json.dumps([["operator", "member"], ["reseller_admin", "ResellerAdmin"]])
NEEDS = {"t.api.A.test_1": TWO, "t.api.A.test_2": TWO, "t.api.B.test_3": ONE, "t.api.C.test_4": RESELLER}
NAMES = list(NEEDS)
LISTING = TestListing(0, tuple(NAMES))


def account(name: str, *roles: str, **more: Any) -> dict[str, Any]:
    return {"username": name, "password": "p", "roles": list(roles), **more}


def test_what_cannot_run_is_left_out_with_the_reason() -> None:
    trial = AccountsTrial(
        {TWO: "all accounts that would do are in use", RESELLER: "no account has the role ResellerAdmin"},
        {TWO: [["member"], ["reader"]], RESELLER: [["member"]]},
    )
    plan = plan_accounts(NAMES, LISTING, Rehearsed(NEEDS), trial, [account("u", "member")])
    assert set(plan.left_out) == {"t.api.A.test_1", "t.api.A.test_2", "t.api.C.test_4"}
    assert plan.left_out["t.api.A.test_1"] == (
        "not run: the test needs two accounts (roles: member, reader) at a time, and the run has one account "
        "(roles: member); Tempest: all accounts that would do are in use"
    )
    assert "two accounts (roles: member, ResellerAdmin) at a time" in plan.left_out["t.api.C.test_4"]
    assert plan.summary == (
        "of 4 tests, 3 need two accounts at a time, 1 needs an account with the role ResellerAdmin, "
        "2 need an account with the role reader; this run has one account (roles: member); "
        "3 tests cannot run and are skipped"
    )


def test_accounts_in_different_projects_are_told_from_too_few() -> None:
    trial = AccountsTrial({TWO: "all accounts that would do are in use"}, {TWO: [["member"], ["reader"]]})
    accounts = [account(name, "member", "reader", project_name=name) for name in ("u", "v")]
    plan = plan_accounts(NAMES, LISTING, Rehearsed(NEEDS), trial, accounts)
    assert "2 need users with the roles member and reader in the same project" in plan.summary
    assert "two accounts (roles: member, reader) of the same project at a time" in plan.left_out["t.api.A.test_1"]


def test_what_tempest_itself_skips_without_an_administrator() -> None:
    skips = {"t.api.D.test_5": ("bug#2147232", True), "t.api.D.test_6": ("no such feature", False)}
    plan = plan_accounts([*NAMES, *skips], LISTING, Rehearsed(NEEDS, skips), AccountsTrial(), [account("u")])
    assert plan.left_out == {
        "t.api.D.test_5": "Tempest itself skips this test without an administrator (dynamic credentials): bug#2147232"
    }
    assert "1 needs an administrator (dynamic credentials)" in plan.summary


def test_nothing_that_could_run_is_bad_input() -> None:
    trial = AccountsTrial(dict.fromkeys((ONE, TWO, RESELLER), "No credentials with role: member"))
    with pytest.raises(BadInput, match="no test can run with these accounts: of 4 tests, 3 need two accounts"):
        plan_accounts(NAMES, LISTING, Rehearsed(NEEDS), trial, [account("u", "other")])


def test_tests_that_are_skipped_before_they_ask_need_no_sentence() -> None:
    assert plan_accounts(["t.api.A.test_1"], LISTING, Rehearsed(), AccountsTrial(), [account("u")]).summary == ""


def test_enough_accounts_leave_nothing_out_and_limit_the_processes() -> None:
    trial = AccountsTrial(processes=3, serial=(RESELLER,), cost=0.4)
    plan = plan_accounts(NAMES, LISTING, Rehearsed(NEEDS), trial, [account("u", "member")] * 9)
    assert (plan.left_out, plan.processes, plan.serial_classes) == ({}, 3, ("t.api.C",))
    assert plan.summary.endswith("this run has nine accounts (roles: member)")


def test_classes_that_cannot_be_grouped_mean_one_process() -> None:
    needs = {**NEEDS, "plugin.X.test_7": RESELLER}
    plan = plan_accounts(NAMES, LISTING, Rehearsed(needs), AccountsTrial(processes=3, serial=(RESELLER,)), [])
    assert (plan.processes, plan.serial_classes) == (1, ())


def test_rare_accounts_come_last_or_are_kept_for_what_only_they_can_do() -> None:
    rare = account("r", "member", "ResellerAdmin", types=["reseller_admin"])
    usual = account("u", "member")
    assert ways_to_list([rare, usual], "ResellerAdmin") == [
        [usual, rare],
        [usual, {**rare, "roles": ["ResellerAdmin"], "types": []}],
    ]
    assert ways_to_list([rare], "ResellerAdmin") == [[rare]]
    assert ways_to_list([usual], "ResellerAdmin") == [[usual]]


def test_the_better_way_runs_more_tests_then_is_faster() -> None:
    slow, fast = AccountsTrial(cost=1.0), AccountsTrial(cost=0.5)
    assert better_trial([slow, fast], NEEDS) == 1
    assert better_trial([slow, slow], NEEDS) == 0
    assert better_trial([slow, AccountsTrial({TWO: "x"}, cost=0.1)], NEEDS) == 0
