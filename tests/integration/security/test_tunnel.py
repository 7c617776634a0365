"""gearmand through the tunnel as it is shipped: both ends prove who they are, and no one else gets through."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.gearman import Address
from refstack_worker.worker.doctor import queue_checks
from refstack_worker.worker.doctor.finding import BAD, WARNING
from tests.integration.worker.conftest import Node
from tests.support.certificate_authority import Authority, shipped, stunnel
from tests.support.processes import Program, eventually, free_port


class Tunnel:
    """Both ends; the queue's is up, a node's is started with what a test gives it."""

    def __init__(self, folder: Path, authority: Authority, gearmand_port: int, host: str = "localhost") -> None:
        self.folder = folder
        self.authority = authority
        self.outside = free_port()
        self.programs: list[Program] = []
        certificate, key = authority.issue("queue", f"DNS:{host}")
        changes = {"accept": f"127.0.0.1:{self.outside}", "connect": f"127.0.0.1:{gearmand_port}",
                   "cert": str(certificate), "key": str(key), "CAfile": str(authority.pem)}  # fmt: skip
        self.start("refstack-queue", changes, self.outside)

    def node(self, issuer: Authority, trusts: Authority) -> int:
        """Start a node's end; returns the port where its worker finds the queue."""
        inside = free_port()
        certificate, key = issuer.issue("node", "DNS:node-1")
        changes = {"accept": f"127.0.0.1:{inside}", "connect": f"localhost:{self.outside}", "checkHost": "localhost",
                   "cert": str(certificate), "key": str(key), "CAfile": str(trusts.pem)}  # fmt: skip
        self.start("refstack-node", changes, inside)
        return inside

    def start(self, name: str, changes: dict[str, str], port: int) -> None:
        self.programs.append(stunnel(name, self.folder, shipped(f"{name}.conf", changes), port))

    def end(self) -> None:
        for program in self.programs:
            program.end()


@pytest.fixture
def tunnel(scratch, ours, gearmand) -> Iterator[Tunnel]:  # type: ignore[no-untyped-def]
    made = Tunnel(scratch, ours, gearmand.port)
    yield made
    made.end()


def gearman_says(port: int) -> bytes:
    """Return the answer to an administrative question; empty: the connection was closed."""
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.settimeout(10)
            connection.sendall(b"version\n")
            return connection.recv(100)
    except ConnectionRefusedError:
        raise
    except ConnectionError:
        return b""


def test_a_run_goes_through_the_tunnel_and_doctor_says_so(tunnel: Tunnel, ours: Authority, node: Node) -> None:
    inside = tunnel.node(ours, ours)
    node.start(gearman={"servers": [f"127.0.0.1:{inside}"]})
    attempt = node.submit(1, "pass")
    eventually(lambda: f"finished: {node.log()}", lambda: attempt.state == "finished")
    said = node.command("doctor", "-f", "json").stdout
    assert f"gearman 127.0.0.1:{inside} TLS" in said and "through a tunnel: stunnel" in said, said


def test_without_a_tunnel_doctor_says_who_listens(node: Node) -> None:
    node.configure()
    said = node.command("doctor", "-f", "json").stdout
    assert "not needed: gearmand listens there" in said, said


def test_a_bare_network_is_a_warning(gearmand) -> None:  # type: ignore[no-untyped-def]
    finding = queue_checks.encryption(Address("queue.example", 4730))
    assert finding.result == WARNING and "not encrypted" in finding.found and "docs/tls.md" in finding.todo


def test_a_client_without_a_certificate_is_refused(tunnel: Tunnel, ours: Authority) -> None:
    context = ssl.create_default_context(cafile=str(ours.pem))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with socket.create_connection(("127.0.0.1", tunnel.outside), 10) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as connection:
                # TLS 1.3 tells the refusal with the first answer
                connection.sendall(b"version\n")
                assert connection.recv(100) == b""
                raise ConnectionError("closed without a word")
    assert gearman_says(tunnel.node(ours, ours)).startswith(b"OK ")


def test_a_certificate_of_another_authority_is_refused(tunnel: Tunnel, ours: Authority, strangers: Authority) -> None:
    assert gearman_says(tunnel.node(issuer=strangers, trusts=ours)) == b""


def test_plain_gearman_at_the_tunnels_port_is_refused(tunnel: Tunnel) -> None:
    assert not gearman_says(tunnel.outside).startswith(b"OK ")


def test_a_queue_of_another_authority_is_not_spoken_to(
    scratch: Path, ours: Authority, strangers: Authority, gearmand
) -> None:  # type: ignore[no-untyped-def]
    imposter = Tunnel(scratch, strangers, gearmand.port)
    try:
        assert gearman_says(imposter.node(issuer=strangers, trusts=ours)) == b""
    finally:
        imposter.end()


def test_another_host_of_the_same_authority_is_not_spoken_to(scratch: Path, ours: Authority, gearmand) -> None:  # type: ignore[no-untyped-def]
    other = Tunnel(scratch, ours, gearmand.port, host="another.example")
    try:
        port = other.node(ours, ours)
        assert gearman_says(port) == b""
        finding = queue_checks._response(Address("127.0.0.1", port))
        assert finding.result == BAD and "tunnel" in finding.todo
    finally:
        other.end()
