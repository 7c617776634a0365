"""A small static web server on loopback that can misbehave as real ones do."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, with ranges; what ``server.faults`` names goes wrong as it says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path /= "index.html"
        fault = self.server.faults.get(path.name, "")
        if not path.is_file() or fault == "absent":
            return self.answer(404, b"")
        content = path.read_bytes()
        if fault == "flip":
            content = content[:-10] + bytes([content[-10] ^ 1]) + content[-9:]
        if fault == "longer":
            content += b"more"
        if fault == "error":
            return self.answer(500, b"")
        start = 0
        wanted = self.headers.get("Range")
        if wanted and fault != "no-ranges":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.answer(416, b"")
        whole = content[start:]
        if fault == "dies-once" and not wanted:
            return self.answer(200, whole, cut=len(whole) // 2)
        if fault == "dies":
            return self.answer(200, whole, cut=0 if wanted else len(whole) // 2)
        self.answer(206 if start else 200, whole)

    def answer(self, status: int, content: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def serving(folder: Path, wrap=None) -> Iterator[http.server.ThreadingHTTPServer]:
    """Serve a folder; ``wrap`` turns the listening socket into another (TLS)."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    server.faults, server.asked = {}, []
    if wrap:
        server.socket = wrap(server.socket)
    server.url = f"http{'s' if wrap else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
