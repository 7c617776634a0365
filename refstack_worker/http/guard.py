"""HTTP towards servers whose addresses users gave: guarded against reaching inside, and with one deadline for it all.

A name is resolved once, every address that it has must be allowed, and the connection goes to one of these addresses
and no other, so that a name which points somewhere else a moment later gains nothing. Redirects are not followed. The
deadline counts for resolving, connecting and every piece of the answer together: a server that sends one byte now and
then does not hold the caller.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union
from urllib.parse import SplitResult, quote, urlsplit

from refstack_worker.contract.networks import METADATA_NETWORKS
from refstack_worker.errors import ServerError, UsageError

SECONDS = 20.0
"""For everything that one :class:`OutboundGuard` is asked for."""
MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 200_000
"""Values of an answer in JSON: each may take up to 300 bytes of memory."""
_PIECE = 65_536
_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"
"""Characters of a path that are not escaped."""

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_METADATA = tuple(map(ipaddress.ip_network, METADATA_NETWORKS))
NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        *METADATA_NETWORKS,
        # protocol assignments, site-local, IPv4 inside IPv6 (compatible, translated, NAT64, local NAT64)
        *("192.0.0.0/24", "fec0::/10", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"),
        # the old 6to4 relays (RFC 7526): any network that announces the route gets what is sent there
        "192.88.99.0/24",
    )
)
"""Not public whatever Python's version calls them."""
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")
"""All that IANA has assigned to be reached globally; outside of it are overlays, segment routing and the like."""
_NOT_PUBLIC_IPV6 = tuple(ipaddress.ip_network(text) for text in ("2001:20::/28", "3fff::/20"))
"""Inside of it: ORCHID, and addresses for documentation, which older versions of Python do not know."""
_ISATAP = 0x5EFE
"""Upper half of the interface identifier of ISATAP (RFC 5214), whose lower half is an IPv4 address ..."""
_UNIVERSAL = 0x02000000
"""... with this bit if that is a public one."""


class Deadline:
    """The time that a whole exchange may take."""

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Return the seconds that are left. :raises TimeoutError: none."""
        seconds = self._end - self._clock()
        if seconds <= 0:
            raise TimeoutError("took too long")
        return seconds


@dataclass(frozen=True)
class OutboundGuard:
    """What may be asked, and for how long."""

    networks: Sequence[Network] = ()
    """Private networks that are allowed all the same, apart from metadata services in them."""
    deadline: Deadline = field(default_factory=Deadline)
    setting: str = "CLOUD_NETWORKS"
    """Name of the server's setting with which an operator allows such networks."""
    max_bytes: int = MAX_BYTES

    def check(self, address: str) -> None:
        """Check an IP address.

        :raises UsageError: it is not public and not allowed by the operator, or may be that of a metadata service.
        """
        if _is_in(_parsed(address), _METADATA):
            raise UsageError(f"{address} is a private address as metadata services have it. It is never asked.")
        if not _may(address, self.networks):
            raise UsageError(f"{address} is a private address. Ask the operator to allow its network ({self.setting}).")


@dataclass(frozen=True)
class GuardedRequest:
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    """JSON value, or the bytes of one; None: no body."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the JSON value in it. :raises ServerError: there is none, or it would fill the memory."""
        try:
            text = self.body.decode(json.detect_encoding(self.body), "surrogatepass")
            if sum(map(text.count, ",[{")) > MAX_VALUES:
                raise ServerError(f"the answer has more than {MAX_VALUES} values")
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ServerError("the answer is not JSON") from None


def ask_guarded(request: GuardedRequest, guard: OutboundGuard) -> Answer:
    """Send a request and return the answer.

    :raises UsageError: the URL must not be asked.
    :raises ServerError: no answer in time, or one that is too large.
    """
    parts = split(request.url)
    address = allowed_address(parts.hostname or "", port_of(parts), guard)
    headers = {"Accept": "application/json", "User-Agent": "refstack", **request.headers}
    body = request.body
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode("utf-8")
    if body is not None:
        headers["Content-Type"] = "application/json"
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), _AS_IT_IS)
    connection = _connection(parts, address, guard.deadline)
    try:
        connection.request(request.method, path, body, headers)
        answer = connection.getresponse()
        data = _read(answer, _shown(parts), guard.max_bytes)
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(f"{_shown(parts)}: no answer: {why(error)}") from error
    finally:
        connection.close()
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, data)


