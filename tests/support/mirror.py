"""What a machine without a network may fetch: Debian's packages through a cache, and folders of the test's own.

An HTTP proxy on the host. It lets through requests to Debian's mirror, serves named folders as if they were sites, and
refuses everything else, noting what was asked: so a test can prove that no package index was reached.
"""

from __future__ import annotations

import hashlib
import os
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from refstack_worker.builder.chroots import MIRROR, default_cache

SITE = "packages.refstack.test"
"""Host name under which the folder of a test's repository is served."""


class Mirror:
    """The proxy; a context manager."""

    def __init__(self, site: Path | None = None) -> None:
        """:param site: folder served as ``http://packages.refstack.test/``."""
        self.sites = {SITE: site} if site else {}
        self.refused: list[str] = []
        """Addresses that were asked for and are neither Debian's nor a folder of the test."""
        self.served: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                mirror.answer(self)

            def do_CONNECT(self) -> None:
                mirror.refused.append(self.path)
                self.send_error(403)

            do_HEAD = do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> Mirror:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request of a client that takes this for its proxy."""
        url = urlsplit(request.path)
        site = self.sites.get(url.hostname or "")
        self.served.append(request.path)
        if site is not None:
            path = (site / unquote(url.path).lstrip("/")).resolve()
            good = path.is_file() and path.is_relative_to(site.resolve())
            self._send(request, path if good else None)
        elif url.hostname == urlsplit(MIRROR).hostname:
            self._send(request, self._debian(request.path))
        else:
            self.refused.append(request.path)
            request.send_error(403, "this network has nothing but Debian and the test's repository")

    def _debian(self, url: str) -> Path | None:
        folder = default_cache() / "mirror"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / hashlib.sha256(url.encode()).hexdigest()
        lasting = "/pool/" in url or "/by-hash/" in url
        if not (lasting and path.exists()):
            part = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
            try:
                with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 - Debian's mirror alone
                    part.write_bytes(answer.read())
            except urllib.error.HTTPError:
                return None
            part.rename(path)
        return path

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, path: Path | None) -> None:
        if path is None:
            request.send_error(404)
            return
        data = path.read_bytes()
        with suppress(ConnectionError):
            request.send_response(200)
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(data)
