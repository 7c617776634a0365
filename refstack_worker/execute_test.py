#!/usr/bin/env python3
"""Run one official interoperability test: fetch, configure, run Tempest, post the result.

This file stands alone. It may import the standard library and ``requests`` and nothing else, so that it can be copied
to any machine with Python 3.9 or newer. Its sections stand in the order in which a run passes them. The contract with
the server and with a worker (arguments, files, events, exit codes) is ``docs/protocol.md``; for people it is told in
``docs/execute_test.md``.
"""

from __future__ import annotations

import argparse
import base64
import configparser
import contextlib
import ctypes
import difflib
import hashlib
import ipaddress
import json
import logging
import os
import re
import secrets
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import requests
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

LOG = logging.getLogger("execute_test")

Conf = dict[str, dict[str, Any]]
"""Tempest's configuration: section → option → string, number, boolean or list of those."""

# --- how a run may end ------------------------------------------------------------------------------------------------


class Failure(Exception):
    """A run that cannot go on; the class says with which exit code, the message what to do."""

    exit_code = 1
    reason = "tests-failed"


class BadInput(Failure):
    """Arguments, configuration or test cases that make no sense."""

    exit_code = 2
    reason = "bad-input"


class CloudFailure(Failure):
    """The cloud cannot be reached, refuses the credentials, or lacks what the tests need."""

    exit_code = 3
    reason = "cloud"


class TempestFailure(Failure):
    """Tempest did not start, ran no test, or was killed."""

    exit_code = 4
    reason = "tempest"


class MachineFailure(Failure):
    """The machine itself gave up, as with a full disk: not the vendor's fault and not Tempest's."""

    exit_code = 4
    reason = "machine"


class NotPosted(Failure):
    """The result could not be delivered; it is still in the work folder."""

    exit_code = 5
    reason = "not-posted"


class Refused(NotPosted):
    """The server understood and will never take this result (superseded, ended, too large)."""

    reason = "refused"


class ServerFailure(Failure):
    """The RefStack server cannot be reached or refuses before the tests."""

    exit_code = 6
    reason = "server"


class Stopped(Failure):
    """A signal or the time limit ended the run."""

    exit_code = 7
    reason = "stopped"


# --- arguments --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What the command line asked for, checked."""

    callback: str
    """Base URL of the RefStack server; empty when nobody is to be called."""
    test_id: int
    attempt: int
    """0 when the run is not one of a queue."""
    token: str
    """Proof of the attempt; empty for a server that wants none."""
    conf_json: Conf
    tempest_home: Path | None
    testcases: tuple[str, ...] | None
    concurrency: int
    """0: as many processes as Tempest chooses."""
    timeout: float
    """Seconds for everything up to the end of the tests; 0 is without limit."""
    prefix: str
    """What the run's resources in the cloud are named by; empty leaves Tempest's own."""
    ca_file: str
    workdir: Path
    json_progress: bool
    keep: bool
    from_env: bool
    discover: str
    cleanup_only: bool
    post_only: Path | None
    patience: float
    """Seconds to go on asking a server that fails."""
    verbosity: int


