"""Lists of accounts in requests."""

from __future__ import annotations

from typing import Any

import pytest

from refstack_worker.contract.accounts import MAX_ACCOUNTS
from refstack_worker.errors import PayloadError, UsageError
from refstack_worker.server.services.inputs.accounts_input import ACCOUNTS, accounts_of
from refstack_worker.server.services.inputs.checks import check

YAML = "- username: u1\n  password: pw-1\n- username: u2\n  password: pw-2\n  roles: [ResellerAdmin]\n"
SECTIONS = {
    "account.1": {"username": "u1", "password": "pw-1"},
    "account.2": {"username": "u2", "password": "pw-2", "roles": ["ResellerAdmin"]},
}


@pytest.mark.parametrize(
    "given",
    [
        YAML,
        "\ufeff" + YAML.replace("\n", "\r\n"),
        [{"username": "u1", "password": "pw-1"}, {"username": "u2", "password": "pw-2", "roles": ["ResellerAdmin"]}],
    ],
    ids=["yaml", "windows", "list"],
)
def test_text_and_list_are_alike(given: Any) -> None:
    check(ACCOUNTS, given)
    assert accounts_of({"accounts": given}) == SECTIONS


def test_nothing_said_and_none_at_all_are_told_apart() -> None:
    assert accounts_of({}) is None and accounts_of({"accounts": None}) is None
    assert accounts_of({"accounts": []}) == {} and accounts_of({"accounts": " \n"}) == {}


@pytest.mark.parametrize(
    "given",
    [
        "nonsense",
        "- username: u1\n",
        [{"username": "u1"}],
        [{"username": "u1", "password": {"a": 1}}],
        [{"username": "u1", "password": "pw", "roles": [["x"]]}],
        [{"username": "u1", "password": "pw", "shell": "x"}],
        [{"username": "u1", "password": "pw", "roles": None}],
        "[" * 100_000,
        '- username: u1\n  password: "\\ud800"\n',
        '[{"username": "u1", "password": NaN}]',
        [{"username": "u1", "password": "pw\nx"}],
    ],
)
def test_what_is_no_list_of_accounts_is_refused_without_its_passwords(given: Any) -> None:
    with pytest.raises((UsageError, PayloadError)) as refused:
        accounts_of({"accounts": given})
    assert "pw" not in str(refused.value).replace("password", "")


def test_there_is_a_limit() -> None:
    with pytest.raises(UsageError, match="too long"):
        check(ACCOUNTS, [{}] * (MAX_ACCOUNTS + 1), "accounts")
