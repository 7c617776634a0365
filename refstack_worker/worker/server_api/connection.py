"""HTTP calls to a RefStack server.

Redirects are never followed, and a response is not assumed to be JSON. Failures that may pass are retried with
back-off; a refusal is a :class:`~refstack_worker.errors.RefusedError` with the server's reason.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from requests.auth import AuthBase

from refstack_worker.config.worker import ServerLinkSettings
from refstack_worker.contract.status_report import clean_line
from refstack_worker.errors import RefusedError, ServerError

LOG = logging.getLogger(__name__)

MAX_RESPONSE = 256 * 1024
"""Bytes of a response that are read; real ones have about a hundred."""
FIRST_WAIT = 0.5
MAX_WAIT = 30.0
"""Seconds between retries: the first wait, and the longest."""
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class _AttemptToken(AuthBase):
    """Sends the attempt's token; as ``auth``, so that the machine's ``.netrc`` cannot replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ServerConnection:
    """Calls to one server. Each thread needs its own."""

    def __init__(self, base: str, settings: ServerLinkSettings, token: str = "") -> None:  # nosec B107 - empty: none
        self._base = base.rstrip("/")
        self._settings = settings
        self._auth = _AttemptToken(token)
        self._session = requests.Session()

    def close(self) -> None:
        """Close the open connections."""
        self._session.close()

    def post(
        self, path: str, body: Mapping[str, Any] | bytes, timeout: float = 0, last: bool = False
    ) -> Mapping[str, Any]:
        """Send a request once and return the response.

        :param last: no other request follows soon: close the connection.
        :raises RefusedError: the server understood the request and refused it; ``reason`` is the server's word.
        :raises ServerError: unreachable, failing, or an unexpected response; try again later.
        """
        url = self._base + path
        data = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        headers = {"Content-Type": kind, "Accept": "application/json", **({"Connection": "close"} if last else {})}
        try:
            with self._session.post(
                url,
                data=data,
                headers=headers,
                auth=self._auth,
                timeout=timeout or self._settings.timeout,
                allow_redirects=False,
                # given with each call: a session's own setting would lose against the environment's REQUESTS_CA_BUNDLE
                verify=self._settings.ca_file or True,
                stream=True,
            ) as response:
                text = response.raw.read(MAX_RESPONSE, decode_content=True)
        except (requests.RequestException, OSError, ValueError) as error:
            raise ServerError(f"{url}: {_cause(error)}") from error
        if last:
            # a server that closes it need not announce that: the next request would go into a connection that ends
            self._session.close()
        return _parse(url, response.status_code, text)

    def post_with_retries(
        self, path: str, body: Mapping[str, Any], patience: float, given_up: threading.Event | None = None
    ) -> Mapping[str, Any]:
        """Like :meth:`post`, retried for ``patience`` seconds while the server cannot take the request.

        :param given_up: when set, the wait ends and the last failure is raised.
        """
        abandoned = given_up or threading.Event()
        deadline = time.monotonic() + patience
        for wait in waits():
            try:
                return self.post(path, body)
            except RefusedError:
                raise
            except ServerError as error:
                left = deadline - time.monotonic()
                if left <= 0 or abandoned.is_set():
                    raise
                LOG.warning("%s; trying again in %.1f s", error, min(wait, left))
                abandoned.wait(min(wait, left))
        raise AssertionError("waits() has no end")


def waits(first: float = FIRST_WAIT, longest: float = MAX_WAIT) -> Iterator[float]:
    """Yield seconds to wait between retries: doubling up to ``longest``, with jitter so that a fleet spreads out."""
    wait = first
    while True:
        yield wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        wait = min(wait * 2, longest)


def refusal(message: str, reason: str) -> RefusedError:
    """Return the error for a refusal, with the server's own word as its reason."""
    error = RefusedError(message)
    error.reason = reason or RefusedError.reason
    return error


def _parse(url: str, status: int, text: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        value = None
    if status in TRY_AGAIN or 300 <= status < 400:
        raise ServerError(f"{url}: response {status}{_detail(value)}")
    if 400 <= status < 500 and isinstance(value, dict) and value.get("reason"):
        # without the server's own reason it may be a proxy's page, and a run must not end because of that
        raise refusal(f"{url}: refused with {status}{_detail(value)}", clean_line(str(value["reason"])))
    if not 200 <= status < 300 or not isinstance(value, dict):
        raise ServerError(f"{url}: unexpected response {status} (not a JSON object); is a proxy in between?")
    return value


def _detail(value: Any) -> str:
    message = value.get("error") if isinstance(value, dict) else None
    return f": {clean_line(message)[:300]}" if isinstance(message, str) else ""


def _cause(error: BaseException) -> str:
    text = str(error)
    for word, meaning in (
        ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted here; set server.ca_file"),
        ("Name or service not known", "the host name does not resolve"),
        ("Temporary failure in name resolution", "the host name does not resolve at the moment"),
        ("Connection refused", "connection refused; is the server running?"),
        ("timed out", "no response in time"),
    ):
        if word in text:
            return meaning
    return clean_line(text)[:300]
