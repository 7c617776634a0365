"""The server's side put together: ledger, queue client, HTTP, monitor, and for one machine the queue itself."""

from __future__ import annotations

import logging
import resource
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from refstack_worker import gearman
from refstack_worker.config.server import ServerSettings
from refstack_worker.errors import ConfigError
from refstack_worker.server.app import create_app
from refstack_worker.server.db.clock import Clocks
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.monitor.liveness import Liveness, api_answers
from refstack_worker.server.monitor.monitor import USUAL_PACE, Monitor, Pace
from refstack_worker.server.notify.notifier import Notifier
from refstack_worker.server.queue.client import QueueClient
from refstack_worker.server.serving.http_server import Listening, http_server

LOG = logging.getLogger(__name__)

STOP_SECONDS = 10.0
"""For requests that are being answered when the service has to stop."""


class Services:
    """The parts of one process on the same settings; a context manager that ends what was begun, the last first."""

    def __init__(self, settings: ServerSettings) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold passwords
        self.settings = settings
        self._begun = ExitStack()
        self.ledger = Ledger(settings)
        self._begun.callback(self.ledger.close)
        self.client = QueueClient(settings)
        self._begun.callback(self.client.close)

    def __enter__(self) -> Services:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._begun.close()

    def serve_http(self, address: gearman.Address) -> str:
        """Answer HTTP requests in threads of this process and return the URL. :raises ConfigError: no such address."""
        server = self._serve(address)
        # a host name with several addresses gives waitress's multi-socket server, which has no single port
        port = getattr(server, "effective_port", None) or server.effective_listen[0][1]
        return f"http://{gearman.Address(address.host, int(port))}"

    def serve_sockets(self, listeners: Sequence[socket.socket]) -> None:
        """Answer the requests that come to sockets, which other processes may share."""
        self._serve(listeners)

    def _serve(self, listening: Listening) -> Any:
        server = http_server(create_app(self.ledger, self.client), listening, self.settings)
        thread = threading.Thread(target=server.run, name="http", daemon=True)
        thread.start()

        def end() -> None:
            server.task_dispatcher.shutdown(cancel_pending=True, timeout=STOP_SECONDS)
            server.close()

        self._begun.callback(end)
        return server

    def monitor(self, pace: Pace = USUAL_PACE) -> Monitor:
        """Return a monitor; the caller runs it."""
        settings = self.ledger.settings
        clocks = Clocks(wall=self.ledger.clock)
        liveness = Liveness(settings.rules.heartbeat_limit, api_answers(settings.web.address), clocks)
        return Monitor(self.ledger, self.client, pace, liveness)

    def watch(self, pace: Pace = USUAL_PACE) -> None:
        """Run a monitor in a thread of this process, and what sends notifications in another."""
        self._in_thread("monitor", self.monitor(pace).run)
        self.notify()

    def notify(self) -> None:
        """Send notifications in a thread of this process."""
        self._in_thread("notifier", Notifier(self.ledger).run)

    def _in_thread(self, name: str, run: Callable[[threading.Event], None]) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=run, args=(stop,), name=name, daemon=True)
        thread.start()

        def end() -> None:
            stop.set()
            thread.join(STOP_SECONDS)

        self._begun.callback(end)

    def serve_queue(self, address: gearman.Address) -> None:
        """Be the Gearman server: gear's own, in threads of this process. :raises ConfigError: no such address."""
        try:
            server = gearman.Server(port=address.port, host=address.host, **gearman.KEEPALIVE)
        except Exception as error:
            # gear raises a bare Exception when it cannot listen
            raise ConfigError(f"{address}: the queue cannot listen there: {error}; is the port taken?") from error
        self._begun.callback(server.shutdown)
