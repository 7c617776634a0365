"""waitress around the application, so that no client stops the fleet: workers' calls have threads of their own, large
bodies are taken only for results, and what bodies take of the disk is bounded.

waitress reads a whole body, to a file when it is large, before the application is asked. Without a limit for each path
and for all together, anybody could fill the disk.
"""

from __future__ import annotations

import logging
import resource
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import waitress
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import BadRequest, Error

from refstack_worker import gearman
from refstack_worker.config.server import ServerSettings
from refstack_worker.errors import ConfigError
from refstack_worker.server import auth
from refstack_worker.server.serving.responses import MAX_CALL_BODY as MAX_BODY

# waitress warns of every request that waits for a thread, if only for a millisecond: thousands of lines in an hour
logging.getLogger("waitress.queue").setLevel(logging.ERROR)

THREADS = 20
"""Requests of users that one process answers at the same time; slow clients hold none until they are complete. All live
streams and slow calls together leave some for calls that take no time."""
WORKER_THREADS = 6
"""The same for calls of workers, which users' calls cannot take."""
RESULT_THREADS = 4
"""The same for results: a large one is read for minutes, while heartbeats are to be answered at once."""
WORKER_PATHS = ("/worker/", "/update-test-status", "/get-miniconf", "/get-testcases", "/health")
RESULT_PATH = "/post-result"
MAX_CONNECTIONS = 8192
"""That one process keeps open. waitress's own limit is 100, and beyond it no request is answered until a client
leaves: a fleet of 50 nodes with a run each has that many, most of them idle."""
SWITCH_SECONDS = 0.0005
"""After which a thread that waits for the interpreter gets it, in place of Python's 0.005: where many users' threads
calculate, a heartbeat waits for each of them, and several times."""
MAX_OF_ADDRESS = 512
"""Connections of one address that is neither a testing host nor a proxy; such addresses together have half of all."""
OTHER_FILES = 256
"""Open files that are kept for all else: database, uploads, live streams."""
MEBIBYTE = 1024 * 1024
FREE_BODY = 64 * 1024
"""Bodies up to this size stay in memory and are not counted."""
MAX_PIECE_LINE = 16 * 1024
"""Bytes of a line between the pieces of a body without a length, and of what follows them. waitress copies the whole
for every few kilobytes that come, in the thread that reads for all connections."""
MAX_BODIES = 256 * MEBIBYTE
"""Limit for all bodies in transit together, except results from testing hosts. An address that is neither a testing
host nor a proxy may have a quarter of it, and all such together three."""
RESULTS_FROM_ELSEWHERE = 2
"""Results in transit from other addresses than the testing hosts."""


class Busy(Error):  # type: ignore[misc]
    """Too much is in transit already."""

    code = 503
    reason = "Service Unavailable"


class TooLarge(Error):  # type: ignore[misc]
    """A body that this call does not take."""

    code = 413
    reason = "Request Entity Too Large"


