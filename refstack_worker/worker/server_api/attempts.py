"""Everything that a worker says to a RefStack server over HTTP (``docs/protocol.md``).

No redirect is ever followed, no answer is trusted to be JSON, and what fails for a while is tried again with back-off;
what the server refuses is a :class:`~refstack_worker.errors.RefusedError` with the server's word for it.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.auth import AuthBase

from refstack_worker.config.worker import ServerLinkSettings
from refstack_worker.contract import attempt_token as proofs
from refstack_worker.contract.payload import Payload
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Progress, Report, clean_line
from refstack_worker.errors import RefusedError, ServerError

LOG = logging.getLogger(__name__)

MAX_ANSWER = 256 * 1024
"""Bytes of an answer that are read; real ones have a hundred."""
FIRST_WAIT = 0.5
LAST_WAIT = 30.0
"""Seconds between tries: the first, and the longest."""
HEARTBEAT_TIMEOUT = 5.0
"""Seconds for a heartbeat: a late one is worth nothing, the next one is due."""
KEPT_SECONDS = 5.0
"""A connection on which nothing will be said for longer is closed: a server of a large fleet would hold thousands."""
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class ClaimedAttempt:
    """An attempt that this worker holds, or is about to claim."""

    payload: Payload
    envelope: bytes = field(repr=False)
    """The payload, sealed, as it came."""
    claim: str = field(repr=False)
    """Random id of this grab."""
    worker: str
    """Name of the node."""
    tempest_version: str

    @property
    def run(self) -> str:
        """``<test id>:<attempt>``."""
        return f"{self.payload.test_id}:{self.payload.attempt}"

    @property
    def token(self) -> str:
        """The bearer token that proves that this worker holds the attempt."""
        return proofs.join(self.payload.secret, self.claim)


@dataclass(frozen=True)
class Orders:
    """What the server answers to a heartbeat."""

    order: str
    """``go``, ``cancel`` or ``stop``."""
    reason: str = ""
    heartbeat_seconds: float = 2.0


class _Bearer(AuthBase):
    """The proof of an attempt; as ``auth`` so that no ``.netrc`` of the machine overrides it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Http:
    """Calls to one server. Each thread has its own."""

    def __init__(self, base: str, settings: ServerLinkSettings, token: str = "") -> None:  # nosec B107 - empty: none
        self._base = base.rstrip("/")
        self._settings = settings
        self._auth = _Bearer(token)
        self._session = requests.Session()

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def post(
        self, path: str, body: Mapping[str, Any] | bytes, timeout: float = 0, last: bool = False
    ) -> Mapping[str, Any]:
        """Say something once and return the answer.

        :param last: nothing follows for a while: the connection is closed.
        :raises RefusedError: the server understood and says no; ``reason`` is its word for why.
        :raises ServerError: it cannot be reached, fails, or answers what is no answer; to be tried again.
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
            ) as answer:
                text = answer.raw.read(MAX_ANSWER, decode_content=True)
        except (requests.RequestException, OSError, ValueError) as error:
            raise ServerError(f"{url}: {_cause(error)}") from error
        if last:
            # a server that closes it need not say so: the next request would be sent into a connection that ends
            self._session.close()
        return _answer(url, answer.status_code, text)

    def patiently(
        self, path: str, body: Mapping[str, Any], patience: float, given_up: threading.Event | None = None
    ) -> Mapping[str, Any]:
        """Say something, again and again for ``patience`` seconds while the server cannot take it; see :meth:`post`.

        :param given_up: when set, the wait ends and the last failure is raised.
        """
        quiet = given_up or threading.Event()
        deadline = time.monotonic() + patience
        for wait in waits():
            try:
                return self.post(path, body)
            except RefusedError:
                raise
            except ServerError as error:
                left = deadline - time.monotonic()
                if left <= 0 or quiet.is_set():
                    raise
                LOG.warning("%s; trying again in %.1f s", error, min(wait, left))
                quiet.wait(min(wait, left))
        raise AssertionError("waits() has no end")


def waits(first: float = FIRST_WAIT, last: float = LAST_WAIT) -> Iterator[float]:
    """Yield seconds to wait between tries: doubling up to ``last``, each with jitter so that a fleet spreads."""
    wait = first
    while True:
        yield wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        wait = min(wait * 2, last)


class Reporter:
    """One attempt's word to its server."""

    def __init__(self, held: ClaimedAttempt, settings: ServerLinkSettings) -> None:
        self.held = held
        payload = held.payload
        self._settings = settings
        self._http = Http(payload.callback, settings, held.token)
        self._attempt = f"/worker/v1/runs/{payload.test_id}/attempts/{payload.attempt}"
        self._pause = 0.0
        """Seconds to the next heartbeat."""

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def claim(self, given_up: threading.Event) -> float:
        """Take the attempt. :returns: seconds between heartbeats.

        :raises RefusedError: it is somebody else's, or over.
        :raises ServerError: the server could not be asked.
        """
        body = {**self._me, "tempest_version": self.held.tempest_version}
        answer = self._http.patiently(f"{self._attempt}/claim", body, self._settings.patience, given_up)
        self._pause = _seconds(answer)
        return self._pause

    def heartbeat(self, state: RunState, progress: Progress) -> Orders:
        """Say that the attempt is alive and how far it is.

        :raises RefusedError: see :meth:`Http.post`; the attempt is no longer this worker's.
        :raises ServerError: not heard.
        """
        body = {**self._me, "state": state.value, "progress": progress.to_json()}
        is_last = self._pause > KEPT_SECONDS
        answer = self._http.post(f"{self._attempt}/heartbeat", body, HEARTBEAT_TIMEOUT, is_last)
        order = answer.get("order")
        if order not in ("go", "cancel", "stop"):
            raise ServerError(f"heartbeat: {str(order)[:40]!r} is no order")
        self._pause = _seconds(answer)
        return Orders(str(order), str(answer.get("reason", "")), self._pause)

    def report(self, report: Report, patience: float | None = None) -> None:
        """Tell a state, a message, or both (``update-test-status``).

        :raises RefusedError: the attempt is superseded or over.
        :raises ServerError: not heard within ``patience`` seconds.
        """
        body = {
            **report.to_json(),
            "message": clean_line(report.message),
            "payload": self.held.envelope.decode("ascii"),
            "test_id": self.held.payload.test_id,
            "attempt": self.held.payload.attempt,
            "worker": self.held.worker,
        }
        limit = self._patience(patience)
        self._http.patiently("/update-test-status/", body, limit)

    def release(self, reason: str, patience: float | None = None) -> None:
        """Give the attempt back; the server makes the next one at once. Raises as :meth:`report` does."""
        body = {**self._me, "reason": clean_line(reason)}
        self._http.patiently(f"{self._attempt}/release", body, self._patience(patience))

    def _patience(self, asked: float | None) -> float:
        return self._settings.patience if asked is None else min(asked, self._settings.patience)

    @property
    def _me(self) -> dict[str, Any]:
        return {"claim": self.held.claim, "worker": self.held.worker}


