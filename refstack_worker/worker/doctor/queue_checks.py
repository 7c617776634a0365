"""``doctor``'s checks of the Gearman servers."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.contract.networks import QUEUE_NETWORK, is_forbidden
from refstack_worker.gearman import Address
from refstack_worker.worker.doctor import listening_ports
from refstack_worker.worker.doctor.finding import BAD, GOOD, WARNING, Finding

QUEUES = ("gearmand", "geard", "refstack-queue")
"""Names of programs that are a Gearman server themselves; any other may forward to one."""
CONNECT_SECONDS = 5.0


def check_gearman(settings: WorkerSettings) -> Iterator[Finding]:
    """Each Gearman server responds, and whether the connection to it can be read on the way."""
    for address in settings.gearman.addresses:
        finding = _response(address)
        yield finding
        if finding.result == GOOD or not is_loopback(address.host):
            yield encryption(address)
        if settings.run.runner != "embedded" and is_loopback(address.host) and not is_forbidden(_ip(address.host)):
            yield Finding(
                f"gearman {address} runs",
                WARNING,
                "runs on this node can reach it, and take or drop jobs of other nodes",
                f"let the tunnel, or gearmand, listen on an address in {QUEUE_NETWORK} (docs/tls.md)",
            )


def encryption(address: Address) -> Finding:
    """Return whether the way to a Gearman server is encrypted, or need not be."""
    check = f"gearman {address} TLS"
    if not is_loopback(address.host):
        return Finding(
            check,
            WARNING,
            "not encrypted: others on the network can see and change which node gets which job (runs are sealed)",
            "use a tunnel on loopback (docs/tls.md), or a separate network",
        )
    program = listening_ports.program_on(address.port)
    if program.startswith("stunnel"):
        return Finding(check, GOOD, f"through a tunnel: {program} listens there; its settings decide whom it trusts")
    if program.startswith(QUEUES):
        return Finding(check, GOOD, f"not needed: {program} listens there, on this machine")
    if program:
        text = f"{program} listens there, which is not a known Gearman server: it may forward unencrypted"
        return Finding(check, WARNING, text, "make sure that it uses TLS and verifies the other end (docs/tls.md)")
    todo = "run doctor as root to see whether a tunnel listens there"
    return Finding(check, GOOD, "this machine, or the end of a tunnel: not visible to this user", todo)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ip(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _response(address: Address) -> Finding:
    check = f"gearman {address}"
    try:
        response = _ask(address)
    except socket.gaierror:
        return Finding(check, BAD, f"host name {address.host} does not resolve", "fix gearman.servers or the DNS")
    except ConnectionResetError:
        response = b""
    except OSError as error:
        return Finding(check, BAD, f"no connection: {error}", "start gearmand there, and let this node connect")
    if not response and is_loopback(address.host):
        todo = "if that is a tunnel, its other end is down or rejects this node's certificate; see the tunnel's log"
        return Finding(check, BAD, "closed the connection without sending anything", todo)
    if not response.endswith(b".\n"):
        return Finding(check, BAD, "not a Gearman server", "fix the port in gearman.servers")
    count = sum(line.startswith(b"refstack:") for line in response.splitlines())
    return Finding(check, GOOD, f"responds; has {count} RefStack function{'s' * (count != 1)}")


def _ask(address: Address) -> bytes:
    with socket.create_connection((address.host, address.port), CONNECT_SECONDS) as connection:
        connection.settimeout(CONNECT_SECONDS)
        connection.sendall(b"status\n")
        response = b""
        while not response.endswith(b".\n") and (data := connection.recv(65536)):
            response += data
    return response
