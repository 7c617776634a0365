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
    ],
)
def test_an_address_of_a_server(text: str, url: str) -> None:
    assert base_url(text, "--callback") == url


@pytest.mark.parametrize(
    "text", ["", "ftp://x", "http://", "http://u:p@x", "http://x?a", "http://x#a", "http://x:0", "http://a b"]
)
def test_what_is_not_an_address_of_a_server(text: str) -> None:
    with pytest.raises(BadInput, match="--callback: .* is not an http or https address of a server"):
        base_url(text, "--callback")