def parse(argv: Sequence[str]) -> Settings:
    """Read the command line.

    :raises BadInput: something in it cannot be.
    """
    given = _parser().parse_args([_dashes(word) for word in argv])
    callback, test_id = _callback(given)
    if given.post_only and not callback:
        raise BadInput("--post-only needs --callback SERVER TEST_ID: where the result goes")
    if given.cleanup_only and not given.resource_prefix:
        raise BadInput("--cleanup-only needs --resource-prefix: what the leftovers are known by")
    if given.resource_prefix and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{3,63}", given.resource_prefix):
        raise BadInput("--resource-prefix: 4 to 64 letters, digits, '.', '_' or '-', the first a letter or digit")
    if not given.post_only and not given.tempest_home:
        raise BadInput("--tempest-home DIR is missing: a virtualenv or checkout with Tempest in it")
    return Settings(
        callback=callback,
        test_id=test_id,
        attempt=given.attempt,
        token=_read_token(given.token_file),
        conf_json=check_conf(_json_argument(given.conf_json, "--conf-json"), "--conf-json"),
        tempest_home=given.tempest_home,
        testcases=_testcases_argument(given.testcases),
        concurrency=given.concurrency,
        timeout=given.timeout,
        prefix=given.resource_prefix,
        ca_file=given.ca_file,
        workdir=_workdir(given, test_id),
        json_progress=given.progress == "json",
        keep=given.keep,
        from_env=given.env,
        discover=given.discover,
        cleanup_only=given.cleanup_only,
        post_only=given.post_only,
        patience=given.patience,
        verbosity=(1 if given.verbose or os.environ.get("DEBUG") else 0) - (1 if given.silent else 0),
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise BadInput(f"{message}; see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="execute_test", description=__doc__.partition("\n")[0], allow_abbrev=False,
        epilog="Options may be written with dashes or underscores. Exit codes: 0 passed, 1 tests failed, 2 bad input, "
        "3 cloud unreachable or refusing, 4 Tempest broke, 5 result not posted, 6 RefStack server, 7 stopped.",
    )  # fmt: skip
    add = parser.add_argument
    add("-callback", "--callback", nargs=2, metavar=("SERVER", "TEST_ID"), help="RefStack server and id of the test")
    add("--url", metavar="HOST:PORT", help="RefStack server, the older way; with --test-id")
    add("--test-id", type=_number(1, 2**63 - 1), default=0, metavar="N", help="id of the test, with --url")
    add("--attempt", type=_number(1, 2**31), default=0, metavar="K", help="attempt of a queued run")
    add("--token-file", metavar="FILE", help="file that holds the proof of the attempt")
    add("--conf-json", default="{}", metavar="JSON", help="options for tempest.conf: JSON, @FILE, or - for stdin")
    add("--tempest-home", "--tempest-dir", type=Path, metavar="DIR", help="virtualenv or checkout with Tempest")
    add("--testcases", nargs="+", action="extend", metavar="TEST",
        help="names, prefixes, id-UUIDs, regex:EXPRESSION; or @FILE")  # fmt: skip
    add("--concurrency", type=_number(0, 256), default=0, metavar="N", help="test processes (0: one for each core)")
    add("--timeout", type=_number(0, 10**7), default=0, metavar="S", help="seconds until the run is stopped (0: never)")
    add("--resource-prefix", default="", metavar="P", help="name what the run makes in the cloud P-…")
    add("--ca-file", default="", metavar="FILE", help="certificates to trust for the RefStack server")
    add("--workdir", type=Path, metavar="DIR", help="folder for this run's files (default: a new one here)")
    add("--progress", choices=("text", "json"), default="text", help="how progress is told on stdout")
    add("--keep", action="store_true", help="leave tempest.conf and the workspace in the work folder")
    add("-e", "--env", action="store_true", help="take the cloud from OS_* variables and call no server")
    add("--discover", choices=("keystone", "tempestconf"), default="keystone", help="who finds what nobody gave")
    add("--post-only", type=Path, metavar="DIR", help="post the result an earlier call left in DIR")
    add("--cleanup-only", action="store_true", help="remove what carries --resource-prefix from the cloud")
    add("--patience", type=_number(0, 86400), default=300, metavar="S", help="seconds to retry a failing server (300)")
    add("-v", "--verbose", action="store_true", help="log more (so does DEBUG in the environment)")
    add("-s", "--silent", action="store_true", help="log errors alone")
    return parser


def _number(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return convert


def _dashes(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if re.match(r"-{1,2}[A-Za-z]", word) else word


def _callback(given: argparse.Namespace) -> tuple[str, int]:
    if given.callback and given.url:
        raise BadInput("--callback and --url: give one of them")
    if given.callback:
        try:
            test_id = _number(1, 2**63 - 1)(given.callback[1])
        except argparse.ArgumentTypeError as error:
            raise BadInput(f"--callback: TEST_ID {error}") from error
        return base_url(given.callback[0], "--callback"), test_id
    if given.url and not given.env:
        if not given.test_id:
            raise BadInput("--url needs --test-id N")
        return base_url(given.url, "--url"), given.test_id
    return "", given.test_id


def base_url(text: str, where: str) -> str:
    """Return a server's address without its last slash; ``http`` where no scheme is given, as it was in 2014."""
    address = text if "://" in text else f"http://{text}"
    try:
        parts = urllib.parse.urlsplit(address)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or "@" in address or "?" in address or "#" in address or re.search(r"[\s\x00-\x1f\\]", address):
        raise BadInput(f"{where}: {text[:200]!r} is not an http or https address of a server")
    return address.rstrip("/")


def _read_token(path: str | None) -> str:
    if not path:
        return ""
    token = _read_file(path, "--token-file").strip()
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{8,512}", token):
        raise BadInput(f"--token-file: {path} does not hold one token of 8 to 512 characters")
    return token


def _read_file(path: str, where: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{where}: {path} cannot be read: {error}") from error


def _json_argument(text: str, where: str) -> Any:
    source = "stdin" if text == "-" else where
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        source, text = text[1:], _read_file(text[1:], where)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        # the text itself may hold a password: say where, not what
        at = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput(f"{where}: {source} is not JSON{at}") from None


def _testcases_argument(given: Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if len(given) == 1 and given[0].startswith("@"):
        return check_testcases(_json_argument(given[0], "--testcases"), "--testcases")
    return check_testcases(list(given), "--testcases")


def _workdir(given: argparse.Namespace, test_id: int) -> Path:
    if given.post_only:
        return Path(given.post_only)
    if given.workdir:
        return Path(given.workdir).absolute()
    return Path.cwd() / f"execute_test-{test_id or 'local'}-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}"


# --- secrets: nothing that is printed or kept may hold one ------------------------------------------------------------

SECRET_OPTION = re.compile(r"pass(word|wd|phrase)?(_|$)|secret|token$|private_key|api_?key|credential$", re.IGNORECASE)
SHORT = 6
"""A secret of fewer characters is masked only where it stands as a word of its own: ``admin`` is part of much."""


class Mask:
    """Replaces known secrets, in every spelling that logs know, by asterisks."""

    def __init__(self) -> None:
        self._spellings: set[bytes] = set()
        self._pattern: re.Pattern[bytes] | None = None
        self._lock = threading.Lock()

    def add(self, secret: str) -> None:
        """Hide this from now on; an empty text and plain switches such as ``True`` are no secrets."""
        if not secret or secret.lower() in ("true", "false", "none") or (secret.isdigit() and len(secret) < 4):
            return
        quoted = urllib.parse.quote(secret, safe="")
        spellings = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quoted, urllib.parse.quote_plus(secret),
                     secret.replace("$", "$$"), secret.replace("&", "&amp;").replace("<", "&lt;"),
                     base64.b64encode(secret.encode()).decode()}  # fmt: skip
        with self._lock:
            self._spellings |= {each.encode() for each in spellings}
            longest_first = sorted(self._spellings, key=len, reverse=True)
            self._pattern = re.compile(b"|".join(_spelling(each) for each in longest_first))

    def add_conf(self, conf: Mapping[str, Mapping[str, Any]]) -> None:
        """Hide every value whose option is named like a secret."""
        for options in conf.values():
            for option, value in options.items():
                if SECRET_OPTION.search(option):
                    for item in value if isinstance(value, list) else [value]:
                        self.add(item if isinstance(item, str) else "")

    def text(self, text: str) -> str:
        """The text without the secrets."""
        if self._pattern is None:
            return text
        return self._pattern.sub(b"***", text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def same_length(self, data: bytes) -> bytes:
        """The bytes without the secrets, no byte longer or shorter."""
        return data if self._pattern is None else self._pattern.sub(lambda found: b"*" * len(found.group()), data)

    def open_end(self, data: bytes) -> int:
        """How many of the last bytes could be the beginning of a secret that goes on in the next piece."""
        longest = 0
        for secret in self._spellings:
            for length in range(min(len(secret) - 1, len(data)), longest, -1):
                if data.endswith(secret[:length]):
                    longest = length
                    break
        return longest


def _spelling(secret: bytes) -> bytes:
    if len(secret) < SHORT and secret.isalnum():
        return rb"(?<![A-Za-z0-9])" + re.escape(secret) + rb"(?![A-Za-z0-9])"
    return re.escape(secret)


MASK = Mask()


class _MaskingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return MASK.text(super().format(record))


class _LogFile(logging.FileHandler):
    """A log that a full disk silences; what it misses stands on stderr too, once, and without a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def open_log(settings: Settings) -> None:
    """Send the log to stderr and to ``execute_test.log`` in the work folder."""
    level = {1: logging.DEBUG, 0: logging.INFO}.get(settings.verbosity, logging.ERROR)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    with contextlib.suppress(OSError):
        handlers.append(_LogFile(settings.workdir / "execute_test.log", encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(_MaskingFormatter("%(asctime)s %(levelname)s %(message)s"))
        LOG.addHandler(handler)
    LOG.setLevel(level)
    LOG.propagate = False


# --- what is told on stdout -------------------------------------------------------------------------------------------


@dataclass
class Counts:
    """How many tests came to which end so far."""

    total: int = 0
    done: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass
class Voice:
    """Tells on stdout how the run goes: for a person, or one JSON object a line."""

    as_json: bool
    out: IO[str]

    def state(self, state: str, message: str = "") -> None:
        """A new state of the run: ``running`` or ``posting``."""
        self._say({"event": "state", "state": state, "message": message}, f"{state}: {message}")

    def message(self, text: str) -> None:
        """Something a vendor or an operator should know."""
        self._say({"event": "message", "text": text}, text)

    def progress(self, counts: Counts, seconds_left: float | None, test: str) -> None:
        """How far the tests are; ``test`` is the one that ended last."""
        left = None if seconds_left is None else round(seconds_left)
        event = {"event": "progress", "total": counts.total, "done": counts.done, "passed": counts.passed,
                 "failed": counts.failed, "skipped": counts.skipped, "seconds_left": left, "test": test}  # fmt: skip
        about = "" if left is None else f", about {left} s left"
        ends = f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"
        self._say(event, f"{counts.done}/{counts.total or '?'}: {ends}{about}: {test}")

    def end(self, exit_code: int, reason: str, message: str) -> None:
        """The last word."""
        event = {"event": "end", "exit_code": exit_code, "reason": reason, "message": message}
        self._say(event, f"{reason} (exit {exit_code}): {message}")

    def _say(self, event: Mapping[str, Any], text: str) -> None:
        masked = {key: MASK.text(value) if isinstance(value, str) else value for key, value in event.items()}
        line = json.dumps(masked) if self.as_json else MASK.text(text).encode("ascii", "backslashreplace").decode()
        # nobody listening any more is no reason to break off the tests
        with contextlib.suppress(BrokenPipeError):
            print(line, file=self.out, flush=True)


# --- HTTP -------------------------------------------------------------------------------------------------------------

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
LONGEST_PAUSE = 30.0
MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer that are read at most."""


class Unavailable(Exception):
    """A request that may work later: no connection, no sense in the answer, or the server's own failure."""


class Denied(Exception):
    """An answer that no repetition will change."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """What a server said, read to the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """The body as JSON.

        :raises Unavailable: it is something else, as the page of a proxy in between.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            kind = self.headers.get("Content-Type", "no type")
            raise Unavailable(f"{self.url} answers {self.status} with {kind} that is not JSON") from None


METADATA = tuple(ipaddress.ip_network(text) for text in (
    "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "64:ff9b::a9fe:0/112", "100.100.100.200/32",
    "168.63.129.16/32"))  # fmt: skip
"""Where a machine's own provider tells it secrets. No cloud under test is there."""


def is_metadata(address: str) -> bool:
    """Whether an IP address is one of a metadata service, also when it is written as IPv6."""
    found = ipaddress.ip_address(address.partition("%")[0])
    plain = getattr(found, "ipv4_mapped", None) or found
    return any(plain.version == network.version and plain in network for network in METADATA)


class _Checked:
    """A connection that says nothing to a metadata service, whatever its name resolved to this time."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # of urllib3's connection
        peer = self.sock.getpeername()[0]
        if is_metadata(peer):
            self.close()  # type: ignore[attr-defined]
            raise ValueError(f"{peer} is the address of a metadata service, which no run may ask")


class _CheckedHttp(_Checked, HTTPConnection):
    pass


class _CheckedHttps(_Checked, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _CheckedHttp


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedHttps


class _Adapter(requests.adapters.HTTPAdapter):
    """Makes connections that check whom they reached."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class Client:
    """Requests that follow no redirect, read no ``.netrc``, and tell a passing failure from a final one."""

    def __init__(self, verify: bool | str = True, headers: Mapping[str, str] | None = None) -> None:
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter())
        # without an authentication of its own requests would take one from ~/.netrc
        self._session.auth = lambda request: request
        self._session.headers.update({"User-Agent": "refstack-execute_test", **(headers or {})})
        self._verify = verify

    def ask(self, method: str, url: str, **options: Any) -> Answer:
        """Send one request.

        :raises Unavailable: worth another try.
        :raises Denied: the server says no.
        """
        where = url.partition("?")[0]
        try:
            answer = self._send(method, url, options)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise Unavailable(f"{where}: {_cause(error)}") from error
        except (requests.RequestException, OSError, ValueError) as error:
            raise Denied(0, f"{where}: {_cause(error)}") from error
        said = _sentence(answer)
        if answer.status >= 500 or answer.status in (408, 425, 429):
            raise Unavailable(f"{where} answers {answer.status}{said}")
        if answer.status >= 400:
            raise Denied(answer.status, f"{where} answers {answer.status}{said}")
        if 301 <= answer.status < 400:
            goal = answer.headers.get("Location", "?")
            raise Denied(answer.status, f"{where} redirects to {goal[:200]}, which is not followed: give that address")
        return answer

    def _send(self, method: str, url: str, options: Mapping[str, Any]) -> Answer:
        timeout = (CONNECT_SECONDS, READ_SECONDS)
        with self._session.request(
            method, url, timeout=timeout, allow_redirects=False, stream=True, verify=self._verify, **options
        ) as answer:
            body = bytearray()
            for piece in answer.iter_content(65536):
                body += piece
                if len(body) > MAX_ANSWER:
                    raise ValueError(f"an answer of more than {MAX_ANSWER} bytes")
        if self._session.headers.get("Connection") == "close":
            # a server that closes it need not say so: the next request would be sent into a connection that ends
            self._session.close()
        return Answer(answer.status_code, answer.headers, bytes(body), url.partition("?")[0])


def patiently(attempt: Callable[[], Any], seconds: float) -> Any:
    """Return what ``attempt`` returns; while it raises :class:`Unavailable`, try again with growing pauses.

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
            # scattered, so that a fleet does not come back all at once
            wait = min(left, pause * (0.75 + secrets.randbelow(500) / 1000))
            LOG.warning("%s; trying again in %.1f s", error, wait)
            time.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)


def _cause(error: BaseException) -> str:
    """The innermost reason in one line: what requests wraps several times over."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None)
        inner = inner if isinstance(inner, BaseException) else next(
            (each for each in error.args if isinstance(each, BaseException)), None)  # fmt: skip
        error = inner or error
    text = re.sub(r"<[^>]*object at 0x[0-9a-f]+>:? ?", "", str(error)) or type(error).__name__
    return " ".join(text.split())[:300]


def _sentence(answer: Answer) -> str:
    if answer.status < 400:
        return ""
    with contextlib.suppress(Unavailable):
        told = answer.json()
        told = told.get("error", told) if isinstance(told, dict) else told
        told = told.get("message", "") if isinstance(told, dict) else told
        return f": {' '.join(str(told).split())[:300]}"
    return ""


# --- the RefStack server ----------------------------------------------------------------------------------------------


class Server:
    """The calls that a tester makes to RefStack."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.callback
        self._settings = settings
        # between two calls lie the tests, for hours: a server of many testers would hold a connection for each
        headers = {"Connection": "close"}
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        self._client = Client(settings.ca_file or True, headers)

    def miniconf(self) -> Conf:
        """Options that the server knows for this run.

        :raises ServerFailure: it cannot be had.
        """
        return check_conf(self._get("get-miniconf"), "the server's mini-conf")

    def testcases(self) -> tuple[str, ...]:
        """Which tests the server wants.

        :raises ServerFailure: it cannot be had.
        """
        told = self._get("get-testcases")
        return check_testcases(told.get("testcases") if isinstance(told, dict) else None, "the server's test cases")

    def post(self, folder: Path) -> None:
        """Deliver the result that lies in ``folder``.

        :raises NotPosted: the server cannot be reached for as long as the patience lasts.
        :raises Refused: it will never take it.
        """
        question = {"test_id": str(self._settings.test_id)}
        if self._settings.attempt:
            question["attempt"] = str(self._settings.attempt)
        url = f"{self._base}/post-result?{urllib.parse.urlencode(question)}"
        try:
            patiently(lambda: self._post_once(url, folder), self._settings.patience)
        except Unavailable as error:
            raise NotPosted(f"result not posted: {error}; post it later with --post-only {folder}") from error
        except Denied as error:
            raise Refused(f"the server does not take the result: {error}; it is in {folder}") from error

    def _post_once(self, url: str, folder: Path) -> None:
        with Upload.of(folder) as upload:
            answer = self._client.ask("POST", url, data=upload, headers={"Content-Type": upload.content_type})
        if answer.status != 201:
            raise Unavailable(f"{answer.url} answers {answer.status} where 201 was due")
        # RefStack of 2014 said so in plain text; anything else comes from something in between
        if answer.body.strip().strip(b'"') != b"thank you" and not isinstance(answer.json(), dict):
            raise Unavailable(f"{answer.url} answers JSON that is no confirmation")

    def _get(self, call: str) -> Any:
        url = f"{self._base}/{call}?test_id={self._settings.test_id}"

        def once() -> Any:
            return self._client.ask("GET", url).json()

        try:
            return patiently(once, self._settings.patience)
        except Unavailable as error:
            raise ServerFailure(f"the RefStack server cannot be used: {error}") from error
        except Denied as error:
            raise ServerFailure(f"the RefStack server refuses: {error}") from error


class Upload:
    """A multipart body that is read from disk as it is sent: a stream may be larger than the memory."""

    def __init__(self, stream: IO[bytes], size: int, summary: bytes | None) -> None:
        mark = f"refstack-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={mark}"
        head = b""
        if summary is not None:
            head += _part_head(mark, 'name="summary"', "application/json") + summary + b"\r\n"
        head += _part_head(mark, 'name="file"; filename="subunit"', "application/octet-stream")
        self._head, self._stream, self._tail = head, stream, f"\r\n--{mark}--\r\n".encode()
        self._length = len(head) + size + len(self._tail)
        self._pieces = self._read()
        self._rest = b""

    @classmethod
    @contextlib.contextmanager
    def of(cls, folder: Path) -> Iterator[Upload]:
        """The upload of the result in ``folder``."""
        summary = folder / "summary.json"
        with open(folder / "subunit", "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            yield cls(stream, size, summary.read_bytes() if summary.is_file() else None)

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """The next piece, as a file gives it."""
        if not self._rest:
            self._rest = next(self._pieces, b"")
        size = len(self._rest) if size < 0 else size
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _read(self) -> Iterator[bytes]:
        yield self._head
        while piece := self._stream.read(1 << 18):
            yield piece
        yield self._tail


def _part_head(mark: str, disposition: str, kind: str) -> bytes:
    return f"--{mark}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()


# --- configuration ----------------------------------------------------------------------------------------------------

COMMON: Conf = {
    "auth": {"use_dynamic_credentials": True},
    "identity": {"auth_version": "v3"},
}
"""What holds for every cloud unless the server or the vendor says otherwise."""

RENAMED = {
    ("identity", "admin_username"): ("auth", "admin_username"),
    ("identity", "admin_password"): ("auth", "admin_password"),
    ("identity", "admin_tenant_name"): ("auth", "admin_project_name"),
    ("identity", "admin_project_name"): ("auth", "admin_project_name"),
    ("identity", "admin_domain_name"): ("auth", "admin_domain_name"),
    ("auth", "admin_tenant_name"): ("auth", "admin_project_name"),
    ("identity", "tenant_name"): ("identity", "project_name"),
    ("identity", "alt_tenant_name"): ("identity", "alt_project_name"),
    ("auth", "allow_tenant_isolation"): ("auth", "use_dynamic_credentials"),
    ("compute", "allow_tenant_isolation"): ("auth", "use_dynamic_credentials"),
}
"""Options that a server of 2014 sends, and where Tempest has them since."""

_OF_A_USER = ("username", "password", "project_name", "domain_name")
OF_USERS = tuple(f"{who}{what}" for who in ("", "alt_") for what in _OF_A_USER)
"""Options of ``[identity]`` that Tempest dropped: ordinary users, who go into an accounts file now."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,79}")


def check_conf(told: Any, where: str) -> Conf:
    """Return configuration that was read from outside, with its shape checked and older names replaced.

    :raises BadInput: it is not section → option → plain value of one line.
    """
    if not isinstance(told, dict):
        raise BadInput(f"{where}: not a JSON object of section → option → value")
    conf: Conf = {}
    for section, options in told.items():
        if not _NAME.fullmatch(section) or not isinstance(options, dict):
            raise BadInput(f"{where}: section {section[:80]!r}: not a name with an object of options")
        for option, value in options.items():
            if not _NAME.fullmatch(option) or not _plain(value):
                raise BadInput(f"{where}: {section}.{option[:80]}: not an option with a value of one line")
            into, name = RENAMED.get((section, option), (section, option))
            conf.setdefault(into, {}).setdefault(name, value)
    MASK.add_conf(conf)
    return conf


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(item, list) and _plain(item) for item in value)
    if isinstance(value, str):
        return not re.search(r"[\x00\n\r]", value)
    return value is None or isinstance(value, (bool, int, float))


def merge(*layers: Mapping[str, Mapping[str, Any]]) -> Conf:
    """Lay configurations over one another, the last one uppermost; ``None`` gives nothing."""
    merged: Conf = {}
    for layer in layers:
        for section, options in layer.items():
            known = {option: value for option, value in options.items() if value is not None}
            merged.setdefault(section, {}).update(known)
    return merged


def from_environment(environ: Mapping[str, str]) -> Conf:
    """Configuration out of the ``OS_*`` variables that OpenStack's own clients read.

    :raises BadInput: one that is needed is missing.
    """
    missing = [name for name in ("OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD") if not environ.get(name)]
    if missing:
        raise BadInput(f"--env: {', '.join(missing)} not set; source the cloud's openrc file first")
    get = environ.get
    domain = get("OS_USER_DOMAIN_NAME") or get("OS_PROJECT_DOMAIN_NAME") or get("OS_DOMAIN_NAME")
    identity = {
        "uri_v3": get("OS_AUTH_URL"),
        "region": get("OS_REGION_NAME"),
        "username": get("OS_USERNAME"),
        "password": get("OS_PASSWORD"),
        "project_name": get("OS_PROJECT_NAME") or get("OS_TENANT_NAME"),
        "domain_name": domain,
        "ca_certificates_file": get("OS_CACERT"),
        "disable_ssl_certificate_validation": True if (get("OS_INSECURE") or "").lower() in ("1", "true") else None,
    }
    conf = {"identity": {name: value for name, value in identity.items() if value is not None},
            "compute": {"image_ref": get("TEMPEST_IMAGE_REF") or "cirros"}}  # fmt: skip
    return check_conf(conf, "--env")


def write_conf(path: Path, conf: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``tempest.conf``, readable by its owner alone."""
    lines: list[str] = []
    for section in sorted(conf):
        lines.append(f"[{section}]")
        lines += [f"{option} = {_written(value)}" for option, value in sorted(conf[section].items())]
    with open_private(path) as file:
        file.write("\n".join(lines) + "\n")


def open_private(path: Path) -> IO[str]:
    """Open a new file that only its owner may read."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return ",".join(_written(item) for item in value)
    # oslo.config: $ begins a substitution, outer blanks and one pair of outer quotes are taken off
    text = str(value).replace("$", "$$")
    return f'"{text}"' if text != text.strip() or (text[:1] in "'\"" and text[:1] == text[-1:]) else text


# --- what the cloud itself tells --------------------------------------------------------------------------------------

SERVICES = {
    "nova": ("compute",),
    "glance": ("image",),
    "neutron": ("network",),
    "cinder": ("volumev3", "block-storage", "block-store", "volume", "volumev2"),
    "swift": ("object-store",),
}
"""Option of ``[service_available]`` to the catalogue's types."""
CLEANED_BY_TEMPEST = ("nova", "glance", "neutron", "cinder")
"""What ``tempest cleanup`` looks after; in a cloud that has none of these its start of two seconds buys nothing."""

CLOUD_PATIENCE = 5.0
MOST_HOSTS = 20
"""Hosts of a catalogue that are looked at; a cloud has a handful."""
OPERATOR_ROLES = ("member", "Member", "_member_", "swiftoperator")


@dataclass(frozen=True)
class User:
    """Somebody's credentials for the cloud."""

    name: str
    password: str
    project: str = ""
    user_domain: str = ""
    project_domain: str = ""


@dataclass(frozen=True)
class Token:
    """What Keystone gave for credentials."""

    value: str
    body: Mapping[str, Any]

    @property
    def roles(self) -> list[str]:
        """Names of the roles in the project."""
        return [str(role.get("name")) for role in self.body.get("roles", [])]

    @property
    def catalog(self) -> list[Mapping[str, Any]]:
        """The services of the cloud."""
        return [entry for entry in self.body.get("catalog", []) if isinstance(entry, dict)]


class Keystone:
    """Keystone v3 of the cloud under test."""

    def __init__(self, conf: Mapping[str, Mapping[str, Any]]) -> None:
        identity = conf.get("identity", {})
        self.url = v3_address(identity)
        blind = str(identity.get("disable_ssl_certificate_validation", "")).lower() == "true"
        self._client = Client(False if blind else identity.get("ca_certificates_file") or True)

    def ask(self, method: str, path: str, token: str = "", body: Any = None) -> Any:  # nosec B107 - empty: none
        """One call; ``path`` begins behind ``/v3``. Returns the decoded JSON, or ``None`` for an empty answer.

        :raises CloudFailure: Keystone cannot be reached, or fails again and again.
        :raises Denied: it says no.
        """
        answer = self.ask_url(method, self.url + path, token, body)
        try:
            return answer.json() if answer.body else None
        except Unavailable as error:
            raise CloudFailure(f"the cloud's Keystone: {error}; check identity.uri_v3") from error

    def ask_url(self, method: str, url: str, token: str, body: Any = None) -> Answer:
        """One call to any service of this cloud with a token."""
        headers = {"X-Auth-Token": token} if token else {}
        options = {"json": body} if body is not None else {}
        try:
            asked = patiently(lambda: self._client.ask(method, url, headers=headers, **options), CLOUD_PATIENCE)
        except Unavailable as error:
            raise CloudFailure(f"the cloud cannot be reached: {error}") from error
        assert isinstance(asked, Answer)  # noqa: S101 - for the type checker
        return asked

    def log_in(self, user: User) -> Token:
        """A token for the user's project; one without a project name gets the only one that there is.

        :raises CloudFailure: the credentials are refused.
        :raises BadInput: there are several projects to choose from.
        """
        domain = {"name": user.user_domain} if user.user_domain else {"id": "default"}
        identity = {"methods": ["password"],
                    "password": {"user": {"name": user.name, "password": user.password, "domain": domain}}}  # fmt: skip
        if user.project:
            within = user.project_domain or user.user_domain
            scope = {"project": {"name": user.project, "domain": {"name": within} if within else {"id": "default"}}}
            return self._token({"auth": {"identity": identity, "scope": scope}}, user)
        token = self._token({"auth": {"identity": identity}}, user)
        if token.body.get("project"):
            return token
        return self.scope(token, self._only_project(token, user), user)

    def scope(self, token: Token, project_id: str, user: User) -> Token:
        """A token of the same user for another project."""
        identity = {"methods": ["token"], "token": {"id": token.value}}
        return self._token({"auth": {"identity": identity, "scope": {"project": {"id": project_id}}}}, user)

    def _only_project(self, token: Token, user: User) -> str:
        found = (self.ask("GET", "/auth/projects", token.value) or {}).get("projects", [])
        named = [each for each in found if each.get("name") in ("admin", user.name)]
        chosen = found if len(found) == 1 else named
        if len(chosen) != 1:
            names = ", ".join(sorted(str(each.get("name")) for each in found)) or "none"
            raise BadInput(f"conf_json: which project is {user.name} to use? Name one of: {names[:500]}")
        return str(chosen[0]["id"])

    def _token(self, body: Any, user: User) -> Token:
        try:
            answer = self.ask_url("POST", f"{self.url}/auth/tokens", "", body)
            told = answer.json()
            return Token(answer.headers["X-Subject-Token"], told["token"])
        except Denied as error:
            if error.status == 401:
                scope = f" for the project {user.project}" if user.project else ""
                text = f"the cloud refuses the user {user.name}{scope}: check name, password, project and domain"
                raise CloudFailure(f"{text} ({error})") from error
            raise CloudFailure(f"the cloud's Keystone: {error}; check identity.uri_v3") from error
        except (KeyError, TypeError, Unavailable) as error:
            text = f"{self.url} does not answer as Keystone v3 does; check identity.uri_v3"
            raise CloudFailure(text) from error


def v3_address(identity: Mapping[str, Any]) -> str:
    """Address of Keystone's v3 API out of ``uri_v3`` or the older ``uri``.

    :raises BadInput: neither is given, or it is not an address.
    """
    told = str(identity.get("uri_v3") or identity.get("uri") or "")
    if not told:
        raise BadInput("conf_json: identity.uri_v3 is missing: the address of the cloud's Keystone")
    address = base_url(told, "identity.uri_v3")
    if re.search(r"/v2\.0$", address):
        address = address[: -len("/v2.0")]
    return address if address.endswith("/v3") else f"{address}/v3"


@dataclass(frozen=True)
class Discovery:
    """What was found out about the cloud."""

    conf: Conf
    """Options that may fill gaps."""
    cpid: str
    """The id RefStack knows a cloud by."""
    accounts: list[dict[str, Any]]
    """Ordinary users for Tempest's accounts file; empty when there is an administrator."""
    token: Token
    """Of the administrator or the first user."""
    missing: tuple[str, ...] = ()
    """Services that the catalogue does not have."""


def administrator(conf: Mapping[str, Mapping[str, Any]]) -> User | None:
    """The administrator that the configuration names, if it gives a password too."""
    auth = conf.get("auth", {})
    if not (auth.get("admin_username") and auth.get("admin_password")):
        return None
    both = str(auth.get("admin_domain_name") or "")
    return User(str(auth["admin_username"]), str(auth["admin_password"]), str(auth.get("admin_project_name") or ""),
                str(auth.get("admin_user_domain_name") or both),
                str(auth.get("admin_project_domain_name") or both))  # fmt: skip


def ordinary_users(conf: Mapping[str, Mapping[str, Any]]) -> list[User]:
    """The user and the second user that the configuration names with a password."""
    identity = conf.get("identity", {})
    users = []
    for who in ("", "alt_"):
        name, password = identity.get(f"{who}username"), identity.get(f"{who}password")
        if name and password:
            domain = str(identity.get(f"{who}domain_name") or identity.get("domain_name") or "")
            users.append(User(str(name), str(password), str(identity.get(f"{who}project_name") or ""), domain, domain))
    return users


def discover(conf: Mapping[str, Mapping[str, Any]], keystone: Keystone) -> Discovery:
    """Log in to the cloud and find out what nobody gave: region, projects, domains, services.

    :raises CloudFailure: the cloud cannot be reached or refuses.
    :raises BadInput: there is nobody to log in as.
    """
    admin = administrator(conf)
    users = [admin] if admin else ordinary_users(conf)
    if not users:
        raise BadInput("conf_json: no credentials: give auth.admin_username and auth.admin_password, "
                       "or identity.username and identity.password")  # fmt: skip
    tokens = [keystone.log_in(user) for user in users]
    check_catalog(tokens[0])
    role = str(conf.get("identity", {}).get("admin_role") or "admin")
    if not admin and role in tokens[0].roles:
        admin = users[0]
    found: Conf = {"identity": {"uri_v3": keystone.url}, "auth": {}}
    region = str(conf.get("identity", {}).get("region") or "") or _region(tokens[0], keystone.url)
    if region:
        found["identity"]["region"] = region
    services = {name: _offered(tokens[0], types, region) for name, types in SERVICES.items()}
    found["service_available"] = {**services, "horizon": False}
    if admin:
        found["auth"] = _administration(admin, tokens[0])
        found["object-storage"] = _operator_role(keystone, tokens[0])
    else:
        found["auth"] = {"use_dynamic_credentials": False}
    accounts = [] if admin else [_account(user, token) for user, token in zip(users, tokens)]
    missing = tuple(name for name, there in services.items() if not there)
    return Discovery(found, cloud_id(tokens[0], keystone.url), accounts, tokens[0], missing)


def check_catalog(token: Token) -> None:
    """Refuse a catalogue that leads to a metadata service: Tempest goes wherever the catalogue says.

    :raises CloudFailure: one of its addresses does.
    """
    listed = [point.get("url") for entry in token.catalog for point in entry.get("endpoints") or ()]
    hosts = {urllib.parse.urlsplit(str(url)).hostname for url in listed if url}
    for host in sorted(host for host in hosts if host)[:MOST_HOSTS]:
        with contextlib.suppress(OSError, UnicodeError):
            for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
                if is_metadata(str(found[4][0])):
                    raise CloudFailure(f"the cloud's catalogue names {host}, the address of a metadata service")


def cloud_id(token: Token, url: str) -> str:
    """The id of the identity service in the catalogue or, failing that, the MD5 of Keystone's host name."""
    for service in token.catalog:
        if service.get("type") == "identity" and service.get("id"):
            return str(service["id"])
    return hashlib.md5((urllib.parse.urlsplit(url).hostname or "").encode()).hexdigest()  # noqa: S324 - an id, no proof


def _region(token: Token, url: str) -> str:
    """The only region of the catalogue, or the one whose identity endpoint was asked."""
    regions: dict[str, bool] = {}
    for service in token.catalog:
        for endpoint in service.get("endpoints", []):
            name = str(endpoint.get("region_id") or endpoint.get("region") or "")
            mine = service.get("type") == "identity" and url.startswith(str(endpoint.get("url", "")).rstrip("/"))
            if name:
                regions[name] = regions.get(name, False) or mine
    asked = sorted(name for name, mine in regions.items() if mine)
    return (asked or sorted(regions) or [""])[0]


def _offered(token: Token, types: Sequence[str], region: str) -> bool:
    for service in token.catalog:
        for endpoint in service.get("endpoints", []):
            here = not region or region in (endpoint.get("region_id"), endpoint.get("region"))
            if service.get("type") in types and endpoint.get("interface") == "public" and here:
                return True
    return False


def _administration(admin: User, token: Token) -> dict[str, Any]:
    project = token.body.get("project", {})
    own = {
        "admin_username": admin.name,
        "admin_password": admin.password,
        "admin_project_name": project.get("name"),
        "admin_domain_name": token.body.get("user", {}).get("domain", {}).get("name"),
        "admin_project_domain_name": project.get("domain", {}).get("name"),
    }
    return {option: value for option, value in own.items() if value}


def _operator_role(keystone: Keystone, token: Token) -> dict[str, Any]:
    """Which role lets a user of this cloud have containers: clouds name their everyday role differently."""
    try:
        roles = [role.get("name") for role in (keystone.ask("GET", "/roles", token.value) or {}).get("roles", [])]
    except Denied:
        return {}
    return next(({"operator_role": role} for role in OPERATOR_ROLES if role in roles), {})


def _account(user: User, token: Token) -> dict[str, Any]:
    project, person = token.body.get("project", {}), token.body.get("user", {})
    return {"username": user.name, "password": user.password, "project_name": project.get("name"),
            "user_domain_name": person.get("domain", {}).get("name"),
            "project_domain_name": project.get("domain", {}).get("name"), "roles": token.roles}  # fmt: skip


# --- which tests ------------------------------------------------------------------------------------------------------

MAX_TESTCASES = 100_000
_ID = re.compile(r"id-([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")


def check_testcases(told: Any, where: str) -> tuple[str, ...]:
    """Return test case entries that were read from outside.

    :raises BadInput: not a list of names, ids and expressions, or none at all.
    """
    if not isinstance(told, list) or not all(isinstance(entry, str) for entry in told):
        raise BadInput(f"{where}: not a list of test names")
    if not told or len(told) > MAX_TESTCASES:
        raise BadInput(f"{where}: 1 to {MAX_TESTCASES} entries are needed, not {len(told)}")
    for entry in told:
        expression(entry, where)
    return tuple(told)


def expression(entry: str, where: str = "test cases") -> str:
    """The regular expression that finds the tests an entry means; empty for everything.

    An entry with an idempotent id is found by that alone: the same test has had other names in other versions.

    :raises BadInput: the entry is not a name, an id or a sound expression.
    """
    if entry.startswith("regex:"):
        pattern = entry[len("regex:") :]
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise BadInput(f"{where}: {entry[:200]!r} is no regular expression: {error}") from error
        if not pattern.strip() or re.search(r"[\r\n\0]", pattern):
            raise BadInput(f"{where}: {entry[:200]!r} is no expression of one line")
        # a list file knows # as the beginning of a comment and takes off outer blanks
        return pattern.replace("#", r"\x23") if pattern == pattern.strip() else f"(?:{pattern})".replace("#", r"\x23")
    if entry == "tempest":
        return ""
    if found := _ID.search(entry):
        return f"id-{found.group(1).lower()}"
    if not re.fullmatch(r"[A-Za-z_][\w.]*(?:[\[(][\w.,:=/ \-\[\]()]*)?", entry) or len(entry) > 1000:
        raise BadInput(f"{where}: {entry[:200]!r} is no test name, id-UUID or regex:EXPRESSION")
    name = entry.partition("[")[0]
    return "^" + re.escape(name) + r"(?:[.\[(]|$)"


@dataclass(frozen=True)
class Selection:
    """The tests of a run."""

    entries: tuple[str, ...]

    @property
    def expressions(self) -> list[str]:
        """What finds them; empty for all tests that there are."""
        found = [expression(entry) for entry in self.entries]
        return [] if "" in found else list(dict.fromkeys(found))

    def unmatched(self, listed: Sequence[str]) -> list[str]:
        """Entries that select none of the listed tests."""
        ids = {found.lower() for name in listed for found in _ID.findall(name)}
        missing = []
        for entry in self.entries:
            pattern = expression(entry)
            if found := _ID.search(entry):
                there = found.group(1).lower() in ids
            else:
                there = not pattern or any(re.search(pattern, name) for name in listed)
            if not there:
                missing.append(entry)
        return missing


# --- the Tempest that is given ----------------------------------------------------------------------------------------

_LOOK = """
import importlib.util, json, os, re, sys
from importlib import metadata
spec = importlib.util.find_spec("tempest")
home = os.path.dirname(spec.origin) if spec and spec.origin else ""
def text(path):
    try:
        with open(os.path.join(home, path), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
def says(path, word):
    return word in text(path)
try:
    version = metadata.version("tempest")
except metadata.PackageNotFoundError:
    version = ""
print(json.dumps({"home": home, "version": version,
    "include_list": says("cmd/run.py", "--include-list"),
    "name_prefix": says("config.py", "resource_name_prefix"),
    "cleanup_prefix": says("cmd/cleanup.py", "--prefix"),
    "names": sorted(set(re.findall("[\\\"']([a-z0-9][A-Za-z0-9_-]*)[\\\"']", text("config.py"))))}))
"""
# reading the three files takes 60 ms, asking each command for its help takes seconds


@dataclass(frozen=True)
class Tempest:
    """A Tempest and what its version can do."""

    program: Path
    version: str
    include_list: bool
    name_prefix: bool
    cleanup_prefix: bool
    names: frozenset[str] = frozenset()
    """What its ``config.py`` names: sections, options, their former names, and some words more."""

    def unknown(self, conf: Conf) -> list[str]:
        """Options of a configuration that this Tempest will not read, each with what may have been meant.

        Sections that it does not name may be a plugin's, and ``DEFAULT`` belongs to its libraries.
        """
        found = []
        for section, options in conf.items():
            for option in options if section in self.names else ():
                if option.replace("-", "_") not in self.names and option not in self.names:
                    near = difflib.get_close_matches(option, self.names, 1)
                    found.append(f"[{section}] {option}" + (f" (did you mean {near[0]}?)" if near else ""))
        return found

    @classmethod
    def find(cls, home: Path) -> Tempest:
        """Look at the Tempest in a virtualenv or in a checkout's ``.venv``.

        :raises TempestFailure: there is none that starts.
        """
        for folder in (home, home / ".venv", home / "venv"):
            program = folder.absolute() / "bin" / "tempest"
            if program.is_file():
                return cls._look(program)
        raise TempestFailure(f"{home}: no bin/tempest here, nor in a .venv below; is this where Tempest is installed?")

    @classmethod
    def _look(cls, program: Path) -> Tempest:
        python = program.with_name("python")
        try:
            done = subprocess.run([str(python), "-I", "-c", _LOOK], capture_output=True, timeout=120)  # noqa: S603
            seen = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise TempestFailure(f"{python}: cannot be asked for its Tempest: {error}") from error
        if not seen["home"]:
            raise TempestFailure(f"{python}: has no tempest package although {program} is there")
        return cls(program, seen["version"], seen["include_list"], seen["name_prefix"], seen["cleanup_prefix"],
                   frozenset(seen["names"]))  # fmt: skip


# --- the stream of results --------------------------------------------------------------------------------------------

SIGNATURE = 0xB3
MAX_PACKET = 4 * 1024 * 1024
STATUSES = ("", "exists", "inprogress", "success", "uxsuccess", "skip", "fail", "xfail")
MAX_HELD = 256


@dataclass
class Packet:
    """One packet of a subunit v2 stream (https://github.com/testing-cabal/subunit, README: the wire format)."""

    raw: bytearray
    test: str
    status: str
    file_name: str
    start: int
    """Where the file's bytes begin in ``raw``; the same as ``stop`` when there are none."""
    stop: int
    last: bool
    """No more bytes of this file will come."""
    when: float | None
    """Seconds since 1970."""

    @property
    def content(self) -> bytes:
        """The piece of an attached file that this packet brings."""
        return bytes(self.raw[self.start : self.stop])

    def replace_content(self, content: bytes) -> None:
        """Put other bytes of the same length in their place; the checksum is made right again."""
        if content != self.content:
            self.raw[self.start : self.stop] = content
            self.raw[-4:] = struct.pack(">I", zlib.crc32(self.raw[:-4]) & 0xFFFFFFFF)


class NotAPacket(ValueError):
    """Bytes that begin like a packet and are none."""


def packet_length(data: bytes) -> int | None:
    """Length of the packet at the start of ``data``; ``None`` if more bytes are needed to tell.

    :raises NotAPacket: it cannot be one.
    """
    if len(data) >= 2 and data[1] >> 4 != 2:
        raise NotAPacket("not version 2")
    if len(data) < 4:
        return None
    size = 1 + (data[3] >> 6)
    if len(data) < 3 + size:
        return None
    length = int.from_bytes(data[3 : 3 + size], "big") & ((1 << (8 * size - 2)) - 1)
    if not 3 + size + 4 <= length <= MAX_PACKET:
        raise NotAPacket("impossible length")
    return length


class _Fields:
    """Reads the fields of a packet one after another."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def take(self, count: int) -> bytes:
        if self.at + count > self.end:
            raise NotAPacket("a field is longer than its packet")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def number(self) -> int:
        first = self.take(1)[0]
        rest = self.take(first >> 6)
        return int.from_bytes(bytes([first & 0x3F]) + rest, "big")

    def text(self) -> str:
        return self.take(self.number()).decode("utf-8", "replace")


def read_packet(data: bytes) -> Packet:
    """Take a whole packet apart.

    :raises NotAPacket: checksum or fields are wrong.
    """
    if zlib.crc32(data[:-4]) & 0xFFFFFFFF != struct.unpack(">I", data[-4:])[0]:
        raise NotAPacket("wrong checksum")
    flags = struct.unpack(">H", data[1:3])[0]
    fields = _Fields(data, 3, len(data) - 4)
    fields.number()
    when = struct.unpack(">I", fields.take(4))[0] + fields.number() / 1e9 if flags & 0x0200 else None
    test = fields.text() if flags & 0x0800 else ""
    for _ in range(fields.number() if flags & 0x0080 else 0):
        fields.text()
    if flags & 0x0020:
        fields.text()
    name, start, stop = "", 0, 0
    if flags & 0x0040:
        name = fields.text()
        size = fields.number()
        start = fields.at
        fields.take(size)
        stop = fields.at
    return Packet(bytearray(data), test, STATUSES[flags & 7], name, start, stop, bool(flags & 0x0010), when)


class Stream:
    """Splits what Tempest writes into packets, hides secrets in them, keeps them, and tells of each.

    Bytes between packets (warnings, tracebacks) go to ``on_text``. Memory is bounded: one packet, and few that wait
    because a secret may go on in the next piece of the same file.
    """

    def __init__(self, keep: Callable[[bytes], Any], on_packet: Callable[[Packet], None],
                 on_text: Callable[[bytes], None]) -> None:  # fmt: skip
        self._keep, self._on_packet, self._on_text = keep, on_packet, on_text
        self._buffer = bytearray()
        self._held: dict[tuple[str, str], list[Packet]] = {}

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data
        self._split(False)

    def close(self) -> None:
        """No more bytes will come."""
        self._split(True)
        self._release(list(self._held))

    def _split(self, final: bool) -> None:
        at = 0
        view = self._buffer
        while at < len(view):
            begin = view.find(SIGNATURE, at)
            if begin != at:
                stop = len(view) if begin < 0 else begin
                self._on_text(bytes(view[at:stop]))
                at = stop
                continue
            length = self._one(at, final)
            if not length:
                break
            at += length
        del view[:at]

    def _one(self, at: int, final: bool) -> int:
        """Take the packet at ``at``; the number of bytes used, 0 when it is not complete yet."""
        try:
            length = packet_length(bytes(self._buffer[at : at + 8]))
            if length is None or at + length > len(self._buffer):
                if not final:
                    return 0
                raise NotAPacket("cut off")
            packet = read_packet(bytes(self._buffer[at : at + length]))
        except NotAPacket:
            self._on_text(bytes(self._buffer[at : at + 1]))
            return 1
        self._take(packet)
        return length

    def _take(self, packet: Packet) -> None:
        key = (packet.test, packet.file_name)
        # whatever else is said of this test ends the files that were open
        self._release([other for other in self._held if other[0] == packet.test and other != key])
        self._on_packet(packet)
        chain = [*self._held.pop(key, []), packet]
        joined = MASK.same_length(b"".join(each.content for each in chain))
        at = 0
        for each in chain:
            size = each.stop - each.start
            each.replace_content(joined[at : at + size])
            at += size
        waiting = 0 if packet.last else MASK.open_end(joined)
        held: list[Packet] = []
        while waiting > 0 and chain:
            waiting -= chain[-1].stop - chain[-1].start
            held.insert(0, chain.pop())
        for each in chain:
            self._keep(bytes(each.raw))
        if held:
            self._held[key] = held
        if len(self._held) > MAX_HELD or len(held) > MAX_HELD:
            self._release(list(self._held))

    def _release(self, keys: Iterable[tuple[str, str]]) -> None:
        for key in keys:
            for packet in self._held.pop(key):
                self._keep(bytes(packet.raw))


class Tally:
    """Counts the tests as their packets come."""

    FINAL = {"success": "passed", "xfail": "passed", "uxsuccess": "failed", "fail": "failed", "skip": "skipped"}
    WHOLE_CLASS = re.compile(r"(?:setUpClass|tearDownClass|setUpModule|tearDownModule) \((.+)\)")
    MAX_TESTS = 200_000

    def __init__(self) -> None:
        self.counts = Counts()
        self.last = ""
        self.skip_reason = ""
        self.running: set[str] = set()
        self.seen = 0
        self.ended: set[str] = set()
        """Names of the tests that came to an end."""
        self.classes: dict[str, str] = {}
        """The outcome of each class that answered for all its tests: it could not be set up."""
        self.since: float | None = None
        """When the first test was heard of, monotonic."""
        self._of_class: dict[str, int] = {}
        self._began = time.monotonic()
        self._pieces: dict[str, bytes] = {}

    def listed(self, names: Iterable[str]) -> None:
        """Learn which tests were selected, and so how many, those of classes that have ended already too."""
        for name in names:
            parent = _class_of(name)
            self._of_class[parent] = self._of_class.get(parent, 0) + 1
            self.counts.total += 1
        for parent, kind in self.classes.items():
            self._add(kind, self._of_class.get(parent, 1) - 1)

    def packet(self, packet: Packet) -> bool:
        """Count a packet; tells whether a test came to its end with it."""
        if packet.file_name == "reason" and len(self._pieces) < MAX_HELD:
            self._pieces[packet.test] = (self._pieces.get(packet.test, b"") + packet.content)[:500]
        if packet.status == "inprogress" and len(self.running) < self.MAX_TESTS:
            self.running.add(packet.test)
        if packet.test and self.since is None:
            self.since = time.monotonic()
        kind = self.FINAL.get(packet.status)
        if kind is None or packet.test in self.ended or not packet.test:
            return False
        self.running.discard(packet.test)
        self._count(packet.test, kind)
        reason = self._pieces.pop(packet.test, b"")
        if kind == "skipped" and not self.skip_reason:
            self.skip_reason = reason.decode("utf-8", "replace").strip()
        return True

    def seconds_left(self) -> float | None:
        """How long the rest will take if it goes on as it went."""
        if not self.counts.total or not self.counts.done:
            return None
        took = time.monotonic() - self._began
        return max(0.0, took / self.counts.done * (self.counts.total - self.counts.done))

    def _count(self, test: str, kind: str) -> None:
        self.seen += 1
        self.last = test
        whole = self.WHOLE_CLASS.fullmatch(test)
        if not whole:
            if len(self.ended) < self.MAX_TESTS:
                self.ended.add(test)
            self._add(kind, 1)
        elif test.startswith("setUp"):
            # a class that cannot be set up answers for all its tests; one that cannot be torn down for none
            if whole.group(1) not in self.classes and len(self.classes) < self.MAX_TESTS:
                self.classes[whole.group(1)] = kind
                self._add(kind, self._of_class.get(whole.group(1), 1))
        elif kind == "failed":
            self.counts.failed += 1

    def _add(self, kind: str, many: int) -> None:
        setattr(self.counts, kind, getattr(self.counts, kind) + many)
        self.counts.done += many


def _class_of(name: str) -> str:
    return re.split(r"[\[(]", name, maxsplit=1)[0].rpartition(".")[0]


# --- running Tempest --------------------------------------------------------------------------------------------------

GRACE_SECONDS = 2.0
"""How long Tempest may take to end after TERM; a cancelled run has to be gone within five seconds in all."""
PROGRESS_SECONDS = 0.25
LIST_AFTER_TEST_SECONDS = 3.0
"""A run that goes on for so long after its first test is given a total."""
LIST_AFTER_START_SECONDS = 15.0
"""And one whose first test is so long in coming."""
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE",
             "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "TZ", "LD_LIBRARY_PATH")  # fmt: skip
"""Variables that Tempest gets from here; none of the caller's ``OS_*`` and ``TEMPEST_*``."""


@dataclass
class Workspace:
    """The folders of a run: what is kept, and what is gone at its end."""

    folder: Path
    scratch: Path = field(init=False)

    def __post_init__(self) -> None:
        self.scratch = self.folder / "workspace"

    @property
    def conf(self) -> Path:
        """Tempest's configuration, which holds the cloud's secrets."""
        return self.folder / "tempest.conf"

    def create(self) -> None:
        """Make the folders; everything below is the owner's alone."""
        for name in ("run", "list", "cleanup", "home", "tmp", "lock", "log"):
            (self.scratch / name).mkdir(parents=True, exist_ok=True)

    def tempest_log(self) -> Path:
        """Where Tempest writes its log while it runs."""
        return self.scratch / "log" / "tempest.log"

    def forced(self, prefix: str) -> Conf:
        """Options that only this program sets: Tempest writes nowhere else."""
        common = {"log_dir": str(self.scratch / "log"), "log_file": "tempest.log", "use_stderr": False}
        if prefix:
            common["resource_name_prefix"] = prefix
        return {"DEFAULT": common, "oslo_concurrency": {"lock_path": str(self.scratch / "lock")}}

    def environment(self, tempest: Tempest) -> dict[str, str]:
        """The environment of Tempest's processes; it holds no secret of the run."""
        own = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        bin_folder = tempest.program.parent
        return {**own, "PATH": f"{bin_folder}:/usr/local/bin:/usr/bin:/bin", "VIRTUAL_ENV": str(bin_folder.parent),
                "PYTHON": str(bin_folder / "python"), "HOME": str(self.scratch / "home"),
                "TMPDIR": str(self.scratch / "tmp"), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip

    def keep_log(self) -> None:
        """Leave Tempest's log in the work folder, without the secrets."""
        with contextlib.suppress(FileNotFoundError), open(self.tempest_log(), errors="surrogateescape") as log:
            with open(self.folder / "tempest.log", "w", errors="surrogateescape") as kept:
                for line in log:
                    kept.write(MASK.text(line))

    def remove(self) -> None:
        """Take away what holds secrets or nothing of worth."""
        with contextlib.suppress(FileNotFoundError):
            self.conf.unlink()
        shutil.rmtree(self.scratch, ignore_errors=True)


class Interrupt:
    """Turns TERM, INT and the time limit into :class:`Stopped`, but never between starting a program and knowing it."""

    def __init__(self) -> None:
        self._pending = ""
        self._deferred = False

    def arm(self, seconds: float) -> None:
        """Listen to the signals; the time limit begins."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
            signal.signal(signum, self._arrived)
        self.seconds = seconds
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def time_limit_off(self) -> None:
        """The tests are over: from here on only a signal stops."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Within this block a signal waits until its end."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._pending:
            raise Stopped(self._pending)

    def _arrived(self, signum: int, _frame: Any) -> None:
        # one is enough: the next would break into the clearing up
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        name = signal.Signals(signum).name
        why = f"the time limit of {self.seconds:g} s" if signum == signal.SIGALRM else f"signal {name}"
        self._pending = f"stopped by {why}"
        if not self._deferred:
            raise Stopped(self._pending)


INTERRUPT = Interrupt()

_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@contextlib.contextmanager
def program(argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in a process group of its own, of which nothing is left afterwards.

    :raises TempestFailure: it cannot be started.
    """
    words = [str(word) for word in argv]
    LOG.debug("starting %s", " ".join(words))
    started: subprocess.Popen[bytes] | None = None
    try:
        with INTERRUPT.deferred():
            try:
                started = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                    words, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, start_new_session=True, preexec_fn=_end_with_us,
                )  # fmt: skip
            except OSError as error:
                raise TempestFailure(f"{words[0]}: cannot be started: {error}") from error
        yield started
    finally:
        if started is not None:
            end_group(started)


def _end_with_us() -> None:
    """In the new process: end too when this one is killed, and with it, by their broken pipes, the tests."""
    if _PRCTL is not None:
        _PRCTL(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, prctl(2)


def end_group(started: subprocess.Popen[bytes]) -> None:
    """End the process group: TERM, a moment, KILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            started.poll()
            os.killpg(started.pid, 0)
            time.sleep(0.02)
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    for pipe in (started.stdout, started.stderr):
        if pipe:
            pipe.close()


_DISK_FULL = re.compile(r"\[Errno \d+\] (?:No space left on device|Disk quota exceeded)")
"""As Python's own errors say it; the environment that Tempest gets makes them English."""

_LIST = """
import os, subprocess, sys
subprocess.run([sys.argv[1], "init"], stdout=subprocess.DEVNULL)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass
class TestRun:
    """One ``tempest run``, and beside a long one the listing of its tests."""

    tempest: Tempest
    workspace: Workspace
    selection: Selection
    concurrency: int
    voice: Voice
    tally: Tally = field(default_factory=Tally)
    names: list[str] = field(default_factory=list)
    status: int = 0
    """Exit status of ``tempest run``."""
    listed: int | None = None
    """Exit status of the listing; ``None`` when there was none, or it did not end."""
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=30))
    disk_full: str = ""
    """What Tempest said of a full disk of this machine."""
    _began: float = field(default_factory=time.monotonic)

    def go(self) -> None:
        """Run the tests and keep their stream in the work folder.

        :raises TempestFailure: Tempest cannot be started.
        """
        env = self.workspace.environment(self.tempest)
        # once, for the run and its list: written again for that one, it would be empty while the other may read it
        self._asked_for.write_text("\n".join([*self.selection.expressions, ""]), encoding="utf-8")
        with open(self.workspace.folder / "subunit", "wb") as kept, contextlib.ExitStack() as programs:
            stream = Stream(kept.write, self._packet, self._text)
            run = programs.enter_context(program(self._command("--subunit"), self.workspace.scratch / "run", env))

            def list_tests() -> subprocess.Popen[bytes]:
                return programs.enter_context(program(self._listing(), self.workspace.scratch / "list", env))

            self._follow(run, list_tests, stream, kept)
            self.status = run.wait()
            stream.close()
        self.voice.progress(self.tally.counts, 0, self.tally.last)

    @property
    def _asked_for(self) -> Path:
        return self.workspace.scratch / "tests.txt"

    def _command(self, what: str) -> list[str]:
        words = [str(self.tempest.program), "run", "--config-file", str(self.workspace.conf), what]
        if self.selection.expressions:
            words += ["--include-list" if self.tempest.include_list else "--whitelist-file", str(self._asked_for)]
        if what == "--subunit" and self.concurrency:
            words += ["--concurrency", str(self.concurrency)]
        return words

    def _listing(self) -> list[str]:
        # stestr lists only where it has a repository, which tempest run makes for itself
        folder = self.tempest.program.parent
        return [str(folder / "python"), "-c", _LIST, str(folder / "stestr"), *self._command("--list-tests")]

    def _follow(self, run: subprocess.Popen[bytes], list_tests: Callable[[], subprocess.Popen[bytes]], stream: Stream,
                kept: IO[bytes]) -> None:  # fmt: skip
        names = bytearray()
        listing: subprocess.Popen[bytes] | None = None
        shown, told = 0.0, Counts()

        def learn(data: bytes) -> None:
            names.extend(data)
            if listing and not data:
                self.listed = listing.wait()
                self._learn(bytes(names))

        with selectors.DefaultSelector() as selector:
            _watch(selector, run, stream.feed, self._text)
            while selector.get_map() or (listing is None and self._in_doubt()):
                # the list tells how many tests there will be; run --subunit does not
                if listing is None and (not selector.get_map() or self._goes_on()):
                    listing = list_tests()
                    _watch(selector, listing, learn, _ignore)
                for key, _ in selector.select(timeout=1):
                    data = os.read(key.fd, 65536)
                    if not data:
                        selector.unregister(key.fileobj)
                    key.data(data)
                if time.monotonic() - shown >= PROGRESS_SECONDS and self.tally.counts != told:
                    shown, told = time.monotonic(), replace(self.tally.counts)
                    kept.flush()
                    self.voice.progress(self.tally.counts, self.tally.seconds_left(), self.tally.last)
        if listing is None:
            self.tally.listed(self.tally.ended)

    def _goes_on(self) -> bool:
        """Whether the run is no short one, so that somebody wants to know how long it will go on.

        The list costs as much of a core as starting Tempest does; short runs would last half as long again by it.
        """
        if self.tally.since is None:
            return time.monotonic() - self._began >= LIST_AFTER_START_SECONDS
        return bool(self.tally.classes) or time.monotonic() - self.tally.since >= LIST_AFTER_TEST_SECONDS

    def _in_doubt(self) -> bool:
        """Whether, at the end, what ran does not tell which tests there were."""
        return not self.tally.ended or bool(self.tally.classes or self.selection.unmatched(sorted(self.tally.ended)))

    def _learn(self, output: bytes) -> None:
        lines = output.decode("utf-8", "replace").splitlines()
        self.names = [line.strip() for line in lines if re.match(r"[A-Za-z_][\w.]*\.\w+(?:[\[(].*)?$", line.strip())]
        self.tally.listed(self.names)
        missing = self.selection.unmatched(self.names) if self.listed == 0 and self.names else []
        if missing:
            shown = ", ".join(missing[:10]) + (" …" if len(missing) > 10 else "")
            self.voice.message(f"{len(missing)} test cases are not in Tempest {self.tempest.version}: {shown}")

    def _packet(self, packet: Packet) -> None:
        if self.tally.packet(packet):
            LOG.debug("%s: %s", packet.test, packet.status)

    def _text(self, data: bytes) -> None:
        for line in data.decode("utf-8", "replace").splitlines():
            if line.strip():
                self.last_lines.append(line.strip()[:500])
                if found := _DISK_FULL.search(line):
                    self.disk_full = found.group()
                LOG.debug("tempest: %s", line[:2000])


def _watch(selector: selectors.BaseSelector, started: subprocess.Popen[bytes], take: Callable[[bytes], None],
           take_errors: Callable[[bytes], None]) -> None:  # fmt: skip
    for pipe, to in ((started.stdout, take), (started.stderr, take_errors)):
        if pipe:
            selector.register(pipe, selectors.EVENT_READ, to)


def _ignore(_data: bytes) -> None:
    """What the listing says on stderr, the run says too."""


def judge(run: TestRun, missing: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, reason and message of a ``tempest run`` that came to its end.

    :raises BadInput: the test cases select nothing.
    :raises TempestFailure: Tempest broke.
    :raises MachineFailure: Tempest broke on a full disk.
    :raises CloudFailure: the cloud lacks what every test needs.
    """
    counts = run.tally.counts
    ends = f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"
    if run.listed == 0 and counts.done < counts.total:
        ends += f", {counts.total - counts.done} not carried out"
    if not run.tally.seen:
        if run.listed == 0 and not run.names and run.selection.expressions:
            raise BadInput(f"the test cases select none of the tests of Tempest {run.tempest.version}")
        raise _broke(run, f"Tempest ran no test (status {run.status})")
    if run.status not in (0, 1) or run.tally.running or (run.status and not counts.failed):
        open_tests = f"; unfinished: {', '.join(sorted(run.tally.running)[:5])}" if run.tally.running else ""
        raise _broke(run, f"Tempest broke off (status {run.status}) after {ends}{open_tests}")
    why = run.tally.skip_reason
    lacking = f"; its catalogue lacks {', '.join(missing)}" if missing else ""
    told = f"{ends} (the first: {why}{lacking})" if counts.skipped and why else ends
    if counts.failed:
        return 1, "tests-failed", told
    if not counts.passed:
        why = why or "no reason given"
        raise CloudFailure(f"no test could run on this cloud, all {counts.skipped} were skipped: {why}{lacking}")
    return 0, "passed", told


def _broke(run: TestRun, how: str) -> Failure:
    if run.disk_full:
        return MachineFailure(f"this machine: {run.disk_full}: {how}")
    return TempestFailure(f"{how}: {_said(run)}")


def _said(run: TestRun) -> str:
    telling = [line for line in run.last_lines if re.search(r"rror|xception|annot|refused|invalid", line)]
    return ((telling or list(run.last_lines) or ["it said nothing"])[-1])[:400]


# --- what is left in the cloud ----------------------------------------------------------------------------------------

_CREDENTIALS = re.compile(r"(?:PUT|DELETE) \S*/v3/projects/([0-9a-f]{32})/users/([0-9a-f]{32})/roles/")
_WITHOUT_PROJECT = re.compile(r"(?:PUT|DELETE) \S*/v3/(?:system|domains/([0-9a-f]{32}))/users/([0-9a-f]{32})/roles/")
_CREATED = re.compile(r"Request \((\w+):[^)]*\): 201 POST \S*/v3/(?:projects|users|domains) ")
_TEMPEST_NAME = re.compile(r"tempest-(\w+)-\d+")
BEFORE = "before.json"
NAMES_IN_MESSAGE = 20
"""Of projects or users; a message of the server's has room for a thousand characters."""
ORPHAN_SECONDS = 3.0
"""A run that goes on gives a new project its first role within this time; a run that was stopped never does."""


@dataclass
class Removal:
    """What was removed from the cloud and what could not be."""

    voice: Voice
    removed: int = 0
    left: list[str] = field(default_factory=list)

    def done(self, what: str) -> None:
        """Tell of something that is gone."""
        self.removed += 1
        self.voice.message(f"removed {what}")

    def failed(self, what: str, why: object) -> None:
        """Tell of something that is still there."""
        self.left.append(what)
        self.voice.message(f"could not remove {what}: {why}")


class Leftovers:
    """Finds and removes what a run left behind.

    Tempest names what its tests make by ``resource_name_prefix``, but not the projects and users it makes for them
    (``tempest-<class>-<number>`` in every version): those are known by their ids in the log of the run.
    """

    def __init__(self, keystone: Keystone, user: User, prefix: str, voice: Voice) -> None:
        self._keystone, self._user = keystone, user
        self._prefix = dashed(prefix)
        self.removal = Removal(voice)
        self._token = keystone.log_in(user)

    def remove(self, folder: Path, logs: Sequence[Path]) -> None:
        """Empty and remove the projects of the run, then its users, roles and domains."""
        before = Before.read(folder)
        # the folder may be another attempt's: what that one made is not to be taken for this one's
        own_folder = before is not None and before.prefix == self._prefix
        traces = Traces.read(logs if own_folder else [])
        projects = self._find("projects", traces.projects)
        new = self._named("projects", "tempest-") if own_folder else []
        new = [each for each in new if before and each["id"] not in before.projects]
        orphans = self._orphans(new, traces, {str(each["id"]) for each in projects})
        projects += orphans
        for project in projects:
            self._empty(project["id"], project["name"])
        own = str(self._token.body.get("project", {}).get("id", ""))
        self._containers(self._token, own, "own project", self._prefix)
        users = self._find("users", traces.users)
        users += self._users_of(orphans, {str(each["id"]) for each in users})
        by_prefix = [(kind, self._find(kind, set())) for kind in ("groups", "roles", "services")]
        for kind, found in (("users", users), ("projects", projects), *by_prefix):
            for each in found:
                self._delete(f"/{kind}/{each['id']}", f"{kind[:-1]} {each['name']}")
        for domain in self._find("domains", traces.domains):
            with contextlib.suppress(Denied):
                self._ask("PATCH", f"/domains/{domain['id']}", {"domain": {"enabled": False}})
            self._delete(f"/domains/{domain['id']}", f"domain {domain['name']}")
        self._unsure(before if own_folder else None, traces)

    def _find(self, kind: str, ids: set[str]) -> list[dict[str, Any]]:
        """Those that carry the prefix, and those of these ids that Tempest named."""
        found: dict[str, dict[str, Any]] = {}
        try:
            found = {each["id"]: each for each in self._named(kind, self._prefix)}
        except Denied as error:
            LOG.warning("%s cannot be listed: %s", kind, error)
        for one in ids:
            with contextlib.suppress(Denied):
                each = (self._ask("GET", f"/{kind}/{one}") or {}).get(kind[:-1], {})
                if _class_in(str(each.get("name", ""))):
                    found[one] = each
        return list(found.values())

    def _named(self, kind: str, prefix: str) -> list[dict[str, Any]]:
        """Those whose names begin so; Keystone's own filter is not trusted to be there."""
        return named(self._keystone, self._token, kind, prefix)

    def _orphans(self, new: Sequence[dict[str, Any]], traces: Traces, known: set[str]) -> list[dict[str, Any]]:
        """Those of the new projects that the run had made but not yet given to a user when it was stopped.

        Their ids never came into the log. One is the run's if it is named for a class that the run made projects for,
        and has no role assignment, not even a while later.
        """
        found = [each for each in new if each["id"] not in known and _class_in(each["name"]) in traces.classes]
        found = [each for each in found if not self._assigned(each["id"])]
        if found:
            time.sleep(ORPHAN_SECONDS)
        return [each for each in found if not self._assigned(each["id"])]

    def _assigned(self, project_id: str) -> bool:
        try:
            answer = self._ask("GET", f"/role_assignments?{urllib.parse.urlencode({'scope.project.id': project_id})}")
            return bool((answer or {}).get("role_assignments", True))
        except Denied:
            return True

    def _users_of(self, projects: Sequence[Mapping[str, Any]], known: set[str]) -> list[dict[str, Any]]:
        """Users that Tempest named after these projects."""
        found = [user for each in projects for user in self._named("users", f"{each['name']}-project")]
        return [user for user in found if user["id"] not in known]

    def _unsure(self, before: Before | None, traces: Traces) -> None:
        """Tell of projects and users that may be the run's or another's of the same tests.

        Without what was noted before the run (its node is lost) that is all that Tempest named.
        """
        listed: list[str] = []
        for kind in ("projects", "users"):
            with contextlib.suppress(Denied):
                found = [each for each in self._named(kind, "tempest-") if _class_in(each["name"])]
                if before is not None:
                    found = [each for each in found if each["id"] not in getattr(before, kind)]
                    found = [each for each in found if _class_in(each["name"]) in traces.classes]
                # most users are named after their project, and go with it
                names = [str(each["name"]) for each in found]
                names = sorted(name for name in names if not any(name.startswith(f"{one}-") for one in listed))
                listed += names
                for start in range(0, len(names), NAMES_IN_MESSAGE):
                    some = ", ".join(names[start : start + NAMES_IN_MESSAGE])
                    self.removal.voice.message(f"left alone: {kind} of this run or another of the same tests: {some}")

    def _empty(self, project_id: str, name: str) -> None:
        """Remove the containers of a project that is to go: ``tempest cleanup`` knows nothing of Swift.

        The administrator gives himself the roles that Swift asks for, in this project alone; they go with it.
        """
        if not self._store(self._token, project_id):
            return
        me = str(self._token.body.get("user", {}).get("id", ""))
        try:
            roles = (self._ask("GET", "/roles") or {}).get("roles", [])
            for role in roles:
                if role.get("name") in ("admin", "ResellerAdmin", *OPERATOR_ROLES):
                    self._ask("PUT", f"/projects/{project_id}/users/{me}/roles/{role['id']}")
            token = self._keystone.scope(self._token, project_id, self._user)
        except (Denied, CloudFailure) as error:
            self.removal.failed(f"what project {name} holds in Swift", error)
            return
        if self._containers(token, project_id, f"project {name}", ""):
            # the account itself, where the cloud lets accounts be removed at all
            with contextlib.suppress(Denied, CloudFailure):
                self._keystone.ask_url("DELETE", self._store(token, project_id), token.value)

    def _containers(self, token: Token, project_id: str, where: str, prefix: str) -> bool:
        """Remove the containers whose names begin with ``prefix``; tells whether all are gone."""
        store = self._store(token, project_id)
        if not store:
            return False
        gone = True
        try:
            for name in self._names(f"{store}?{urllib.parse.urlencode({'prefix': prefix})}", token):
                gone = self._container(f"{store}/{urllib.parse.quote(name, safe='')}", name, where, token) and gone
        except Denied as error:
            if error.status != 404:
                self.removal.failed(f"containers of {where}", error)
                return False
        return gone

    def _container(self, url: str, name: str, where: str, token: Token) -> bool:
        try:
            with contextlib.suppress(Denied):
                # with versioning on, each delete would only add a version
                self._keystone.ask_url("DELETE", f"{url}?versions", token.value)
            for one in self._names(url, token):
                with contextlib.suppress(Denied):
                    self._keystone.ask_url("DELETE", f"{url}/{urllib.parse.quote(one)}", token.value)
            self._keystone.ask_url("DELETE", url, token.value)
        except Denied as error:
            if error.status == 404:
                return True
            self.removal.failed(f"container {name} of {where}", error)
            return False
        self.removal.done(f"container {name} of {where}")
        return True

    def _names(self, url: str, token: Token) -> Iterator[str]:
        """Names of containers or objects, asked for page by page."""
        marker = ""
        while True:
            join = "&" if "?" in url else "?"
            page = f"{url}{join}{urllib.parse.urlencode({'format': 'json', 'limit': 1000, 'marker': marker})}"
            answer = self._keystone.ask_url("GET", page, token.value)
            try:
                listed = answer.json() if answer.body else []
            except Unavailable as error:
                raise Denied(0, str(error)) from error
            names = [str(each["name"]) for each in listed if isinstance(each, dict) and "name" in each]
            yield from names
            if not names:
                return
            marker = names[-1]

    def _store(self, token: Token, project_id: str) -> str:
        """Address of a project's Swift account; empty in a cloud without Swift."""
        own = str(token.body.get("project", {}).get("id", ""))
        for service in token.catalog:
            for endpoint in service.get("endpoints", []):
                if service.get("type") == "object-store" and endpoint.get("interface") == "public":
                    return str(endpoint.get("url", "")).replace(own, project_id).rstrip("/") if own else ""
        return ""

    def _delete(self, path: str, what: str) -> None:
        try:
            self._ask("DELETE", path)
            self.removal.done(what)
        except (Denied, CloudFailure) as error:
            if getattr(error, "status", 0) != 404:
                self.removal.failed(what, error)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return self._keystone.ask(method, path, self._token.value, body)


def _class_in(name: str) -> str:
    """The test class that Tempest named a project or user for; empty when it did not."""
    found = _TEMPEST_NAME.match(name)
    return found.group(1) if found else ""


def named(keystone: Keystone, token: Token, kind: str, prefix: str) -> list[dict[str, Any]]:
    """Keystone's projects, users, roles or the like whose names begin with ``prefix``.

    :raises Denied: this user may not list them.
    """
    answer = keystone.ask("GET", f"/{kind}?{urllib.parse.urlencode({'name__startswith': prefix})}", token.value)
    return [each for each in (answer or {}).get(kind, []) if str(each.get("name", "")).startswith(prefix)]


@dataclass(frozen=True)
class Before:
    """What was in the cloud before a run, so that it is not taken for the run's."""

    prefix: str
    """Of the run that the folder belongs to, with its last dash."""
    projects: frozenset[str]
    """Ids of the projects that Tempest had named."""
    users: frozenset[str] = frozenset()
    """Ids of the users that Tempest had named."""

    @classmethod
    def note(cls, folder: Path, prefix: str, keystone: Keystone, token: Token) -> None:
        """Look, and keep what is found in the work folder."""
        with contextlib.suppress(Denied):
            ids = {kind: [each["id"] for each in named(keystone, token, kind, "tempest-")]
                   for kind in ("projects", "users")}  # fmt: skip
            (folder / BEFORE).write_text(json.dumps({"prefix": dashed(prefix), **ids}))

    @classmethod
    def read(cls, folder: Path) -> Before | None:
        """What was kept; ``None`` if nothing was."""
        try:
            told = json.loads((folder / BEFORE).read_text())
            return cls(str(told["prefix"]), frozenset(told["projects"]), frozenset(told.get("users", ())))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def dashed(prefix: str) -> str:
    """The prefix with the dash that Tempest puts behind it: refstack-1-1 must not find what is refstack-1-10's."""
    return prefix if prefix.endswith("-") else f"{prefix}-"


@dataclass(frozen=True)
class Traces:
    """What a run's log tells of the projects, users and domains that it made for its tests."""

    projects: set[str]
    users: set[str]
    domains: set[str]
    classes: set[str]
    """Test classes that projects or users were made for."""

    @classmethod
    def read(cls, logs: Sequence[Path]) -> Traces:
        """Read Tempest's logs, as far as they are there."""
        traces = cls(set(), set(), set(), set())
        for path in logs:
            with contextlib.suppress(FileNotFoundError), open(path, errors="replace") as log:
                for line in log:
                    for project, user in _CREDENTIALS.findall(line):
                        traces.projects.add(project)
                        traces.users.add(user)
                    for domain, user in _WITHOUT_PROJECT.findall(line):
                        traces.domains.update({domain} - {""})
                        traces.users.add(user)
                    traces.classes.update(_CREATED.findall(line))
        return traces


# --- the whole way ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to begin."""

    tempest: Tempest
    workspace: Workspace
    selection: Selection
    conf: Conf
    discovery: Discovery


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks; returns the exit code of ``docs/exit-codes.md``."""
    words = list(sys.argv[1:] if argv is None else argv)
    voice = Voice(_wants_json(words), sys.stdout)
    os.umask(0o077)
    try:
        settings = parse(words)
        MASK.add(settings.token)
        settings.workdir.mkdir(parents=True, exist_ok=True)
        open_log(settings)
        INTERRUPT.arm(settings.timeout)
        code, reason, message = carry_out(settings, voice)
    except Failure as error:
        code, reason, message = error.exit_code, error.reason, str(error)
    except OSError as error:
        code, reason, message = MachineFailure.exit_code, MachineFailure.reason, f"this machine: {error}"
    if LOG.handlers:
        (LOG.info if code == 0 else LOG.error)("%s: %s", reason, message)
    elif not voice.as_json:  # nothing was begun: the message is all there is, and said once
        print(f"execute_test: {reason}: {MASK.text(message)}", file=sys.stderr)
        return code
    voice.end(code, reason, message)
    return code


def _wants_json(words: Sequence[str]) -> bool:
    return "--progress=json" in words or ("--progress", "json") in zip(words, words[1:])


def carry_out(settings: Settings, voice: Voice) -> tuple[int, str, str]:
    """Choose between posting, cleaning up and a whole run; exit code, reason and message."""
    if settings.post_only:
        return post_only(settings, voice)
    if settings.cleanup_only:
        return cleanup_only(settings, voice)
    return whole_run(settings, voice)


def whole_run(settings: Settings, voice: Voice) -> tuple[int, str, str]:
    """Fetch, configure, run, keep, post."""
    workspace = Workspace(settings.workdir)
    began = time.time()
    report = Report(settings, began)
    try:
        workspace.create()
        prepared = prepare(settings, workspace, voice)
        report = replace(report, tempest_version=prepared.tempest.version, cpid=prepared.discovery.cpid)
        run = TestRun(prepared.tempest, workspace, prepared.selection, settings.concurrency, voice)
        report.counts = run.tally.counts
        voice.state("running", f"Tempest {prepared.tempest.version} at {prepared.discovery.conf['identity']['uri_v3']}")
        run.go()
        INTERRUPT.time_limit_off()
        outcome = judge(run, prepared.discovery.missing)
        report.write(*outcome)
    except Failure as error:
        report.write(error.exit_code, error.reason, str(error))
        raise
    finally:
        workspace.keep_log()
        if not settings.keep:
            workspace.remove()
    if settings.callback:
        voice.state("posting", outcome[2])
        Server(settings).post(settings.workdir)
    return outcome


def prepare(settings: Settings, workspace: Workspace, voice: Voice) -> Prepared:
    """Everything before the first test: who is asked for what, and the configuration that comes of it."""
    assert settings.tempest_home is not None  # noqa: S101 - parse() saw to it
    tempest = Tempest.find(settings.tempest_home)
    given = given_conf(settings)
    entries = settings.testcases or (Server(settings).testcases() if settings.callback else ("tempest",))
    if unknown := tempest.unknown(settings.conf_json):
        voice.message(f"Tempest {tempest.version} knows no such option, and ignores it: {', '.join(unknown[:10])}")
    keystone = Keystone(given)
    discovery = discover(given, keystone)
    if not discovery.accounts:
        Before.note(workspace.folder, settings.prefix, keystone, discovery.token)
    found = discovery.conf
    if settings.discover == "tempestconf":
        found = merge(found, tempestconf(tempest, workspace, given, discovery))
    accounts = write_accounts(workspace, discovery, given)
    if settings.prefix and not tempest.name_prefix:
        voice.message(f"Tempest {tempest.version} cannot name what it makes by a prefix; leftovers will only be listed")
    forced = workspace.forced(settings.prefix if tempest.name_prefix else "")
    conf = merge(found, given, accounts, forced)
    for option in OF_USERS:
        conf.get("identity", {}).pop(option, None)
    MASK.add_conf(conf)
    write_conf(workspace.conf, conf)
    return Prepared(tempest, workspace, Selection(entries), conf, discovery)


def given_conf(settings: Settings) -> Conf:
    """What was given by somebody: common values, over them the server's, over them the caller's."""
    if settings.from_env:
        return merge(COMMON, from_environment(os.environ), settings.conf_json)
    server = Server(settings).miniconf() if settings.callback else {}
    return merge(COMMON, server, settings.conf_json)


def write_accounts(workspace: Workspace, discovery: Discovery, given: Conf) -> Conf:
    """Write the file of ordinary users that Tempest wants when there is no administrator."""
    if not discovery.accounts or given.get("auth", {}).get("test_accounts_file"):
        return {}
    path = workspace.scratch / "accounts.yaml"
    with open_private(path) as file:
        json.dump(discovery.accounts, file)  # JSON is YAML
    return {"auth": {"test_accounts_file": str(path), "use_dynamic_credentials": False}}


def tempestconf(tempest: Tempest, workspace: Workspace, given: Conf, discovery: Discovery) -> Conf:
    """What python-tempestconf finds out about the cloud; it gets the credentials in a file, not as arguments.

    :raises BadInput: it is not in the environment.
    :raises TempestFailure: it fails.
    """
    tool = tempest.program.with_name("discover-tempest-config")
    if not tool.is_file():
        raise BadInput(f"--discover tempestconf: python-tempestconf is not installed in {tempest.program.parents[1]}")
    user = administrator(merge(discovery.conf, given)) or ordinary_users(given)[0]
    auth = {"auth_url": discovery.conf["identity"]["uri_v3"], "username": user.name, "password": user.password,
            "project_name": user.project or discovery.conf["auth"].get("admin_project_name", ""),
            "user_domain_name": user.user_domain or "Default",
            "project_domain_name": user.project_domain or user.user_domain or "Default"}  # fmt: skip
    cloud = {"auth": auth, "region_name": discovery.conf["identity"].get("region"), "identity_api_version": "3"}
    folder = workspace.scratch / "home" / ".config" / "openstack"
    folder.mkdir(parents=True, exist_ok=True)
    with open_private(folder / "clouds.yaml") as file:
        json.dump({"clouds": {"refstack": cloud}}, file)
    out = workspace.scratch / "discovered.conf"
    words: list[str | Path] = [tool, "--os-cloud", "refstack", "--out", out]
    if discovery.accounts:
        words.append("--non-admin")
    with program(words, workspace.scratch / "run", workspace.environment(tempest)) as tool_run:
        said = b"".join(tool_run.communicate())
    if tool_run.returncode or not out.is_file():
        last = MASK.text(said.decode("utf-8", "replace")).strip().splitlines()[-1:] or ["nothing said"]
        raise TempestFailure(f"python-tempestconf ended with status {tool_run.returncode}: {last[0][:400]}")
    found = read_conf(out)
    # its own logging is none of the run's business: debug would put the bodies of all requests into the log
    found.pop("DEFAULT", None)
    return found


def read_conf(path: Path) -> Conf:
    """Read a ``tempest.conf`` back."""
    reader = configparser.RawConfigParser(strict=False, default_section="\0", interpolation=None)
    reader.optionxform = str  # type: ignore[assignment,method-assign]
    reader.read(path, encoding="utf-8")
    return {section: {option: _unwritten(value) for option, value in reader.items(section)}
            for section in reader.sections()}  # fmt: skip


@dataclass
class Report:
    """What ``summary.json`` says of a run."""

    settings: Settings
    began: float
    tempest_version: str = ""
    cpid: str = ""
    counts: Counts = field(default_factory=Counts)

    def write(self, exit_code: int, reason: str, message: str) -> None:
        """Write the summary into the work folder."""
        told = {
            "test_id": self.settings.test_id,
            "attempt": self.settings.attempt,
            "tempest_version": self.tempest_version,
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "seconds": round(time.time() - self.began, 3),
            "exit_code": exit_code,
            "reason": reason,
            "message": MASK.text(message),
            "cpid": self.cpid,
            "counts": vars(self.counts),
        }
        (self.settings.workdir / "summary.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def post_only(settings: Settings, voice: Voice) -> tuple[int, str, str]:
    """Post what an earlier call left behind."""
    if not (settings.workdir / "subunit").is_file():
        raise BadInput(f"--post-only: {settings.workdir} holds no result (no file named subunit)")
    voice.state("posting", str(settings.workdir))
    Server(settings).post(settings.workdir)
    return 0, "passed", "result posted"


def cleanup_only(settings: Settings, voice: Voice) -> tuple[int, str, str]:
    """Remove from the cloud what carries the prefix of a run, and what its log shows that it made."""
    assert settings.tempest_home is not None  # noqa: S101 - parse() saw to it
    workspace = Workspace(settings.workdir)
    try:
        given = cleanup_conf(settings, workspace)
        keystone = Keystone(given)
        discovery = discover(given, keystone)
        user = administrator(merge(discovery.conf, given)) or ordinary_users(given)[0]
        leftovers = Leftovers(keystone, user, settings.prefix, voice)
        tempest = Tempest.find(settings.tempest_home)
        conf = merge(discovery.conf, given)
        if not discovery.accounts and tempest.cleanup_prefix and offers_any(conf, CLEANED_BY_TEMPEST):
            workspace.create()
            forced = workspace.forced(settings.prefix)
            forced["DEFAULT"]["log_file"] = "cleanup.log"
            write_conf(workspace.conf, merge(conf, forced))
            tempest_cleanup(tempest, workspace, settings.prefix, leftovers.removal)
        leftovers.remove(workspace.folder, [workspace.tempest_log(), workspace.folder / "tempest.log"])
    finally:
        workspace.keep_log()
        if not settings.keep:
            workspace.remove()
    removal = leftovers.removal
    if removal.left:
        left = ", ".join(removal.left[:20])
        raise CloudFailure(f"{removal.removed} removed, {len(removal.left)} could not be: {left}")
    return 0, "passed", f"{removal.removed} leftovers removed, none left that carries {settings.prefix}"


def cleanup_conf(settings: Settings, workspace: Workspace) -> Conf:
    """The configuration of the run that left something: its own file if it is still there."""
    if workspace.conf.is_file():
        read = read_conf(workspace.conf)
        read["DEFAULT"] = {}
        return merge(check_conf(read, str(workspace.conf)), settings.conf_json)
    try:
        return given_conf(settings)
    except ServerFailure as error:
        # a run that is over is nobody to the server any more; the vendor's own part may be enough
        LOG.warning("%s; going on with --conf-json alone", error)
        return merge(COMMON, settings.conf_json)


def offers_any(conf: Conf, services: Iterable[str]) -> bool:
    """Tell whether a configuration says that the cloud has one of these services."""
    there = conf.get("service_available", {})
    return any(str(there.get(name, "")).lower() in ("true", "1", "yes", "on") for name in services)


def _unwritten(value: str) -> str:
    if len(value) > 1 and value[0] in "'\"" and value[0] == value[-1]:
        value = value[1:-1]
    return value.replace("$$", "$")


def tempest_cleanup(tempest: Tempest, workspace: Workspace, prefix: str, removal: Removal) -> None:
    """Let Tempest remove servers, volumes, networks and the like that carry the prefix."""
    words: list[str | Path] = [tempest.program, "cleanup", "--prefix", dashed(prefix), "--config-file", workspace.conf]
    env = workspace.environment(tempest)
    with program(words, workspace.scratch / "cleanup", env) as cleanup:
        said = b"".join(cleanup.communicate()).decode("utf-8", "replace")
    for line in said.splitlines():
        LOG.debug("tempest cleanup: %s", line)
    if cleanup.returncode:
        last = (said.strip().splitlines() or ["nothing said"])[-1]
        removal.failed("what tempest cleanup looks after", f"it ended with status {cleanup.returncode}: {last[:300]}")


if __name__ == "__main__":
    sys.exit(main())
