"""Addresses that a run must not call."""

from __future__ import annotations

import pytest

from refstack_worker.execute_test.addresses import is_metadata


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
    ],
)
def test_addresses_of_metadata_services(address: str) -> None:
    assert is_metadata(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "::1"])
def test_addresses_of_clouds(address: str) -> None:
    assert not is_metadata(address)