def refusal(message: str, word: str) -> RefusedError:
    """Return the error for a "no" of the server, with the server's own word as its reason."""
    error = RefusedError(message)
    error.reason = word or RefusedError.reason
    return error


def _answer(url: str, status: int, text: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        value = None
    if status in TRY_AGAIN or 300 <= status < 400:
        raise ServerError(f"{url}: answered {status}{_said(value)}")
    if 400 <= status < 500 and isinstance(value, dict) and value.get("reason"):
        # without the server's own word it may be a proxy's page, and a run must not end for that
        raise refusal(f"{url}: refused with {status}{_said(value)}", clean_line(str(value["reason"])))
    if not 200 <= status < 300 or not isinstance(value, dict):
        raise ServerError(f"{url}: answered {status} with what is no JSON object; is a proxy in the way?")
    return value


def _said(value: Any) -> str:
    said = value.get("error") if isinstance(value, dict) else None
    return f": {clean_line(said)[:300]}" if isinstance(said, str) else ""


def _cause(error: BaseException) -> str:
    text = str(error)
    for word, meaning in (
        ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted here; set server.ca_file"),
        ("Name or service not known", "its name does not resolve"),
        ("Temporary failure in name resolution", "its name does not resolve now"),
        ("Connection refused", "refuses connections; is it running?"),
        ("timed out", "does not answer in time"),
    ):
        if word in text:
            return meaning
    return clean_line(text)[:300]


def _seconds(answer: Mapping[str, Any]) -> float:
    value = answer.get("heartbeat_seconds")
    usable = isinstance(value, (int, float)) and not isinstance(value, bool)
    return min(max(float(value), 0.05), 600.0) if usable and value is not None else 2.0
