"""The address of Keystone."""

from __future__ import annotations

import pytest

from refstack_worker.execute_test.cloud.keystone import keystone_url
from refstack_worker.execute_test.failures import BadInput


@pytest.mark.parametrize(
    ("given_uri", "asked"),
    [
        ({"uri_v3": "http://k:5000/v3"}, "http://k:5000/v3"),
        ({"uri_v3": "http://k:5000/v3/"}, "http://k:5000/v3"),
        ({"uri": "http://k:5000/v2.0"}, "http://k:5000/v3"),
        ({"uri": "https://k/identity"}, "https://k/identity/v3"),
        ({"uri": "http://old/v2.0", "uri_v3": "http://new/v3"}, "http://new/v3"),
    ],
)
def test_address_of_keystone(given_uri: dict[str, str], asked: str) -> None:
    assert keystone_url(given_uri) == asked


@pytest.mark.parametrize("uri", ["", "file:///etc/passwd", "http://u:p@k/v3", "http://k/v3?x=1"])
def test_address_that_is_none(uri: str) -> None:
    with pytest.raises(BadInput):
        keystone_url({"uri_v3": uri})
