"""The cpid is the one that refstack-client computes."""

from __future__ import annotations

import hashlib

import pytest

from refstack_worker.contract.cpid import cpid, cpid_of


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://cloud.example:5000/v3", "cloud.example"),
        ("https://cloud.example/identity/v3", "cloud.example"),
        ("https://Cloud.Example:5000/v3", "cloud.example"),
        ("http://[2001:db8::1]:5000/v3", "2001:db8::1"),
        ("http://[2001:DB8::1]/v3", "2001:db8::1"),
        ("https://user@cloud.example:5000/v3", "cloud.example"),
        ("http://192.0.2.1:5000", "192.0.2.1"),
    ],
)
def test_an_address_is_its_host_whatever_is_around_it(address: str, host: str) -> None:
    assert cpid_of(address) == hashlib.md5(host.encode(), usedforsecurity=False).hexdigest()


def test_the_known_ones() -> None:
    """As measured with refstack-client itself."""
    assert cpid_of("https://Cloud.Example:5000/v3").startswith("d79fc5bf")
    assert cpid_of("http://[2001:db8::1]:5000/v3").startswith("1d64d10f")


def test_the_identity_service_of_the_catalogue_comes_first() -> None:
    catalog = [{"type": "image", "id": "1"}, {"type": "identity", "id": "abc"}]
    assert cpid(catalog, "https://x/v3") == "abc"
    assert cpid([{"type": "identity"}], "https://x/v3") == cpid_of("https://x")
