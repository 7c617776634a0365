from __future__ import annotations

import json
from typing import Any

import pytest

from refstack_worker.contract.accounts import (
    account_sections,
    accounts_in,
    different_accounts,
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


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("&pw s3cret", r"an anchor \(&\)"),
        ("*pw", r"an alias \(\*\)"),
        ("!!str 12345", r"a tag \(!\)"),
        ("|", "a block of lines"),
        (">-", "a block of lines"),
        ("{a: s3cret}", "a mapping"),
        ("@s3cret", "a reserved character"),
        ("%s3cret", "a reserved character"),
        ("`s3cret`", "a reserved character"),
    ],
)
def test_what_is_not_plain_in_yaml_is_not_taken_as_text(value: str, what: str) -> None:
    text = f"- username: u\n  password: p\n- username: v\n  password: {value}\n"
    with pytest.raises(ValueError, match=f"account 2: password: {what}.* is not read here; write the value") as refused:
        read_accounts(text)
    assert "s3cret" not in str(refused.value)
    (account,) = read_accounts(f"- username: u\n  password: '{value}'\n")
    assert account["password"] == value


@pytest.mark.parametrize(
    "field", ["roles: &r [member]", "roles: [*r]", "roles:\n    - *r", "resources: &n\n    network: x"]
)
def test_nor_in_a_list_or_a_mapping(field: str) -> None:
    with pytest.raises(ValueError, match="account 1: (roles|resources): an a"):
        read_accounts(f"- username: u\n  password: p\n  {field}\n")


@pytest.mark.parametrize("null", ["null", "~", "NULL", "", "# nothing"])
def test_null_sets_nothing(null: str) -> None:
    text = f"- username: u\n  project_id: {null}\n  types: {null}\n  resources: {null}\n  password: p\n"
    assert read_accounts(text) == [{"username": "u", "password": "p"}]
    with pytest.raises(ValueError, match="username and password are required"):
        account_sections(read_accounts(f"- username: u\n  password: {null}\n"))


def test_null_in_quotes_is_a_text_and_null_in_json_is_not() -> None:
    assert read_accounts("- username: 'null'\n  password: \"~\"\n") == [{"username": "null", "password": "~"}]
    text = json.dumps([{"username": "u", "password": "p", "project_id": None, "resources": {"network": None}}])
    assert account_sections(read_accounts(text)) == {"account.1": {"username": "u", "password": "p"}}


@pytest.mark.parametrize(
    "resources",
    ["{network: net1}", "{ 'network': 'net1', router: \"r,1\" }", '{"network":"net1"}', "{router: , network: net1}"],
)
def test_resources_in_braces(resources: str) -> None:
    text = f"- username: u\n  password: p\n  resources: {resources}\n"
    assert account_sections(read_accounts(text))["account.1"]["network"] == "net1"


@pytest.mark.parametrize(
    ("written", "roles"),
    [
        ("['mem,ber']", ["mem,ber"]),
        ("['it''s, so', \"a\\\"b,c\" , d]", ["it's, so", 'a"b,c', "d"]),
        ("[it's, that's]", ["it's", "that's"]),
        ("[a, ]", ["a"]),
        ("[]", []),
    ],
)
def test_a_comma_in_quotes_separates_nothing(written: str, roles: list[str]) -> None:
    (account,) = read_accounts(f"- username: u\n  password: p\n  roles: {written}\n")
    assert account["roles"] == roles


@pytest.mark.parametrize(
    "line",
    ["password: p\n  - x", "roles: ['a, b]", "resources: {network}", "resources: {network: x", 'password: "\\q"'],
)
def test_what_is_not_yaml_is_refused_with_the_number_of_the_account(line: str) -> None:
    with pytest.raises(ValueError, match="^account 1: "):
        read_accounts(f"- username: u\n  {line}\n")


@pytest.mark.parametrize("dash", ["-", "-  ", "-   "])
def test_keys_behind_a_nested_mapping_stay_with_the_account_however_wide_the_dash_is(dash: str) -> None:
    keys = ["username: u", "resources:", "  network: net1", "password: p", "types: [operator]"]
    indent = " " * (len(dash) + 1)
    text = "".join(f"{dash if not at % len(keys) else indent[:-1]} {line}\n" for at, line in enumerate(keys * 2))
    account = {"username": "u", "resources": {"network": "net1"}, "password": "p", "types": ["operator"]}
    assert read_accounts(text) == [account, account]


@pytest.mark.parametrize("value", ["'s3cret'# c", "\"s3cret\" 'x'", "'s3cret' 'x'", '"s3cret', "'s3cret", "'"])
def test_a_text_in_quotes_that_does_not_end_as_one_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="account 1: password: the text in (double )?quotes") as refused:
        read_accounts(f"- username: u\n  password: {value}\n")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("more", "places"),
    [
        ({"project_name": "demo"}, [0]),
        ({"project_name": "demo", "user_domain_name": "Other"}, [0]),
        ({"project_name": "other"}, [0, 1]),
        ({"project_id": "7f"}, [0, 1]),
        ({"project_name": "demo", "password": "q"}, [0, 1]),
        ({"project_name": "demo", "user_id": "7f"}, [0, 1]),
    ],
)
def test_accounts_are_told_apart_as_by_tempest(more: dict[str, Any], places: list[int]) -> None:
    one = {"username": "u", "password": "p"}
    assert different_accounts([{**one, "project_name": "demo"}, {**one, **more}]) == places


def test_without_a_project_the_domain_tells_accounts_apart() -> None:
    one = {"username": "u", "password": "p"}
    assert different_accounts([one, dict(one), {**one, "user_domain_name": "Other"}]) == [0, 2]


def test_an_account_has_the_roles_of_those_that_repeat_it() -> None:
    accounts: list[dict[str, Any]] = [{"username": "u", "roles": "member"}, {"username": "u", "roles": ["a", "member"]}]
    assert different_accounts(accounts) == [0] and accounts[0]["roles"] == ["member", "a"]
