"""A memcached of the cloud's own."""

from __future__ import annotations

from democloud.services import Services


def start(port: int, services: Services) -> None:
    """Start memcached on a loopback port."""
    command = ["memcached", "-U", "0", "-l", "127.0.0.1", "-p", str(port), "-u", services.user or "nobody"]
    services.start("memcached", command, {})
