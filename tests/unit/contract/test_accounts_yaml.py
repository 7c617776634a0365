from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from refstack_worker.contract.accounts_yaml import read_accounts_yaml

FLOW = "- {username: u1, password: 0123, roles: [member]}\n- username: u2\n  password: 'a\n    b'\n"


def test_yaml_in_any_form() -> None:
    assert read_accounts_yaml(FLOW) == [
        {"username": "u1", "password": "0123", "roles": ["member"]},
        {"username": "u2", "password": "a b"},
    ]


def test_an_account_may_take_over_what_another_one_has() -> None:
    text = "- &first\n  username: u1\n  password: 0123\n  project_name: '~'\n- <<: *first\n  username: u2\n"
    assert read_accounts_yaml(text) == [
        {"username": "u1", "password": "0123", "project_name": "~"},
        {"username": "u2", "password": "0123", "project_name": "~"},
    ]


def test_anchors_tags_and_blocks_are_read_as_yaml() -> None:
    text = (
        "- username: u1\n  password: &pw s3cret\n  roles: &r [member, reader]\n  resources: &n\n    network: net1\n"
        "- username: u2\n  password: *pw\n  roles: *r\n  resources: *n\n"
        "- username: !!str 12345\n  password: >-\n    p w\n  types:\n  project_id: null\n"
    )
    first, second, third = read_accounts_yaml(text)
    assert {**first, "username": "u2"} == second
    assert (first["password"], first["roles"], first["resources"]) == (
        "s3cret",
        ["member", "reader"],
        {"network": "net1"},
    )
    assert third == {"username": "12345", "password": "p w"}


@pytest.mark.parametrize("null", ["null", "~", ""])
def test_null_sets_nothing(null: str) -> None:
    assert read_accounts_yaml(f"- {{username: u, password: 'null', project_id: {null}}}") == [
        {"username": "u", "password": "null"}
    ]


def test_without_the_library_a_sentence_says_what_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ValueError, match=r"account 1: password: an anchor \(&\) is not read here"):
        read_accounts_yaml("- username: u\n  password: &pw s3cret\n")


def test_what_tempests_sample_has_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *_more: Any) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert read_accounts_yaml("- username: u\n  password: p\n") == [{"username": "u", "password": "p"}]
    with pytest.raises(ValueError):
        read_accounts_yaml(FLOW)


@pytest.mark.parametrize("text", ["just words", "- {username: u", "[1, 2]", "{a: b}"])
def test_what_is_not_a_list_of_accounts(text: str) -> None:
    with pytest.raises(ValueError):
        read_accounts_yaml(text)
