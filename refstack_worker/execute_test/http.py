"""HTTP requests, and when to repeat them."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationValueError

from refstack_worker.contract.keystone_address import shown_address, shown_malformed
from refstack_worker.contract.networks import is_forbidden
from refstack_worker.execute_test.log import LOG

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
MAX_PAUSE_SECONDS = 30.0
MAX_RESPONSE = 64 * 1024 * 1024
"""Bytes of a response body."""
MAX_VALUES = 2_000_000
"""JSON values in it: each takes up to 300 bytes of memory; the largest lists of real clouds have a tenth."""

_NOT_AN_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    LocationValueError,
)

Result = TypeVar("Result")


class Unavailable(Exception):
    """A request that may work later: no connection, an unreadable response, or an error of the server."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status
        """Status of the response that says so; 0 without one."""


class Denied(Exception):
    """A response that no repetition will change."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}
        """Of the response, by their names in small letters."""


@dataclass(frozen=True)
class HttpResponse:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """Return the body, parsed.

        :raises Unavailable: it is not JSON, as with the page of a proxy, or too much of it.
        """
        if sum(map(self.body.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise Unavailable(f"{self.url}: response {self.status} with more than {MAX_VALUES} JSON values")
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            kind = self.headers.get("Content-Type", "no type")
            raise Unavailable(f"{self.url}: response {self.status} with {kind} that is not JSON") from None


class _CheckedConnection:
    """A connection that sends nothing to a forbidden address, whatever its name resolved to this time."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # of urllib3's connection
        peer = self.sock.getpeername()[0]
        if is_forbidden(peer):
            self.close()  # type: ignore[attr-defined]
            raise ValueError(f"{peer} belongs to a metadata service or to the node itself; a run must not call it")


class _CheckedHttpConnection(_CheckedConnection, HTTPConnection):
    pass


class _CheckedHttpsConnection(_CheckedConnection, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _CheckedHttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedHttpsConnection


class _CheckedAdapter(requests.adapters.HTTPAdapter):
    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        if self._context is not None:
            options["ssl_context"] = self._context
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class HttpClient:
    """Sends requests; follows no redirect, reads no ``.netrc``, and tells temporary failures from final ones."""

    def __init__(
        self, verify: bool | str = True, headers: Mapping[str, str] | None = None, proxy: str | None = None
    ) -> None:
        """Begin a session.

        :param verify: whether certificates are checked, or the file of those that are trusted.
        :param proxy: address of the one to use; empty for none, None for that of the environment.
        """
        self._session = requests.Session()
        context = None
        if proxy is not None:
            # this machine's own certificates count too, as for Tempest; requests brings others
            context = _context_of_this_machine() if verify is True else None
            self._session.trust_env = False
            self._session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _CheckedAdapter(context))
        # without authentication of its own, requests would take one from ~/.netrc
        self._session.auth = lambda request: request
        own = {"User-Agent": "refstack-execute_test", "Accept-Encoding": "identity"}
        self._session.headers.update({**own, **(headers or {})})
        self._verify = verify

    def request(self, method: str, url: str, **options: Any) -> HttpResponse:
        """Send one request.

        :raises Unavailable: another try may succeed.
        :raises Denied: the server refuses.
        """
        where = shown_address(url)
        try:
            response = self._send(method, url, options)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise Unavailable(f"{where}: {_innermost_cause(error)}") from error
        except _NOT_AN_ADDRESS:
            # the error quotes what may hold a password
            proxy = " or the address of its proxy" if self._session.proxies else ""
            raise Denied(0, f"{shown_malformed(url)[:200]!r}{proxy} is not a valid URL") from None
        except (requests.RequestException, OSError, ValueError) as error:
            raise Denied(0, f"{where}: {_innermost_cause(error)}") from error
        _check_status(response, where)
        return response

    def _send(self, method: str, url: str, options: Mapping[str, Any]) -> HttpResponse:
        timeout = (CONNECT_SECONDS, READ_SECONDS)
        with self._session.request(
            method, url, timeout=timeout, allow_redirects=False, stream=True, verify=self._verify, **options
        ) as response:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                # it would be unpacked before anyone could count: ten kilobytes may become gigabytes
                raise ValueError("a compressed response, which was not asked for")
            body = bytearray()
            for piece in response.iter_content(65536):
                body += piece
                if len(body) > MAX_RESPONSE:
                    raise ValueError(f"a response of more than {MAX_RESPONSE} bytes")
        if self._session.headers.get("Connection") == "close":
            # a server may close the connection without notice: the next request would be lost in it
            self._session.close()
        return HttpResponse(response.status_code, response.headers, bytes(body), shown_address(url))


def _context_of_this_machine() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # urllib3 compares the name itself; its older versions give OpenSSL none where the address is an IP
    context.check_hostname = False
    return context


def patiently(attempt: Callable[[], Result], seconds: float) -> Result:
    """Return what ``attempt`` returns; while it raises :class:`Unavailable`, repeat it after growing pauses.

    :raises Unavailable: it still does after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    pause = 0.5
    while True:
        try:
            return attempt()
        except Unavailable as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            # spread out, so that a fleet does not come back all at once
            wait = min(left, pause * (0.75 + secrets.randbelow(500) / 1000))
            LOG.warning("%s; trying again in %.1f s", error, wait)
            time.sleep(wait)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)


def _check_status(response: HttpResponse, where: str) -> None:
    status = response.status
    if status >= 500 or status in (408, 425, 429):
        raise Unavailable(f"{where}: response {status}{_error_text(response)}", status)
    if status >= 400:
        raise Denied(status, f"{where}: response {status}{_error_text(response)}", response.headers)
    if status >= 301:
        target = response.headers.get("Location", "?")
        raise Denied(
            status, f"{where} redirects to {shown_address(target)[:200]}; redirects are not followed, use that address"
        )


def _error_text(response: HttpResponse) -> str:
    with contextlib.suppress(Unavailable):
        body = response.json()
        error = body.get("error", body) if isinstance(body, dict) else body
        message = error.get("message", "") if isinstance(error, dict) else error
        return f": {' '.join(str(message).split())[:300]}"
    return ""


def _innermost_cause(error: BaseException) -> str:
    """Return the reason that requests wraps several times, in one line."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None)
        inner = inner if isinstance(inner, BaseException) else next(
            (each for each in error.args if isinstance(each, BaseException)), None)  # fmt: skip
        error = inner or error
    # urllib3 puts the connection in front, as an object or with its class; the address is in our message already
    text = re.sub(r"<[^>]*object at 0x[0-9a-f]+>:? ?|\b_\w+\([^()]*\): ", "", str(error)) or type(error).__name__
    return " ".join(text.split())[:300]
