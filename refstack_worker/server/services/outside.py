"""Ask servers whose addresses users gave, without letting them reach what only this machine can reach.

The name is resolved once, every address that it has must be allowed, and the connection goes to one of these addresses
and no other, so that a name which points somewhere else a moment later gains nothing. Redirects are not followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from refstack_worker.config.server import Network
from refstack_worker.errors import ServerError, UsageError

SECONDS = 10.0
"""For the connection, and for each piece of the answer."""
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Question:
    """What is asked."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    """JSON value; None: no body."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the JSON value in it. :raises ServerError: there is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise ServerError("the answer is not JSON") from None


def ask(question: Question, networks: Sequence[Network] = ()) -> Answer:
    """Ask a server.

    :param networks: that are not public and allowed all the same.
    :raises UsageError: the address is none that may be asked.
    :raises ServerError: no answer, or one that is too large.
    """
    parts = split(question.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    address = allowed_address(host, port, networks)
    connection = _connection(parts.scheme, host, port, address)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Accept": "application/json", "User-Agent": "refstack", **question.headers}
    body = None if question.body is None else json.dumps(question.body).encode("utf-8")
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(question.method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read(MAX_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(f"{_shown(parts)}: no answer: {_why(error)}") from error
    finally:
        connection.close()
    if len(data) > MAX_BYTES:
        raise ServerError(f"{_shown(parts)}: the answer is larger than {MAX_BYTES} bytes")
    return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, data)


def allowed_address(host: str, port: int, networks: Sequence[Network]) -> str:
    """Return an address of a host that may be asked.

    :raises UsageError: one of its addresses is not public and not allowed by the operator.
    :raises ServerError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServerError(f"{host}: has no address: {_why(error)}") from error
    addresses = list(dict.fromkeys(str(item[4][0]).partition("%")[0] for item in found))
    for text in addresses:
        if not _may(text, networks):
            raise UsageError(
                f"{host}: {text} is not a public address; the operator may allow its network in CLOUD_NETWORKS"
            )
    return addresses[0]


def _may(text: str, networks: Sequence[Network]) -> bool:
    address = ipaddress.ip_address(text)
    plain = getattr(address, "ipv4_mapped", None) or address
    if any(plain.version == network.version and plain in network for network in networks):
        return True
    return plain.is_global and not plain.is_multicast and not _carries_private(plain)


def _carries_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    # 6to4, Teredo and NAT64 addresses lead to the IPv4 address inside
    if isinstance(address, ipaddress.IPv4Address):
        return False
    return bool(address.sixtofour or address.teredo) or address in ipaddress.ip_network("64:ff9b::/96")


def split(url: str) -> Any:
    """Return the parts of an address. :raises UsageError: it is none that may be asked."""
    try:
        parts = urlsplit(url)
        port_is_good = parts.port != 0
    except ValueError:
        port_is_good = False
        parts = urlsplit("")
    if not port_is_good or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url[:200]!r}: is no address (as https://cloud.example:5000/v3)")
    if parts.username is not None or not url.isprintable() or " " in url:
        raise UsageError("an address holds no user name, password or blank")
    return parts


def _connection(scheme: str, host: str, port: int, address: str) -> http.client.HTTPConnection:
    connection: http.client.HTTPConnection
    if scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)

    def connect(_where: Any, *more: Any, **options: Any) -> socket.socket:
        return socket.create_connection((address, port), *more, **options)

    # the certificate is checked against the name all the same: HTTPSConnection wraps this socket with it
    connection._create_connection = connect  # type: ignore[attr-defined]
    return connection


def _shown(parts: Any) -> str:
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _why(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