def allowed_address(host: str, port: int, guard: OutboundGuard) -> str:
    """Return an address of a host that may be asked.

    :raises UsageError: one of its addresses is not allowed by the guard.
    :raises ServerError: it has none.
    """
    addresses = list(dict.fromkeys(str(item[4][0]).partition("%")[0] for item in _resolve(host, port, guard.deadline)))
    for text in addresses:
        guard.check(text)
    return addresses[0]


def split(url: str) -> SplitResult:
    """Return the parts of a URL. :raises UsageError: it is none that may be asked."""
    try:
        parts = urlsplit(url)
        is_good = parts.port != 0 and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError("Enter a URL that starts with http:// or https://")
    if parts.username is not None or not url.isprintable() or " " in url:
        raise UsageError("Enter a URL without user name, password or spaces.")
    return parts


def port_of(parts: SplitResult) -> int:
    """Return the port of a URL."""
    return parts.port or (443 if parts.scheme == "https" else 80)


def why(error: BaseException) -> str:
    """Return the shortest phrase that says what went wrong with a connection."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _resolve(host: str, port: int, deadline: Deadline) -> Sequence[Any]:
    """Return what the resolver says, which itself knows no deadline: its thread is left behind when it is late."""
    found: list[Any] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    try:
        seconds = deadline.left()
    except TimeoutError as error:
        raise ServerError(f"{host}: {error}") from None
    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found or isinstance(found[0], Exception):
        raise ServerError(f"The host name {host} can't be resolved.")
    result: Sequence[Any] = found[0]
    return result


def _may(text: str, networks: Sequence[Network]) -> bool:
    plain = _parsed(text)
    return _is_in(plain, networks) or (_is_public(plain) and not is_never_public(text))


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global
    return address.is_global and address in _PUBLIC_IPV6 and not _is_in(address, _NOT_PUBLIC_IPV6)


def is_never_public(text: str) -> bool:
    """Return whether an IP address leads to many hosts, to a metadata service, or to whatever another address names."""
    plain = _parsed(text)
    # 6to4, Teredo and ISATAP addresses lead to the IPv4 address inside
    tunnels = isinstance(plain, ipaddress.IPv6Address) and bool(plain.sixtofour or plain.teredo or _is_isatap(plain))
    return tunnels or plain.is_multicast or _is_in(plain, NEVER)


def _is_isatap(address: ipaddress.IPv6Address) -> bool:
    return (int(address) >> 32) & 0xFFFFFFFF & ~_UNIVERSAL == _ISATAP


def _parsed(text: str) -> _Address:
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(address: _Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


class _Socket(socket.socket):
    """A socket that reads until the deadline and no longer."""

    deadline: Deadline

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        self.settimeout(self.deadline.left())
        return super().recv_into(*arguments, **options)


class _TlsSocket(ssl.SSLSocket):
    """The same with TLS; the module ``ssl`` counts each of its calls as a whole."""

    deadline: Deadline

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        self.settimeout(self.deadline.left())
        return super().recv_into(*arguments, **options)


def _connection(parts: SplitResult, address: str, deadline: Deadline) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", port_of(parts)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # checked against the name all the same, although the connection goes to the address
        context = ssl.create_default_context()
        context.sslsocket_class = type("_Tls", (_TlsSocket,), {"deadline": deadline})
        connection = http.client.HTTPSConnection(host, port, context=context)
    else:
        connection = http.client.HTTPConnection(host, port)

    def connect(*_where: Any, **_options: Any) -> socket.socket:
        made = _Socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        made.deadline = deadline
        made.settimeout(deadline.left())
        try:
            made.connect((address, port))
        except OSError:
            made.close()
            raise
        return made

    connection._create_connection = connect  # type: ignore[attr-defined]
    return connection


def _read(answer: http.client.HTTPResponse, where: str, max_bytes: int) -> bytes:
    body = bytearray()
    # read1: one piece as it comes, so that the deadline is looked at between them
    while piece := answer.read1(_PIECE):
        body += piece
        if len(body) > max_bytes:
            raise ServerError(f"{where}: the answer is larger than {max_bytes} bytes")
    return bytes(body)


def _shown(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
