from __future__ import annotations

import pytest

from refstack_worker.execute_test.addresses import base_url
from refstack_worker.execute_test.failures import BadInput


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://refstack.example.org/", "https://refstack.example.org"),
        ("refstack.example.org:8000", "http://refstack.example.org:8000"),
        ("http://[::1]:8000/api/", "http://[::1]:8000/api"),
        ("HTTPS://Cloud.Example:5000/v3", "https://Cloud.Example:5000/v3"),
    ],
)
def test_an_address_of_a_server(text: str, url: str) -> None:
    assert base_url(text, "--callback") == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "ftp://x", "http://", "http://x?a", "http://x#a", "http://x:0", "http://a b"),
        *("https:/k:5000", "https//k:5000", "https:k", "http:", "http://https:/k:5000", "HTTPS:/k"),
    ],
)
def test_what_is_not_an_address_of_a_server(text: str) -> None:
    with pytest.raises(BadInput, match="--callback: .* is not an http or https address of a server"):
        base_url(text, "--callback")


@pytest.mark.parametrize(
    "text",
    [
        "https://admin:S3cretPw@k:5000/v3",
        "https://admin:S3/cretPw@k:5000/v3",
        "admin:S3cretPw@k:5000",
        "ftp://admin:S3cretPw@k",
        "https://S3cretPw@[k",
        "https:/admin:S3cretPw@k",
    ],
)
def test_an_address_with_a_password_is_not_repeated(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        base_url(text, "identity.uri_v3")
    assert str(refused.value) == "identity.uri_v3: enter the address of a server without user name or password"


def test_the_query_of_an_address_is_not_repeated() -> None:
    with pytest.raises(BadInput, match="'https://k/v3' is not") as refused:
        base_url("https://k/v3?token=S3cretPw", "--callback")
    assert "S3cretPw" not in str(refused.value)
