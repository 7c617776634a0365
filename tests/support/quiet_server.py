"""An HTTP server for tests whose callers are killed in the middle of a call."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from typing import Any


class QuietServer(ThreadingHTTPServer):
    """Says nothing of a connection that breaks; its threads keep no process alive."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Nothing: that the caller is gone is what the test is about."""
