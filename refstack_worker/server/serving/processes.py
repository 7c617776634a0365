"""Several processes of the API that share one listening socket.

Each has its own interpreter, so they use several cores. One that ends is started again.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from refstack_worker import gearman
from refstack_worker.errors import ConfigError, RefstackError

LOG = logging.getLogger(__name__)

BACKLOG = 1024
LOOK_SECONDS = 0.5
"""Between two looks whether all processes live."""
PAUSE_SECONDS = 1.0
"""Before a process that ended is started again."""
STOP_SECONDS = 30.0
"""For the requests that are being answered when the service has to stop."""
_FORK = multiprocessing.get_context("fork")

Serve = Callable[[socket.socket, Callable[[], None]], None]
"""What a process does: it takes the listening socket, and what to call whenever it has answered its own request."""
IsWell = Callable[[float], None]


def listen(address: gearman.Address) -> socket.socket:
    """Return a socket that listens at an address. :raises ConfigError: it cannot."""
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(f"{address}: cannot listen there: {error}; is the port taken?") from error
    # each process is notified of a connection, and only the first one gets it
    listener.setblocking(False)
    return listener


class ApiProcesses:
    """Starts processes, starts those again that end, and ends them all."""

    def __init__(self, listener: socket.socket, serve: Serve, count: int, is_well: IsWell | None = None) -> None:
        """:param is_well: called repeatedly with how long, at most, a process has not answered its own request."""
        self._listener = listener
        self._is_well = is_well
        self._serve = serve
        self._processes: list[BaseProcess | None] = [None] * count
        self._start_at = [0.0] * count
        self._alive: Any = _FORK.Array("d", count, lock=False)
        """When each process last answered its own request; steady seconds, 0: never."""

    def run(self, stop: threading.Event, ready: Callable[[], None]) -> int:
        """Serve until ``stop`` is set; return the exit status.

        :param ready: called once all processes answer.
        """
        is_ready = False
        try:
            while not stop.is_set():
                for number in range(len(self._processes)):
                    self._keep(number)
                self._wait()
                if not is_ready and (status := self._failure()):
                    return status
                if not is_ready and all(self._alive):
                    is_ready = True
                    ready()
                if is_ready and self._is_well is not None:
                    self._is_well(time.monotonic() - min(self._alive))
        finally:
            self._end()
        return 0

    def _keep(self, number: int) -> None:
        """Start a process that does not run, unless it has just ended."""
        process = self._processes[number]
        if process is not None and process.exitcode is None:
            return
        if process is not None and not self._start_at[number]:
            LOG.error("process %d of the API ended with status %s; it is started again", number + 1, process.exitcode)
            self._start_at[number] = time.monotonic() + PAUSE_SECONDS
        if time.monotonic() < self._start_at[number]:
            return
        self._start_at[number] = 0.0
        self._alive[number] = 0.0
        started = _FORK.Process(target=self._child, args=(number,), name=f"api {number + 1}")
        started.start()
        self._processes[number] = started

    def _child(self, number: int) -> None:
        def alive() -> None:
            self._alive[number] = time.monotonic()

        # the parent's handlers came along with the fork, and would only tell the parent's copy of its event
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            self._serve(self._listener, alive)
        except RefstackError as error:
            LOG.error(error)
            sys.exit(error.exit_code)

    def _wait(self) -> None:
        """Wait a moment, or until a process ends."""
        wait([process.sentinel for process in self._processes if process and process.exitcode is None], LOOK_SECONDS)

    def _failure(self) -> int:
        """Return the status of a process that ended before all of them answered; 0: none has."""
        ended = (process.exitcode for process in self._processes if process is not None)
        return next((abs(status) or 1 for status in ended if status is not None), 0)

    def _end(self) -> None:
        running = [process for process in self._processes if process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                LOG.warning("process %s did not stop within %.0f s", process.name, STOP_SECONDS)
                process.kill()
                process.join()
