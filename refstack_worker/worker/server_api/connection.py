"""HTTP calls to a RefStack server.

Redirects are never followed, and a response is not assumed to be JSON. Failures that may pass are retried with
back-off; a refusal is a :class:`~refstack_worker.errors.RefusedError` with the server's reason.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from typing import Any

import requests

from refstack_worker.config.worker import ServerLinkSettings
from refstack_worker.contract.messages import clean_line
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.http.retry import retrying
from refstack_worker.http.session import UNTRUSTED, HttpSession, cause, read_body

LOG = logging.getLogger(__name__)

MAX_RESPONSE = 256 * 1024
"""Bytes of a response that are read; real ones have about a hundred."""
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class ServerConnection:
    """Calls to one server. Each thread needs its own."""

    def __init__(self, base: str, settings: ServerLinkSettings, token: str = "") -> None:  # nosec B107 - empty: none
        self._base = base.rstrip("/")
        self._settings = settings
        self._session = HttpSession(token, settings.ca_file)

    def close(self) -> None:
        """Close the connections to the server."""
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
        seconds = timeout or self._settings.timeout
        try:
            with self._session.response("POST", url, seconds, data=data, headers=headers) as response:
                text = read_body(response, MAX_RESPONSE, seconds)
        except (requests.RequestException, OSError, ValueError) as error:
            why = cause(error)
            todo = "; set server.ca_file to its certificate authority" if why == UNTRUSTED else ""
            raise ServerError(f"{url}: {why}{todo}") from error
        if last:
            # a server that closes it need not announce that: the next request would go into a connection that ends
            self._session.disconnect()
        return _parse(url, response.status_code, text)

    def post_with_retries(
        self, path: str, body: Mapping[str, Any], patience: float, given_up: threading.Event | None = None
    ) -> Mapping[str, Any]:
        """Like :meth:`post`, retried for ``patience`` seconds while the server cannot take the request.

        :param given_up: when set, the wait ends and the last failure is raised.
        """
        retry = retrying(ServerError, seconds=patience, unless=RefusedError, log=LOG, given_up=given_up)
        response: Mapping[str, Any] = retry(self.post, path, body)
        return response


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
