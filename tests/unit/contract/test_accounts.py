from __future__ import annotations

import json
from typing import Any

import pytest

from refstack_worker.contract.accounts import (
    account_sections,
    accounts_in,
    read_accounts,
    tempest_account,
    without_accounts,
)
from refstack_worker.contract.secrets import secret_values

SAMPLE = """
# as Tempest's own sample writes it
- username: 'user_1'
  tenant_name: 'test_tenant1'
  password: 'pass:word # not a comment'   # a comment
  roles:
    - 'member'
    - reader

- username: user_2
  project_name: "p\\"2"
  user_domain_name: ldap
  password: it''s#plain
  types: [admin, operator]
  resources:
    network: net2
    router: r2
- username: user_3
  password: ""quoted
"""


def test_the_yaml_of_tempests_sample() -> None:
    first, second, third = read_accounts(SAMPLE.replace('""quoted', '"quoted"'))
    assert first == {
        "username": "user_1",
        "tenant_name": "test_tenant1",
        "password": "pass:word # not a comment",
        "roles": ["member", "reader"],
    }
    assert second["project_name"] == 'p"2' and second["types"] == ["admin", "operator"]
    assert second["resources"] == {"network": "net2", "router": "r2"} and second["password"] == "it''s#plain"
    assert third == {"username": "user_3", "password": "quoted"}


def test_json_with_a_byte_order_mark() -> None:
    accounts = [{"username": "u", "password": "p"}]
    assert read_accounts("\ufeff" + json.dumps(accounts)) == accounts


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", "username: u", "just words", '"text"'])
def test_what_is_not_a_list_of_accounts(text: str) -> None:
    with pytest.raises(ValueError):
        read_accounts(text)


def test_accounts_travel_as_sections_and_their_passwords_are_secrets() -> None:
    conf = {**account_sections(read_accounts(SAMPLE.replace('""quoted', '"quoted"'))), "identity": {"region": "r"}}
    assert secret_values(conf) == {"pass:word # not a comment", "it''s#plain", "quoted"}
    assert [account["username"] for account in accounts_in(conf)] == ["user_1", "user_2", "user_3"]
    assert accounts_in(conf)[0]["project_name"] == "test_tenant1"
    assert without_accounts(conf) == {"identity": {"region": "r"}}
    assert tempest_account(accounts_in(conf)[1])["resources"] == {"network": "net2"}


def test_more_than_nine_keep_their_order() -> None:
    names = [f"u{number}" for number in range(12)]
    conf = account_sections([{"username": name, "password": "p"} for name in names])
    assert [account["username"] for account in accounts_in(conf)] == names


@pytest.mark.parametrize(
    ("account", "message"),
    [
        ({"username": "u"}, "account 1: username and password are required"),
        ({"username": "u", "password": "p", "system": "all"}, "account 1: an account of the system"),
        ({"username": "u", "password": "p", "projcet": "x"}, "account 1: unknown field projcet"),
    ],
)
def test_a_bad_account_is_named(account: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        account_sections([account])


def test_an_account_may_have_one_domain_by_id() -> None:
    account = {"username": "u", "password": "p", "domain_id": "default"}
    assert accounts_in(account_sections([account])) == [account]


def test_too_many() -> None:
    with pytest.raises(ValueError, match="201 accounts"):
        account_sections([{"username": "u", "password": "p"}] * 201)


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("it's # a comment", "it's"),
        ("it''s # a comment", "it''s"),
        ("'it''s # none' # a comment", "it's # none"),
        ('"a\\"b # none"\t# a comment', 'a"b # none'),
        ("'' # empty", ""),
        ("a#b #c", "a#b"),
        ('say "x # a comment', 'say "x'),
        ("p\x0cw\u2028#x # a comment", "p\x0cw\u2028#x"),
    ],
)
def test_quotes_and_comments(line: str, password: str) -> None:
    (account,) = read_accounts(f"- username: u\n  password: {line}\n")
    assert account["password"] == password


@pytest.mark.parametrize(
    "text",
    ["'" * 5001 + " #", "[" * 100_000, "- a: " + "[" * 50_000 + "]" * 50_000, '- a: "' + "\\" * 50_001 + " #"],
    ids=["quotes", "json", "lists", "escapes"],
)
def test_text_that_is_made_to_take_long_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError):
        account_sections(read_accounts(text))
