"""Networks that a run must not reach: one list for the program and for its unit."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest

from refstack_worker.contract.networks import FORBIDDEN_NETWORKS, QUEUE_NETWORK, is_forbidden

SYSTEMD = Path(__file__).parents[3] / "systemd"


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
        "fd00:ec2::23",
        "fd00:a9fe:a9fe::1",
        "fd00:100::100:200",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "127.47.30.1",
    ],
)
def test_addresses_of_metadata_services(address: str) -> None:
    assert is_forbidden(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "::1"])
def test_addresses_of_clouds(address: str) -> None:
    assert not is_forbidden(address)


def test_the_unit_denies_the_same_networks() -> None:
    unit = (SYSTEMD / "refstack-run@.service").read_text()
    denied = {
        ipaddress.ip_network(word)
        for line in re.findall(r"^IPAddressDeny=(.*)$", unit, re.MULTILINE)
        for word in line.split()
    }
    assert denied == set(FORBIDDEN_NETWORKS)


def test_the_shipped_tunnel_is_out_of_a_runs_reach() -> None:
    text = (SYSTEMD / "stunnel" / "refstack-node.conf").read_text()
    (address,) = re.findall(r"^accept = (.*):\d+$", text, re.MULTILINE)
    assert ipaddress.ip_address(address) in ipaddress.ip_network(QUEUE_NETWORK)
    assert is_forbidden(address)
