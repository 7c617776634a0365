"""A site that no service runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from democloud.openstack.shape import INNER_PORTS, PORTS, Shape, Site

NUMBERS = {name: number for number, name in enumerate([*PORTS, *INNER_PORTS, "closed"], 20_000)}
TLS = {f"{name}-tls": number for number, name in enumerate(PORTS, 30_000)}


def site(**shape: Any) -> Site:
    passwords = dict.fromkeys(("admin", "service", "database", "messages"), "opensesame")
    return Site(Path("/cloud"), Shape(**shape), {**NUMBERS, **TLS}, passwords, "172.24.7")
