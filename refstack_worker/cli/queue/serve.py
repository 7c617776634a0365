"""``refstack-queue api`` and ``monitor``: the services of the server's side, as long as they are wanted."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from cliff.command import Command

from refstack_worker import systemd
from refstack_worker.cli.queue.ledger_access import settings_of
from refstack_worker.config.server import ServerSettings
from refstack_worker.errors import ConfigError, UsageError
from refstack_worker.gearman import Address
from refstack_worker.server.service import Services
from refstack_worker.server.serving import processes, request_metrics

LOG = logging.getLogger(__name__)

LISTEN = "127.0.0.1:8000"
ALIVE = "/static/icon.svg"
MAX_PROCESSES = 64
ASK_SECONDS = 1.0
"""Between two looks of a process at itself, where several serve one address."""
ASK_TIMEOUT = 30.0


class ServeApi(Command):
    """Serve the web pages, the API and the calls of workers over HTTP."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_listen(parser)
        parser.add_argument("--ready-file", type=Path, help="write the URL to this file once the server responds")
        parser.add_argument(
            "--processes", type=int, default=1, metavar="N", help="processes that share the address; default: 1"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Serve until a signal comes; return the exit status."""
        if not 1 <= parsed_args.processes <= MAX_PROCESSES:
            raise UsageError(f"--processes: 1 to {MAX_PROCESSES} are possible")
        if parsed_args.processes > 1:
            return self._serve_in_processes(parsed_args)
        services = Services(settings_of(self.app))
        with until_signal() as stop, services:
            url = services.serve_http(parsed_args.listen)
            LOG.info("serving %s", url)
            if parsed_args.ready_file:
                parsed_args.ready_file.write_text(url + "\n")
            systemd.notify(READY="1", STATUS=f"serving {url}")
            wait_alive(stop, url)
            systemd.notify(STOPPING="1")
        return 0

    def _serve_in_processes(self, parsed_args: argparse.Namespace) -> int:
        address: Address = parsed_args.listen
        listener = processes.listen(address)
        url = f"http://{Address(address.host, listener.getsockname()[1])}"

        def ready() -> None:
            LOG.info("serving %s with %d processes", url, parsed_args.processes)
            if parsed_args.ready_file:
                parsed_args.ready_file.write_text(url + "\n")
            systemd.notify(READY="1", STATUS=f"serving {url} with {parsed_args.processes} processes")

        serve = functools.partial(serve_process, settings_of(self.app))
        with tempfile.TemporaryDirectory(prefix="refstack-metrics-") as shared, listener, until_signal() as stop:
            request_metrics.share(Path(shared))
            status = processes.ApiProcesses(listener, serve, parsed_args.processes, tell_watchdog).run(stop, ready)
            systemd.notify(STOPPING="1")
        return status


def tell_watchdog(silent: float) -> None:
    """Tell systemd that all is well, unless a process has not answered for too long."""
    limit = systemd.watchdog_seconds()
    if limit and silent < limit / 2:
        systemd.notify(WATCHDOG="1")


def serve_process(settings: ServerSettings, listener: socket.socket, alive: Callable[[], None]) -> None:
    """Be one of several processes that answer a socket's requests.

    :param alive: called when this process answers requests, and again and again as long as it does.
    """
    parent = os.getppid()
    # the shared socket would show whether any process answers; this one is asked through one of its own
    with socket.create_server(("127.0.0.1", 0)) as own, until_signal() as stop, Services(settings) as services:
        services.serve_sockets((listener, own))
        url = f"http://127.0.0.1:{own.getsockname()[1]}"
        while not stop.is_set() and os.getppid() == parent:
            if answers(url, ASK_TIMEOUT):
                alive()
            stop.wait(ASK_SECONDS)


class MonitorQueue(Command):
    """Run the monitor: it submits recorded runs, detects lost attempts, and ends runs that take too long.

    It also sends notifications and starts scheduled runs. Several monitors may run at once.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        services = Services(settings_of(self.app))
        with until_signal() as stop, services:
            LOG.info("watching over the runs of this ledger")
            services.notify()
            systemd.notify(READY="1")
            services.monitor().run(stop, alive=lambda: systemd.notify(WATCHDOG="1"))
            systemd.notify(STOPPING="1")


def wait_alive(stop: threading.Event, url: str) -> None:
    """Wait for ``stop``; meanwhile ask this process's own HTTP server, and tell systemd's watchdog when it answers.

    The request needs no database, so one that is away causes no restart. Without a watchdog nothing is sent.
    """
    pause = systemd.watchdog_seconds() / 2
    while not stop.wait(pause or None):
        if answers(url, pause):
            systemd.notify(WATCHDOG="1")


def answers(url: str, seconds: float) -> bool:
    """Return whether this process's HTTP server answers within some seconds, whatever it says."""
    try:
        requests.head(f"{url}{ALIVE}", timeout=seconds, allow_redirects=False).close()
        return True
    except requests.RequestException as error:
        LOG.error("this process does not answer its own request: %s", error)
        return False


def add_listen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", type=listening, default=listening(LISTEN), metavar="HOST:PORT", help=f"default: {LISTEN}"
    )


def listening(text: str) -> Address:
    """Return the address to listen on. :raises ArgumentTypeError: it is not one, or its host name is unknown."""
    try:
        address = Address.parse(text, 8000)
    except ConfigError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HOST:PORT (e.g. {LISTEN} or [::1]:8000; ports are 1 to 65535)"
        ) from None
    if address.host != "*":
        try:
            socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise argparse.ArgumentTypeError(f"{address.host!r}: no such host name: {error.strerror}") from None
    return address


@contextmanager
def until_signal() -> Iterator[threading.Event]:
    """Give an event that TERM or INT sets; the signals' former meaning is restored at the end."""
    stop = threading.Event()

    def set_stop(signum: int, _frame: Any) -> None:
        LOG.info("stopping: %s", signal.Signals(signum).name)
        stop.set()

    former: dict[int, Any] = {}
    try:
        for signum in (signal.SIGTERM, signal.SIGINT):
            former[signum] = signal.signal(signum, set_stop)
    except ValueError:
        raise UsageError("a service runs in the main thread of its process") from None
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
