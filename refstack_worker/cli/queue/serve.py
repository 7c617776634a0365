"""``refstack-queue api`` and ``monitor``: the services of the server's side, as long as they are wanted."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from cliff.command import Command

from refstack_worker import systemd
from refstack_worker.cli.queue.ledger_access import settings_of
from refstack_worker.errors import UsageError
from refstack_worker.gearman import Address
from refstack_worker.server.service import Services

LOG = logging.getLogger(__name__)

LISTEN = "127.0.0.1:8000"
ALIVE = "/static/icon.svg"


class ServeApi(Command):
    """Serve HTTP: the web page, the API, and what testers and workers call.

    For more than one process use a WSGI server: its application is refstack_worker.server.app:application().
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_listen(parser)
        parser.add_argument("--ready-file", type=Path, help="write the URL to this file as soon as it answers")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        services = Services(settings_of(self.app))
        with until_signal() as stop, services:
            url = services.serve_http(parsed_args.listen)
            LOG.info("serving %s", url)
            if parsed_args.ready_file:
                parsed_args.ready_file.write_text(url + "\n")
            systemd.notify(READY="1", STATUS=f"serving {url}")
            wait_alive(stop, url)
            systemd.notify(STOPPING="1")


class MonitorQueue(Command):
    """Watch over the runs: submit, find what was lost, end what takes too long. Several at once do no harm."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        services = Services(settings_of(self.app))
        with until_signal() as stop, services:
            LOG.info("watching over the runs of this ledger")
            systemd.notify(READY="1")
            services.monitor().run(stop, alive=lambda: systemd.notify(WATCHDOG="1"))
            systemd.notify(STOPPING="1")


def wait_alive(stop: threading.Event, url: str) -> None:
    """Wait for ``stop``; meanwhile ask this process's own HTTP server, and tell systemd's watchdog when it answers.

    The request needs no database, so one that is away causes no restart. Without a watchdog nothing is sent.
    """
    pause = systemd.watchdog_seconds() / 2
    while not stop.wait(pause or None):
        try:
            requests.head(f"{url}{ALIVE}", timeout=pause, allow_redirects=False).close()
            systemd.notify(WATCHDOG="1")
        except requests.RequestException as error:
            LOG.error("this process does not answer its own request: %s", error)


def add_listen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", type=listening, default=listening(LISTEN), metavar="HOST:PORT", help=f"default: {LISTEN}"
    )


def listening(text: str) -> Address:
    """Return the address to listen on. :raises ConfigError: it is none."""
    return Address.parse(text, 8000)


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
