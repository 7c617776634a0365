"""The commands' way to the HTTP API v1: from any machine, with a bearer token out of a file."""

from __future__ import annotations

import argparse
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import requests

from refstack_worker.contract.payload import check_callback
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

T = TypeVar("T")

LOG = logging.getLogger(__name__)

URL = "REFSTACK_URL"
TOKEN_FILE = "REFSTACK_TOKEN_FILE"  # noqa: S105 - the name of a variable that names a file
CA_FILE = "REFSTACK_CA_FILE"
TIMEOUT = (10.0, 60.0)
"""Seconds for a connect, and between two pieces of an answer."""
PIECE = 1024 * 1024
MAX_WAIT = 60
"""Seconds that the server may make a command wait at a time."""
PAUSES = (0.2, 1.0, 2.0, 5.0)
"""Seconds before a question is asked again that the server did not answer."""


@dataclass(frozen=True)
class Access:
    """Where the server is and what proves who asks."""

    url: str
    token: str = field(repr=False)
    ca_file: str = ""
    """PEM file of the certificate authorities to trust; empty: the usual ones."""


class Api:
    """The calls of the HTTP API v1; close it after use."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session = requests.Session()
        # as an auth object, so that no .netrc takes its place
        self._session.auth = _Bearer(access.token)
        self._session.headers["Accept"] = "application/json"
        # given with each call: a session's own setting would lose against the environment's REQUESTS_CA_BUNDLE
        self._verify = access.ca_file or None

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON at a path; asked again a few times while the server does not answer.

        :raises RefstackError: of the kind that the answer is about.
        """
        return _patiently(lambda: self._json("GET", path, params=query or {}))

    def post(self, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Any:
        """Return the JSON answer to a JSON body.

        :param key: idempotency key; with one the call is safe to repeat, and is repeated.
        """
        headers = {"Idempotency-Key": key} if key else {}

        def call() -> Any:
            return self._json("POST", path, json=body or {}, headers=headers)

        return _patiently(call, is_repeatable=bool(key))

    def save(self, path: str, out: BinaryIO) -> int:
        """Write what is at a path into a file and return its size."""
        size = 0
        with self._answer("GET", path, stream=True) as answer:
            _check(answer)
            try:
                for piece in answer.iter_content(PIECE):
                    size += out.write(piece)
            except requests.RequestException as error:
                raise ServerError(f"{self._access.url}{path}: broke off after {size} bytes: {error}") from error
        return size

    def _json(self, method: str, path: str, **more: Any) -> Any:
        with self._answer(method, path, **more) as answer:
            _check(answer)
            try:
                return answer.json()
            except ValueError:
                raise ServerError(
                    f"{self._access.url}: answers {answer.headers.get('Content-Type')}, not JSON"
                ) from None

    @contextmanager
    def _answer(self, method: str, path: str, **more: Any) -> Iterator[Any]:
        try:
            # a redirect would carry the token to wherever it points
            answer = self._session.request(
                method, self._access.url + path, timeout=TIMEOUT, allow_redirects=False, verify=self._verify, **more
            )
        except requests.RequestException as error:
            raise _Unreachable(f"{self._access.url}: cannot be reached: {_cause(error)}") from error
        with answer:
            yield answer


class _Unreachable(ServerError):
    """No answer came: asking again may help."""


class _TooMany(RefusedError):
    """The server wants to be asked later."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the server is."""
    parser.add_argument("--url", default=os.environ.get(URL, ""), help=f"of the RefStack server ({URL})")
    parser.add_argument(
        "--token-file",
        type=Path,
        default=Path(os.environ[TOKEN_FILE]) if os.environ.get(TOKEN_FILE) else None,
        metavar="FILE",
        help=f"holds the API token ({TOKEN_FILE})",
    )
    parser.add_argument(
        "--ca-file", default=os.environ.get(CA_FILE, ""), metavar="FILE", help=f"authorities to trust ({CA_FILE})"
    )


def access_of(options: argparse.Namespace) -> Access:
    """Return what the options say. :raises ConfigError: something is missing or unusable."""
    if not options.url:
        raise ConfigError(f"which server? give --url or set {URL} (as https://refstack.example)")
    if options.token_file is None:
        raise ConfigError(f"which token? give --token-file or set {TOKEN_FILE}; the server's operator makes tokens")
    try:
        url = check_callback(options.url)
    except PayloadError as error:
        raise ConfigError(f"--url: {str(error).removeprefix('payload: callback: ')}") from None
    return Access(url, _token(options.token_file), options.ca_file)


def _token(path: Path) -> str:
    try:
        text = path.read_text("ascii").strip()
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; it should hold an API token") from error
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable() or " " in text:
        raise ConfigError(f"{path}: holds no API token (one line of text)")
    if text and mode & (stat.S_IRGRP | stat.S_IROTH):
        LOG.warning("%s: others on this machine can read this token; run 'chmod 600 %s'", path, path)
    return text


def _patiently(call: Callable[[], T], is_repeatable: bool = True) -> T:
    for pause in PAUSES:
        try:
            return call()
        except _Unreachable:
            if not is_repeatable:
                raise
            time.sleep(pause)
        except _TooMany as error:
            time.sleep(error.seconds)
    return call()


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
        return f"the server answers {answer.status_code} {answer.reason} to {answer.url}", ""


def _cause(error: BaseException) -> str:
    """Return the plainest sentence in an error of requests, which wraps several layers."""
    inner = getattr(error.args[0], "reason", error) if error.args else error
    return str(inner).rpartition(": ")[2] or type(error).__name__
