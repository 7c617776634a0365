"""gearmand's administrative protocol, with a real Gearman server."""

from __future__ import annotations

import gear
import pytest
from refstack_install.hosts import gearmand as protocol

from tests.support.http_server import serving


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("host", ("host", 4730)),
        ("host:1", ("host", 1)),
        ("::1", ("::1", 4730)),
        ("[::1]", ("::1", 4730)),
        ("[::1]:1", ("::1", 1)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert protocol.split(address) == parts


def test_registered_workers_are_listed_with_their_functions(gearmand: str) -> None:
    worker = gear.Worker("node-1")
    host, port = protocol.split(gearmand)
    worker.addServer(host, port)
    worker.waitForServer(timeout=5)
    worker.registerFunction("refstack:tempest:47.0.0")
    try:
        # a request on the same connection proves that the registration has arrived
        worker.active_connections[0].echo()
        rows = {row.client_id: row.functions for row in protocol.workers(gearmand)}
    finally:
        worker.shutdown()
    assert rows["node-1"] == {"refstack:tempest:47.0.0"}


def test_another_server_is_not_gearmand() -> None:
    with serving() as server, pytest.raises(OSError, match="not from a Gearman server"):
        protocol.workers(server.url.removeprefix("http://"))
