"""Addresses and versions of a service, as its catalogue entry and its answers show them."""

from __future__ import annotations

import pytest

from tests.support.service_api import service_api


@pytest.mark.parametrize(
    ("endpoint", "version", "address"),
    [
        ("http://cloud.example/image", "v2", "http://cloud.example/image/v2"),
        ("http://cloud.example:9292/v2/", "v2", "http://cloud.example:9292/v2"),
        ("http://cloud.example:9292/v1", "v2", "http://cloud.example:9292/v2"),
        ("http://cloud.example/compute/v2.1", "v2.1", "http://cloud.example/compute/v2.1"),
        ("http://cloud.example/compute/v2/project", "v2.1", "http://cloud.example/compute/v2/project"),
    ],
)
def test_the_address_of_a_version(endpoint: str, version: str, address: str) -> None:
    assert service_api({}, endpoint)[0].versioned(version) == address


def test_microversions_where_only_the_versions_own_address_is_open() -> None:
    own = {"version": {"id": "v2.1", "min_version": "2.1", "version": "2.96"}}
    assert service_api({"/compute/v2.1/": own}, "http://cloud.example/compute/v2.1/p")[0].microversions("v2.1") == (
        "2.1",
        "2.96",
    )
    assert service_api({"/": {"versions": "none"}})[0].microversions("v2.1") == ("", "")
