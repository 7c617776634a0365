"""HTTP to servers that an operator configured: the RefStack server, wheelhouses, an upload's target.

What every such call needs stands here once: the bearer token that no ``.netrc`` can replace, the private certificate
authority that no environment variable can replace, no redirects, bounded bodies, and a phrase for what went wrong.
For servers whose addresses users gave see :mod:`refstack_worker.http.guard`.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

import requests
from requests.auth import AuthBase
from urllib3.exceptions import LocationValueError

from refstack_worker.http.kept_sessions import KeptSessions

Timeout = Union[float, tuple[float, float]]
"""Seconds to connect and between two pieces of a response; one number for both."""

PIECE = 65_536

_KEPT = KeptSessions()


class BearerToken(AuthBase):
    """Sends a token; as ``auth``, so that the machine's ``.netrc`` cannot replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class HttpSession:
    """Requests with one token and one set of trusted authorities. Each thread needs its own.

    :param ca_file: PEM file of the certificate authorities to trust; empty: the system's.
    :param is_public: the server holds public files: redirects are followed, and ``.netrc`` may name a user.
    """

    def __init__(self, token: str = "", ca_file: str = "", is_public: bool = False) -> None:  # nosec B107 - empty: none
        self._auth = None if is_public else BearerToken(token)
        self._is_public = is_public
        self._ca_file = ca_file
        self._session: requests.Session | None = None
        # read once for each server: requests would read it for each call, which takes a third of the call's time
        self._environments: dict[str, dict[str, Any]] = {}

    @contextmanager
    def response(self, method: str, url: str, timeout: Timeout, **options: Any) -> Iterator[requests.Response]:
        """Send a request and give its response, whose body is read by the caller.

        A redirect of a server that gets a token is not followed: it would carry the token to wherever it points.

        :raises requests.RequestException: no response came; :func:`cause` puts it into words.
        """
        with self._request(method, url, timeout=timeout, **options) as response:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                # requests would unpack it before anyone could count: ten kilobytes may become gigabytes
                raise requests.exceptions.ContentDecodingError("a compressed response, which was not asked for")
            yield response

    def _request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> requests.Response:
        if self._session is None:
            self._session = requests.Session() if self._is_public else _KEPT.take(self._ca_file)
        try:
            return self._session.request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                auth=self._auth,
                allow_redirects=self._is_public,
                stream=True,
                **self._environment(url),
                **options,
            )
        except LocationValueError as error:
            # requests passes on that part of a host's name is empty or longer than 63 characters
            raise requests.exceptions.InvalidURL(str(error)) from error

    def _environment(self, url: str) -> dict[str, Any]:
        """Return the authorities and proxies for a server: those of the settings before those of the environment."""
        if self._is_public:
            # given with each call: a session's own setting would lose against the environment's REQUESTS_CA_BUNDLE
            return {"verify": self._ca_file or _default_authorities()}
        server = "/".join(url.split("/", 3)[:3])
        if server not in self._environments:
            try:
                proxies = requests.utils.get_environ_proxies(server)
            except ValueError as error:
                raise requests.exceptions.InvalidURL(str(error)) from error
            self._environments[server] = {"verify": self._ca_file or _default_authorities(), "proxies": proxies}
        return self._environments[server]

    def disconnect(self) -> None:
        """Close the connections; the next request makes new ones."""
        if self._session is not None:
            self._session.close()

    def close(self) -> None:
        """Need no connection for now: those of a private session serve the next one for a moment, then close."""
        session, self._session = self._session, None
        if session is None:
            return
        if self._is_public:
            session.close()
        else:
            _KEPT.give_back(session, self._ca_file)


def _default_authorities() -> bool | str:
    """Return the environment's file of authorities, else the system's; True, for those of requests, without either.

    Outside of a distribution's packages, requests does not know which authorities were added to the system.
    """
    bundles = [os.environ.get(name, "") for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")]
    if any(bundles):
        return bundles[0] or bundles[1]
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return paths.cafile
    if paths.capath and any(Path(paths.capath).iterdir()):
        return paths.capath
    return True


def read_body(response: requests.Response, max_bytes: int, seconds: float) -> bytes:
    """Return a body of at most ``max_bytes`` bytes that arrives within ``seconds``.

    :raises OSError: the body is larger, slower or broke off.
    """
    end = time.monotonic() + seconds
    body = bytearray()
    for piece in response.iter_content(PIECE):
        body += piece
        if len(body) > max_bytes:
            raise OSError(f"a response of more than {max_bytes} bytes")
        if time.monotonic() > end:
            raise TimeoutError("timed out")
    return bytes(body)


UNTRUSTED = "its certificate is not trusted here"

_PHRASES = (
    ("CERTIFICATE_VERIFY_FAILED", UNTRUSTED),
    ("Could not find a suitable TLS CA certificate bundle", "ca_file cannot be read"),
    ("Name or service not known", "the host name does not resolve"),
    ("Temporary failure in name resolution", "the host name does not resolve at the moment"),
    ("Connection refused", "connection refused; is the server running?"),
    ("timed out", "no response in time"),
)


def cause(error: BaseException) -> str:
    """Return in one phrase why a request failed; requests wraps the reason several times over."""
    if isinstance(error, requests.exceptions.ProxyError):
        # the address that was asked for is not the one that failed
        phrase = _phrase(error).rstrip("')")
        return f"by way of the proxy that the environment names: {phrase}"
    return _phrase(error)


def _phrase(error: BaseException) -> str:
    text = str(error)
    for word, phrase in _PHRASES:
        if word in text:
            return phrase
    inner = getattr(error.args[0], "reason", error) if error.args else error
    return " ".join(str(inner).rpartition(": ")[2].split())[:300] or type(error).__name__
