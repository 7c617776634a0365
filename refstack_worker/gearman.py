"""gear's client, worker and server as both sides need them: without Nagle's delay, with keep-alive, and quiet.

gear's sockets lack ``TCP_NODELAY``; a worker that writes ``WORK_COMPLETE`` and then ``GRAB_JOB`` waits out the peer's
delayed acknowledgement (44 ms a job). gear has a hook for a new connection and the option is set there.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import gear
from gear import constants

from refstack_worker.errors import ConfigError

DEFAULT_PORT = 4730
KEEPALIVE = {"keepalive": True, "tcp_keepidle": 30, "tcp_keepintvl": 10, "tcp_keepcnt": 3}
"""A peer that vanished is noticed after about a minute, not after gear's two hours."""

GET_STATUS_UNIQUE = 41
STATUS_RES_UNIQUE = 42
"""Packets by which gearmand (since 1.1) tells whether it has a job of this unique; gear does not have them."""

HOST = re.compile(r"(?=.{1,253}\Z)(?!-)[\w-]{1,63}(?:\.[\w-]{1,63})*\.?")
"""A name or an IPv4 address; which names exist is the resolver's business. It fails on empty and overlong parts."""

LOG = logging.getLogger(__name__)

# gear tells of every packet at INFO
logging.getLogger("gear").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Address:
    """Where a Gearman server listens."""

    host: str
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str, port: int = DEFAULT_PORT) -> Address:
        """Return the address in ``host``, ``host:port`` or ``[v6]:port``. :raises ConfigError: it is none."""
        rest = text.strip()
        if rest.startswith("["):
            host, bracket, rest = rest[1:].partition("]")
            valid = bool(bracket) and _is_ipv6(host)
        elif rest.count(":") > 1:
            host, rest = rest, ""
            valid = _is_ipv6(host)
        else:
            host, colon, rest = rest.partition(":")
            rest = colon + rest
            valid = host == "*" or _is_name_or_ipv4(host)
        number = rest[1:] if rest.startswith(":") else str(port)
        if not valid or not _is_port(number) or (rest and not rest.startswith(":")):
            raise ConfigError(
                f"gearman server {text!r}: expected one host or host:port (e.g. gearman.example:4730 or [::1]:4730)"
            )
        return cls(host, int(number))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Client(gear.Client):  # type: ignore[misc]
    """gear's client on connections that send at once."""

    def _onConnect(self, conn: gear.Connection) -> None:  # noqa: N802 - gear's hook
        send_at_once(conn.conn)
        super()._onConnect(conn)


class Worker(gear.Worker):  # type: ignore[misc]
    """gear's worker on connections that send at once."""

    def _onConnect(self, conn: gear.Connection) -> None:  # noqa: N802 - gear's hook
        send_at_once(conn.conn)
        super()._onConnect(conn)

    def handleError(self, packet: gear.Packet) -> None:  # noqa: N802 - gear's hook
        """A server that was started again does not know a job any more: gear would leave it with a traceback."""
        LOG.info("the queue says %s: %s", _text(packet.getArgument(0)), _text(packet.getArgument(1)))


class Server(gear.Server):  # type: ignore[misc]
    """gear's server on connections that send at once: the queue of the embedded set-up.

    It also answers, as gearmand does, whether it has a job of a unique: after a restart its handles start again, so by
    a handle a lost job could be taken for another.
    """

    def _registerConnection(self, conn: gear.ServerConnection) -> None:  # noqa: N802 - gear's hook
        send_at_once(conn.conn)
        super()._registerConnection(conn)

    def handlePacket(self, packet: gear.Packet) -> None:  # noqa: N802 - gear's hook
        if packet.ptype == GET_STATUS_UNIQUE:
            self._tell_unique(packet)
        else:
            super().handlePacket(packet)

    def _tell_unique(self, packet: gear.Packet) -> None:
        unique = bytes(packet.data)
        job = next((job for job in list(self.jobs.values()) if job.binary_unique == unique), None)
        known, running = b"%d" % (job is not None), b"%d" % bool(job is not None and job.running)
        answer = b"\0".join((unique, known, running, b"0", b"0", b"0"))
        packet.connection.sendPacket(gear.Packet(constants.RES, STATUS_RES_UNIQUE, answer))


def add_servers(client: gear.BaseClient, addresses: Iterable[Address]) -> None:
    """Make a client or worker connect to all these servers (it keeps trying in the background)."""
    for address in addresses:
        client.addServer(address.host, address.port, **KEEPALIVE)


def _is_name_or_ipv4(host: str) -> bool:
    """Tell whether a host is a name or an IPv4 address. No top-level domain is a number (RFC 3696, section 2)."""
    if HOST.fullmatch(host) is None:
        return False
    if not host.rstrip(".").rpartition(".")[2].isdecimal():
        return True
    with suppress(ValueError):
        ipaddress.IPv4Address(host)
        return True
    return False


def _is_ipv6(host: str) -> bool:
    """Tell whether a host is an IPv6 address, with or without a zone (``fe80::1%eth0``)."""
    address, percent, zone = host.partition("%")
    with suppress(ValueError):
        ipaddress.IPv6Address(address)
        return not percent or bool(zone)
    return False


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def send_at_once(connection: socket.socket) -> None:
    """Switch off Nagle's algorithm; a socket that has gone meanwhile is left to its owner."""
    with suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
