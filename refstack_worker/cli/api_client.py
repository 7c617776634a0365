"""The HTTP API v1 as the commands call it, from any machine, with a bearer token from a file."""

from __future__ import annotations

import argparse
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import requests
import tenacity

from refstack_worker.contract.payload import check_callback
from refstack_worker.contract.text_files import decode_text, read_limited
from refstack_worker.errors import (
    ConfigError,
    NotFoundError,
    PayloadError,
    RefstackError,
    RefusedError,
    ServerError,
    StateError,
    UsageError,
)
from refstack_worker.http.session import HttpSession, cause

LOG = logging.getLogger(__name__)

URL = "REFSTACK_URL"
TOKEN_FILE = "REFSTACK_TOKEN_FILE"  # noqa: S105 - the name of a variable that names a file
CA_FILE = "REFSTACK_CA_FILE"
TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two pieces of a response."""
PIECE = 1024 * 1024
MAX_WAIT = 60
"""Longest pause in seconds that a server can ask for with Retry-After."""
PAUSES = (0.2, 1.0, 2.0, 5.0)
"""Seconds before each retry of a request that got no response."""


@dataclass(frozen=True)
class Access:
    """The server and the token of the caller."""

    url: str
    token: str = field(repr=False)
    ca_file: str = ""
    """PEM file of the certificate authorities to trust; empty: the system's."""


class Api:
    """The calls of the HTTP API v1; close it after use."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session = HttpSession(access.token, access.ca_file)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON at a path; retried a few times while the server does not respond.

        :raises RefstackError: the class says what kind of refusal or failure it was.
        """
        return _retrying(is_repeatable=True)(self._json, "GET", path, params=query or {})

    def post(self, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Any:
        """Return the JSON answer to a JSON body.

        :param key: idempotency key; with one the call is safe to repeat, and is repeated.
        """
        headers = {"Idempotency-Key": key} if key else {}
        return _retrying(is_repeatable=bool(key))(self._json, "POST", path, json=body or {}, headers=headers)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON answer to a JSON body that takes the place of what is there."""
        return _retrying(is_repeatable=True)(self._json, "PUT", path, json=body)

    def delete(self, path: str) -> None:
        """Remove what is at a path."""

        def call() -> None:
            with self._answer("DELETE", path) as answer:
                _check(answer)

        _retrying(is_repeatable=True)(call)

    def save(self, path: str, out: BinaryIO) -> int:
        """Write what is at a path into a file and return its size."""
        size = 0
        with self._answer("GET", path) as answer:
            _check(answer)
            try:
                for piece in answer.iter_content(PIECE):
                    size += out.write(piece)
            except requests.RequestException as error:
                raise ServerError(
                    f"{self._access.url}{path}: the connection broke after {size} bytes: {error}"
                ) from error
        return size

    def _json(self, method: str, path: str, **more: Any) -> Any:
        with self._answer(method, path, **more) as answer:
            _check(answer)
            try:
                return answer.json()
            except ValueError:
                raise ServerError(
                    f"{self._access.url}: unexpected response (not JSON); is a proxy in between?"
                ) from None

    @contextmanager
    def _answer(self, method: str, path: str, **more: Any) -> Iterator[Any]:
        headers = {"Accept": "application/json", **more.pop("headers", {})}
        with ExitStack() as stack:
            try:
                answer = stack.enter_context(
                    self._session.response(method, self._access.url + path, TIMEOUT, headers=headers, **more)
                )
            except requests.RequestException as error:
                raise _Unreachable(f"{self._access.url}: cannot be reached: {cause(error)}") from error
            yield answer


class _Unreachable(ServerError):
    """No response came; trying again may help."""


class _TooMany(RefusedError):
    """The rate limit is reached; the server says when to try again."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the server and the token."""
    parser.add_argument("--url", default=os.environ.get(URL, ""), help=f"URL of the RefStack server ({URL})")
    parser.add_argument(
        "--token-file",
        type=Path,
        default=Path(os.environ[TOKEN_FILE]) if os.environ.get(TOKEN_FILE) else None,
        metavar="FILE",
        help=f"file with the API token ({TOKEN_FILE})",
    )
    parser.add_argument(
        "--ca-file",
        default=os.environ.get(CA_FILE, ""),
        metavar="FILE",
        help=f"CA certificates to trust ({CA_FILE})",
    )


def access_of(options: argparse.Namespace) -> Access:
    """Return the server and token from the options. :raises ConfigError: one is missing or unusable."""
    if not options.url:
        raise ConfigError(f"No server: use --url or set {URL}, e.g. https://refstack.example")
    if options.token_file is None:
        raise ConfigError(f"No token: use --token-file or set {TOKEN_FILE}. Ask your RefStack operator for a token.")
    try:
        url = check_callback(options.url)
    except PayloadError as error:
        raise ConfigError(f"--url: {str(error).removeprefix('payload: callback: ')}") from None
    # often the address of the API is copied, to which each call adds this
    return Access(url.removesuffix("/v1"), _token(options.token_file), options.ca_file)


def _token(path: Path) -> str:
    try:
        text = decode_text(read_limited(path)).strip()
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; this file should contain an API token") from error
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(f"{path}: does not contain an API token (one line of text)")
    if text and mode & (stat.S_IRGRP | stat.S_IROTH):
        LOG.warning("%s: others on this machine can read this token; run 'chmod 600 %s'", path, path)
    return text


def _retrying(is_repeatable: bool) -> tenacity.Retrying:
    """Return a caller that tries again when asked to wait, or when no response came and repeating does no harm."""
    kinds = (_TooMany, _Unreachable) if is_repeatable else _TooMany
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(kinds),
        stop=tenacity.stop_after_attempt(len(PAUSES) + 1),
        wait=_pause,
        reraise=True,
    )


def _pause(state: Any) -> float:
    error = state.outcome.exception()
    return error.seconds if isinstance(error, _TooMany) else PAUSES[min(state.attempt_number, len(PAUSES)) - 1]


def _check(answer: Any) -> None:
    if answer.status_code < 300:
        return
    detail, reason = _problem(answer)
    if answer.status_code == 429:
        raise _TooMany(detail, _retry_after(answer))
    kinds: dict[int, type[RefstackError]] = {
        400: UsageError,
        401: RefusedError,
        403: RefusedError,
        404: NotFoundError,
        409: StateError,
        413: UsageError,
        422: UsageError,
    }
    error = kinds.get(answer.status_code, ServerError)(detail)
    if reason:
        error.reason = reason
    raise error


def _retry_after(answer: Any) -> float:
    seconds = str(answer.headers.get("Retry-After", ""))
    return float(min(int(seconds), MAX_WAIT)) if seconds.isdigit() else PAUSES[1]


def _problem(answer: Any) -> tuple[str, str]:
    try:
        problem = answer.json()
        return str(problem.get("detail") or problem.get("error") or problem["title"]), str(problem.get("reason") or "")
    except (ValueError, AttributeError, KeyError):
        return f"unexpected response {answer.status_code} {answer.reason} from {answer.url}", ""
