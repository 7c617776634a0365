"""Networks that a run must not reach.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import ipaddress

METADATA_NETWORKS = (
    "169.254.0.0/16",
    "fe80::/10",
    # AWS (also EKS Pod Identity), Google, Oracle, Scaleway, Akamai, Alibaba; from cloud-init and the providers' SDKs
    "fd00:ec2::254/128",
    "fd00:ec2::23/128",
    "fd20:ce::254/128",
    "fd00:c1::a9fe:a9fe/128",
    "fd00:42::42/128",
    "fd00:a9fe:a9fe::1/128",
    "fd00:100::100:200/128",
    # 169.254.0.0/16 inside IPv6: NAT64, 6to4, IPv4-compatible, IPv4-translated
    "64:ff9b::a9fe:0/112",
    "2002:a9fe::/32",
    "::a9fe:0/112",
    "::ffff:0:a9fe:0/112",
    # Alibaba, Azure, Oracle Classic
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
)
"""Where a machine's provider offers it secrets. No cloud under test is there."""

QUEUE_NETWORK = "127.47.30.0/24"
"""Loopback addresses for a node's gearmand or its tunnel to one, which accepts everybody who can reach it."""

FORBIDDEN_NETWORKS = tuple(ipaddress.ip_network(text) for text in (*METADATA_NETWORKS, QUEUE_NETWORK))
"""The same list as ``IPAddressDeny=`` of the unit ``refstack-run@.service``."""


def is_forbidden(address: str) -> bool:
    """Return whether a run must not reach an IP address, also when it is written as IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    plain = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(plain.version == network.version and plain in network for network in FORBIDDEN_NETWORKS)