@dataclass
class BodyLimits:
    """What bodies in transit take together, and how many connections strangers have."""

    settings: ServerSettings
    total: int = 0
    results: int = 0
    strangers: Counter[str] = field(default_factory=Counter)
    """Bytes of ``total``, by the stranger's network."""
    connections: Counter[str] = field(default_factory=Counter)
    """Of each stranger's address; only the thread that accepts and closes them looks here."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def admits(self, peer: str) -> bool:
        """Count a stranger's connection; return whether it may stay."""
        own = self.connections[peer]
        if own >= MAX_OF_ADDRESS or sum(self.connections.values()) >= connection_limit() // 2:
            return False
        self.connections[peer] = own + 1
        return True

    def forget(self, peer: str) -> None:
        """Count a stranger's connection no more."""
        self.connections -= Counter({peer: 1})

    def refusal(self, request: Request, peer: str) -> Error | None:
        """Count a request whose header has come; return why its body is not taken."""
        size = request.content_length or (MAX_BODY if request.chunked else 0)
        if size <= FREE_BODY:
            return None
        if request.is_result and self.is_testing_host(peer):
            return None
        with self.lock:
            if request.is_result:
                if self.results >= RESULTS_FROM_ELSEWHERE:
                    return Busy("too many uploads are running; try again later")
                self.results += 1
                request.held = lambda: self._free(0, 1, "")
                return None
            if size > MAX_BODY:
                return TooLarge(f"the body may have at most {MAX_BODY} bytes")
            who = "" if self.is_testing_host(peer) else auth.network_of(auth.address_in(peer))
            if self.total + size > MAX_BODIES or (who and not self._is_room_for_stranger(who, size)):
                return Busy("too much is being received; try again later")
            self.total += size
            if who:
                self.strangers[who] += size
            request.held = lambda: self._free(size, 0, who)
        return None

    def _is_room_for_stranger(self, who: str, size: int) -> bool:
        """Return whether a body fits: a stranger that sends slowly holds its part for as long as it likes."""
        share = MAX_BODIES // 4
        return self.strangers[who] + size <= share and sum(self.strangers.values()) + size <= 3 * share

    def is_testing_host(self, peer: str) -> bool:
        """Return whether a connection comes from a worker, or through a proxy in front of the server."""
        address, web = auth.address_in(peer), self.settings.web
        networks = (*web.testing_hosts, *web.trusted_proxies)
        return address is not None and auth.is_in(address, networks)

    def _free(self, size: int, results: int, who: str) -> None:
        with self.lock:
            self.total -= size
            self.results -= results
            self.strangers -= Counter({who: size})


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request on its way in, which refuses its body as soon as the header has come."""

    limits: BodyLimits
    error: Error | None
    completed: bool
    path = ""
    """Empty also of a request whose header cannot be read."""
    peer = ""
    held: Callable[[], None] | None = None
    refused: Error | None = None
    is_result = False

    def parse_header(self, header_plus: bytes) -> None:
        """Read the header, and look whether the body may come. :raises ParsingError: it cannot be read."""
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # of an address like http://[, which waitress leaves to its caller
            raise ParsingError(str(error)) from error
        self.is_result = self.command == "POST" and self.path.rstrip("/") == RESULT_PATH
        self.refused = self.limits.refusal(self, self.peer)

    def received(self, data: bytes) -> int:
        """Take bytes; what is refused is complete with its header, and the connection closes."""
        taken: int = super().received(data)
        if self.chunked and not self.completed:
            self.refused = self.refused or self._too_much_in_pieces()
        if self.refused is not None and self.error is None:
            self.error, self.completed = self.refused, True
        return taken

    def _too_much_in_pieces(self) -> Error | None:
        """Return what is wrong with a body that came without a length, as far as it came."""
        if not self.is_result and self.body_bytes_received > MAX_BODY:
            return TooLarge(f"the body may have at most {MAX_BODY} bytes")
        pieces = self.body_rcv
        if max(len(getattr(pieces, "control_line", b"")), len(getattr(pieces, "trailer", b""))) > MAX_PIECE_LINE:
            return BadRequest("a line between the pieces of the body is too long")
        return None

    def close(self) -> None:
        """Give back what it held."""
        held, self.held = self.held, None
        if held is not None:
            held()
        super().close()

    def __del__(self) -> None:
        held, self.held = self.held, None
        if held is not None:
            held()


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection; its requests are read with the limits of its server."""

    limits: BodyLimits
    request: Request | None
    counted_as = ""
    """Address of a stranger whose connection it is."""

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None) -> None:  # noqa: A002 - waitress's
        super().__init__(server, sock, addr, adj, map=map)
        # without a limit, connections of anyone that say nothing would keep workers from connecting
        if isinstance(addr, tuple) and not self.limits.is_testing_host(str(addr[0])):
            if self.limits.admits(str(addr[0])):
                self.counted_as = str(addr[0])
            else:
                self.handle_close()

    def parser_class(self, adj: Any) -> Request:
        """Return the parser of the next request."""
        request = Request(adj)
        request.limits = self.limits
        address = self.addr
        request.peer = str(address[0]) if isinstance(address, tuple) else str(address)
        return request

    def handle_close(self) -> None:
        """Give back what the request held that was on its way in."""
        super().handle_close()
        stranger, self.counted_as = self.counted_as, ""
        if stranger:
            self.limits.forget(stranger)
        request, self.request = self.request, None
        if request is not None:
            request.close()

    @property
    def path(self) -> str:
        """Path of the request that waits."""
        return str(self.requests[0].path) if self.requests else ""


class RequestDispatcher:
    """Gives requests to threads: a few are reserved for workers and for results, the rest serve all others."""

    def __init__(self) -> None:
        self._users, self._workers, self._results = (ThreadedTaskDispatcher() for _ in range(3))
        self._users.set_thread_count(THREADS)
        self._workers.set_thread_count(WORKER_THREADS)
        self._results.set_thread_count(RESULT_THREADS)

    def add_task(self, channel: Channel) -> None:
        """Answer the next request of a connection."""
        path = channel.path
        if path.rstrip("/") == RESULT_PATH:
            self._results.add_task(channel)
        else:
            (self._workers if path.startswith(WORKER_PATHS) else self._users).add_task(channel)

    def set_thread_count(self, _count: int) -> None:
        """Ignore the number that waitress asks for."""

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        return all([one.shutdown(cancel_pending, timeout) for one in (self._users, self._workers, self._results)])


Listening = Union[gearman.Address, Sequence[socket.socket]]
"""Where a server listens: an address, or sockets that listen already."""


def http_server(application: Callable[..., Any], listening: Listening, settings: ServerSettings) -> Any:
    """Return waitress around a WSGI application, listening, in a process that switches threads quickly.

    :raises ConfigError: it cannot listen there.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    limits = BodyLimits(settings)
    sockets: dict[int, Any] = {}
    try:
        server = waitress.create_server(
            application,
            sockets,
            _dispatcher=RequestDispatcher(),
            **_where(listening),
            threads=THREADS,
            connection_limit=connection_limit(),
            # select() knows no file number above 1023
            asyncore_use_poll=True,
            ident="refstack",
            max_request_body_size=settings.web.max_post_bytes,
            # the application itself decides which proxies it believes
            clear_untrusted_proxy_headers=False,
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"{listening}: cannot listen there: {error}; is the port taken?") from error
    for one in sockets.values():
        if hasattr(one, "channel_class"):
            one.channel_class = type("LimitedChannel", (Channel,), {"limits": limits})
    return server


def _where(listening: Listening) -> dict[str, Any]:
    if isinstance(listening, gearman.Address):
        return {"host": listening.host, "port": listening.port}
    return {"sockets": list(listening)}


def connection_limit() -> int:
    """Return how many connections this process may keep open: as many as its limit of open files has room for."""
    files, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = MAX_CONNECTIONS if files == resource.RLIM_INFINITY else files - OTHER_FILES
    return max(100, min(MAX_CONNECTIONS, room))
