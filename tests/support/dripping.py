"""A server that sends one byte of its answer now and then, for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def dripping(head: bytes = HEAD, pause: float = 0.05) -> Iterator[str]:
    """Serve while the context lasts; gives the URL.

    :param head: what is sent at once.
    :param pause: seconds between two bytes.
    """
    listener, stop = socket.create_server(("127.0.0.1", 0), backlog=128), threading.Event()

    def drip(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            peer.sendall(head)
            while not stop.wait(pause):
                peer.sendall(b"x")

    def serve() -> None:
        with suppress(OSError):
            while not stop.is_set():
                peer, _address = listener.accept()
                threading.Thread(target=drip, args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.close()
