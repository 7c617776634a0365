"""The server's application on a ledger of its own, asked directly with what a fuzzer makes of a request.

The first line is ``METHOD WHO PATH``; lines ``Name: value`` follow, then an empty line and the body. WHO is ``o`` (a
token of an operator), ``v`` (of a vendor), ``w`` (the proof of an attempt that a worker holds) or anything else (none).
"""

from __future__ import annotations

import atexit
import io
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Flask

from refstack_worker.server.app import create_app
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.ledger.ledger import Ledger
from tests.fuzz import targets
from tests.support.ledgers import PASSWORD, claimed, make_settings, new_run

FRESH = 20_000
"""Requests after which a fresh ledger is used, so that what they leave does not make it slower and larger."""

NOT_HIDDEN = ("/get-miniconf",)
"""Paths that give the password to the holder of the proof, on purpose."""


def _no_network(*_: Any, **__: Any) -> Any:
    raise OSError("the fuzzer makes no outgoing requests")


class Site:
    """The application, and what it was given at the beginning."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="refstack-fuzz-site-", dir=targets.SHM))
        settings = {"RATE_LIMIT": 0, "SIGN_IN_LIMIT": 0, "EVENT_STREAMS": 0, "TESTING_HOSTS": ["127.0.0.1"]}
        self.settings = make_settings(self.folder, **settings)
        ledger = Ledger(self.settings)
        ledger.upgrade()
        vendor = ledger.accounts.add_vendor("Acme").id
        user = ledger.accounts.add_user("ann", "ann@x", vendor).id
        self.tokens = {
            b"o": ledger.tokens.add("op", ["operator"])[1],
            b"v": ledger.tokens.add("v", ["vendor"], user)[1],
        }
        conf = {"identity": {"password": PASSWORD}}
        ledger.clouds.add(NewCloud("Acme Cloud", "https://k.example/v3", user_id=user, conf_json=conf))
        ledger.runs.add(new_run(owner_id=user))
        self.tokens[b"w"] = claimed(ledger).token
        ledger.close()
        shutil.copy(self.folder / "ledger.sqlite", self.folder / "first.sqlite")
        self.asked = 0
        self.ledger: Ledger | None = None
        self.app = self._open()
        atexit.register(self.end)

    def _open(self) -> Flask:
        if self.ledger is not None:
            self.ledger.close()
        for leftover in self.folder.glob("ledger.sqlite*"):
            leftover.unlink()
        shutil.copy(self.folder / "first.sqlite", self.folder / "ledger.sqlite")
        self.ledger = Ledger(self.settings)
        return create_app(self.ledger)

    def call(self, environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
        self.asked += 1
        if self.asked % FRESH == 0:
            self.app = self._open()
        told: list[Any] = []
        answer = self.app(environ, lambda status, headers, *_: told.extend((status, headers)))  # type: ignore[arg-type]
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return int(told[0].split()[0]), told[1], body

    def end(self) -> None:
        if self.ledger is not None:
            self.ledger.close()
        shutil.rmtree(self.folder, ignore_errors=True)


_SITE: list[Site] = []


def ask(data: bytes) -> None:
    """Ask what the bytes say and judge the answer."""
    if not _SITE:
        socket.getaddrinfo = _no_network
        _SITE.append(Site())
    site = _SITE[0]
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, who, path = (first.split(b" ", 2) + [b"", b""])[:3]
    environ = _environ(method, path, body)
    for line in lines[:20]:
        name, colon, value = line.partition(b":")
        if colon:
            _add_header(environ, name, value)
    if who in site.tokens:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {site.tokens[who]}"
    status, headers, text = site.call(environ)
    if status >= 500:
        raise targets.Finding(f"{status} for {data[:300]!r}")
    if any("\n" in part or "\r" in part for header in headers for part in header):
        raise targets.Finding(f"a header with a line break: {headers}")
    if PASSWORD.encode() in text and not (who == b"w" and path.startswith(tuple(p.encode() for p in NOT_HIDDEN))):
        raise targets.Finding(f"a password is in the answer to {data[:300]!r}")


def _environ(method: bytes, path: bytes, body: bytes) -> dict[str, Any]:
    raw, _, query = path.partition(b"?")
    return {
        "REQUEST_METHOD": method.decode("latin-1").upper() or "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(raw).decode("latin-1") or "/",
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "refstack.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _add_header(environ: dict[str, Any], name: bytes, value: bytes) -> None:
    key = name.strip().decode("latin-1").upper().replace("-", "_")
    text = value.strip().decode("latin-1").replace("\r", "")
    if key == "CONTENT_TYPE":
        environ[key] = text
    elif key not in ("CONTENT_LENGTH", "AUTHORIZATION"):
        # a server takes these two itself: its own count of bytes, and who it is stands in the first line
        environ[f"HTTP_{key}"] = text
