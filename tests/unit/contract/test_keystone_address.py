from __future__ import annotations

import pytest

from refstack_worker.contract.keystone_address import is_same_server, shown_address, shown_malformed, v3_address


@pytest.mark.parametrize(
    "address",
    [
        "https://cloud.example:5000",
        "https://cloud.example:5000/",
        "https://cloud.example:5000/v3",
        "https://cloud.example:5000/v3/",
        "https://cloud.example:5000/v2.0",
        "https://cloud.example:5000/v2.0/",
        "https://cloud.example:5000/v2",
        "https://cloud.example:5000/v2.0/tokens",
        "https://cloud.example:5000/v3/auth/tokens",
        "https://cloud.example:5000/v3.14",
        "https://cloud.example:5000/V3",
        " https://cloud.example:5000/v3 ",
    ],
)
def test_any_version_leads_to_v3(address: str) -> None:
    assert v3_address(address) == "https://cloud.example:5000/v3"


def test_a_path_stays() -> None:
    assert v3_address("https://cloud.example/identity") == "https://cloud.example/identity/v3"


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ("https://Cloud.example:443/identity/v2.0", True),
        ("https://cloud.example/v3", True),
        ("http://cloud.example/v3", False),
        ("https://cloud.example:5000/v3", False),
        ("https://cloud.example.evil/v3", False),
        ("https://cloud.example@evil/v3", False),
        ("https://[evil/v3", False),
        ("https://evil.example\\@cloud.example/v3", False),
        ("https://evil.example\t@cloud.example/v3", False),
        ("", False),
    ],
)
def test_a_server_is_scheme_host_and_port(other: str, is_same: bool) -> None:
    assert is_same_server("https://cloud.example/v3", other) is is_same
    assert not is_same_server("https://[x", "https://[x")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://k:5000/v3", "https://k:5000/v3"),
        ("https://admin:pw@k:5000/v3?token=t#f", "https://k:5000/v3"),
        ("https://admin:p@w@k", "https://k"),
        ("//token@k/v1/AUTH_a@b", "//k/v1/AUTH_a@b"),
        ("", ""),
    ],
)
def test_a_message_shows_neither_user_nor_query(address: str, shown: str) -> None:
    assert shown_address(address) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://[::1:8774/v2.1", "http://[::1:8774/v2.1"),
        ("https://admin:p/w@c:port/v2.1?token=t", "https://c:port/v2.1"),
        ("https://admin:p?w#@c:port/v2.1", "https://c:port/v2.1"),
        ("admin:pw@c:8774/v2.1", "c:8774/v2.1"),
        ("", ""),
    ],
)
def test_what_is_not_an_address_shows_no_password_either(text: str, shown: str) -> None:
    assert shown_malformed(text) == shown
