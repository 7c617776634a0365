"""Whether a run's accounts are enough is shown before it starts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from refstack_worker.contract.accounts import account_sections
from refstack_worker.server.domain.clouds import Cloud, CloudRecord
from refstack_worker.server.domain.guidelines import Program
from refstack_worker.server.services import account_needs, tempest_tests

PROGRAM = Program("OpenStack Powered Storage")
NEEDS = Counter({
    ("primary",): 47,
    ("primary", "project_reader"): 215,
    ("operator: object_storage.operator_role",) * 2: 14,
    ("operator: object_storage.operator_role", "reseller: object_storage.reseller_admin_role"): 2,
})  # fmt: skip


class Known:
    def needs(self, _tests: Any) -> Counter[tuple[str, ...]]:
        return NEEDS


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempest_tests, "of_version", lambda _version: Known())


def accounts(count: int, **of_last: Any) -> dict[str, Any]:
    listed: list[dict[str, Any]] = [{"username": f"u{number}", "password": "p"} for number in range(count)]
    listed[-1].update(of_last)
    return account_sections(listed)


def said(conf: dict[str, Any], cloud: Cloud | None = None) -> str:
    record = CloudRecord(cloud) if cloud else None
    return " ".join(account_needs.warnings(conf, record, "47.0.0", PROGRAM))


ONE = {"identity": {"username": "u1", "password": "p"}}
TWO = {"identity": {"username": "u1", "password": "p", "alt_username": "u2", "alt_password": "q"}}
ADMIN = {"auth": {"admin_username": "a", "admin_password": "p"}}


def test_one_account_is_too_few() -> None:
    assert said(ONE).startswith(
        "Without an administrator, 231 of 278 tests need two accounts and 2 need an account with ResellerAdmin; "
        "the run has one account."
    )


@pytest.mark.parametrize("conf", [TWO, accounts(7)])
def test_an_account_with_a_role_is_missing(conf: dict[str, Any]) -> None:
    assert said(conf).startswith("Without an administrator, 2 of 278 tests need an account with ResellerAdmin; ")


@pytest.mark.parametrize(
    "conf", [ADMIN, accounts(2, roles=["ResellerAdmin"]), accounts(8, types=["reseller_admin"])],
    ids=["admin", "role", "type"],
)  # fmt: skip
def test_nothing_is_said_where_nothing_is_missing(conf: dict[str, Any]) -> None:
    assert said(conf) == ""


def test_names_of_the_clouds_own_form_count() -> None:
    cloud = Cloud(test_user="u1", alt_user="u2", admin_user="root")
    assert said({"auth": {"admin_password": "p"}}, cloud) == ""
    assert "has two accounts" in said({"identity": {"password": "p", "alt_password": "q"}}, cloud)
    assert "has one account." in said({"identity": {"password": "p"}}, cloud), "without a password it is not an account"


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        (ADMIN, ""),
        ({}, ""),
        (ONE, " With one account, one test at a time: each may use two."),
        (TWO, " With two accounts, one test at a time: each may use two."),
        (accounts(9), " With 9 accounts, at most 4 tests at a time: each may use two."),
    ],
    ids=["admin", "none", "one", "two", "nine"],
)
def test_how_many_tests_run_at_a_time(conf: dict[str, Any], sentence: str) -> None:
    assert account_needs.side_by_side(conf, None) == sentence


def test_a_user_known_by_an_id_alone_counts() -> None:
    conf = {"identity": {"user_id": "7f1e", "password": "p", "alt_user_id": "7f2e", "alt_password": "q"}}
    assert said(conf).endswith(said(TWO)) and "two accounts" in account_needs.side_by_side(conf, None)


def test_an_account_that_is_listed_twice_counts_once() -> None:
    one = {"username": "u1", "password": "p", "project_name": "demo"}
    twice = account_sections([one, {**one, "user_domain_name": "Other", "types": ["reseller_admin"]}])
    assert said(twice).endswith("Add accounts to the cloud, or give them for this run.")
    assert "231 of 278 tests need two accounts; the run has one account" in said(twice)
    assert "With one account" in account_needs.side_by_side(twice, None)
    same = {"identity": {"username": "u1", "password": "p", "alt_username": "u1", "alt_password": "p"}}
    assert "With one account" in account_needs.side_by_side(same, None)
    same["identity"].update(project_name="demo", alt_project_name="other")
    assert "With two accounts" in account_needs.side_by_side(same, None)


def test_roles_are_compared_without_case_and_the_one_that_was_set_counts() -> None:
    assert said(accounts(7, roles=["member", "reselleradmin"])) == ""
    own = {**accounts(7, roles=["swift-admin"]), "object-storage": {"reseller_admin_role": "Swift-Admin"}}
    assert said(own) == ""
    other = {**accounts(7, roles=["ResellerAdmin"]), "object-storage": {"reseller_admin_role": "swift-admin"}}
    assert "2 of 278 tests need an account with ResellerAdmin" in said(other)
