"""gearmand's administrative protocol, with a real Gearman server."""

from __future__ import annotations

import gear
import pytest
from refstack_install.hosts import gearmand as protocol

from tests.support.http_server import serving
from tests.support.worker_parts import eventually


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

    def functions() -> set[str]:
        return {row.client_id: row.functions for row in protocol.workers(gearmand)}["node-1"]

    try:
        # gear's echo() would prove that the registration has arrived, but waits 30 s for an answer that comes at once
        assert eventually(functions) == {"refstack:tempest:47.0.0"}
    finally:
        worker.shutdown()


def test_another_server_is_not_gearmand() -> None:
    with serving() as server, pytest.raises(OSError, match="not from a Gearman server"):
        protocol.workers(server.url.removeprefix("http://"))
