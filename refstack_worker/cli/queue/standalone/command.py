"""``refstack-queue standalone``: the whole on one machine, with the parts and on the paths of a fleet."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from cliff.command import Command

from refstack_worker import process
from refstack_worker.cli.queue.numbers import count, port
from refstack_worker.cli.queue.serve import until_signal
from refstack_worker.cli.queue.standalone.files import TOKEN_NAME, Folder, Wish, owned, prepare, write
from refstack_worker.config.server import ServerSettings
from refstack_worker.contract.scopes import OPERATOR
from refstack_worker.errors import ConfigError
from refstack_worker.gearman import Address
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.service import Services

LOG = logging.getLogger(__name__)

WORKER_STOP_SECONDS = 45.0
"""For the worker to hand back what it runs and to clean up."""
RESTART_SECONDS = (1.0, 60.0)
"""Before a worker that ended by itself is started again: at first, and at most."""
LOOK_SECONDS = 0.2


class Standalone(Command):
    """Run everything on this machine: queue, HTTP server, monitor and one worker.

    The folder holds the settings of both sides (refstack.cfg, worker.toml), the keys, the database, an operator's token
    and the worker's log; it is created at the first start and used again by later ones.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="folder for all files")
        parser.add_argument("--port", type=port, default=0, help="port of the HTTP server; default: a free one")
        parser.add_argument(
            "--locks", type=Path, action="append", default=[], metavar="DIR",
            help="folder with VERSION/pylock.*.toml and wheels, as written by refstack-package lock; may be repeated",
        )  # fmt: skip
        parser.add_argument("--slots", type=count, default=0, help="parallel runs; default: 1")
        parser.add_argument("--no-worker", action="store_true", help="do not start a worker")
        parser.add_argument(
            "--prepare", action="store_true", help="only create the folder, to edit its files before the first start"
        )
        parser.add_argument(
            "--ready-file", type=Path, metavar="FILE",
            help="write a line of JSON (url, token_file, gearman, pid, folder) to this file when everything is running",
        )  # fmt: skip
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        folder = Folder(parsed_args.folder.absolute())
        with owned(folder), until_signal() as stop:
            for locks in parsed_args.locks:
                if not locks.is_dir():
                    raise ConfigError(f"--locks: {locks}: no such folder; 'refstack-package lock' makes one")
            wish = Wish(parsed_args.port, parsed_args.locks, parsed_args.slots)
            settings = prepare(folder, wish)
            token(folder, settings)
            if not parsed_args.prepare:
                self._serve(folder, settings, parsed_args, stop)

    def _serve(
        self, folder: Folder, settings: ServerSettings, parsed_args: argparse.Namespace, stop: threading.Event
    ) -> None:
        with Services(settings) as services:
            services.serve_queue(settings.queue.servers[0])
            url = services.serve_http(_address_of(settings))
            services.watch()
            ready = json.dumps(
                {
                    "url": url,
                    "token_file": str(folder.token),
                    "gearman": str(settings.queue.servers[0]),
                    "pid": os.getpid(),
                    "folder": str(folder.path),
                }
            )
            with contextlib.nullcontext() if parsed_args.no_worker else WorkerProcess(folder) as worker:
                self.app.stdout.write(f"{url} (token: {folder.token}); Ctrl-C ends it\n")
                self.app.stdout.flush()
                if parsed_args.ready_file:
                    write(parsed_args.ready_file, ready + "\n", 0o644)
                while not stop.wait(LOOK_SECONDS):
                    if worker:
                        worker.look_after()


class WorkerProcess:
    """The worker's process: started, started again when it ends by itself, ended with its whole group."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self._pause = RESTART_SECONDS[0]

    def __enter__(self) -> WorkerProcess:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(WORKER_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            LOG.warning("the worker did not end within %g s and is killed", WORKER_STOP_SECONDS)
        process.kill_group(self._process.pid)
        self._process.wait()

    def look_after(self) -> None:
        """Start the worker again if it has ended, after a pause that grows."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            status = self._process.returncode
            LOG.error("the worker ended with status %s; its log is %s", status, self._folder.log)
            process.kill_group(self._process.pid)
            self._process = None
            self._not_before = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, RESTART_SECONDS[1])
        if time.monotonic() >= self._not_before:
            self._start()

    def _start(self) -> None:
        config = str(self._folder.worker_settings)
        words = [sys.executable, "-m", "refstack_worker.cli.worker.main", "--config", config, "run"]
        with open(self._folder.log, "ab") as log:
            self._process = process.start(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                # a stand-alone queue that is killed must not leave its worker behind
                preexec_fn=partial(process.end_with_parent, os.getpid(), signal.SIGTERM),
            )  # fmt: skip


def token(folder: Folder, settings: ServerSettings) -> None:
    """Bring the database to the newest revision and make the operator's token, unless the one in the folder is good."""
    ledger = Ledger(settings)
    try:
        ledger.upgrade()
        known = folder.token.read_text("ascii").strip() if folder.token.exists() else ""
        if not known or ledger.tokens.find(known) is None:
            _made, secret = ledger.tokens.add(TOKEN_NAME, [OPERATOR])
            write(folder.token, secret + "\n", 0o600)
    finally:
        ledger.close()


def _address_of(settings: ServerSettings) -> Address:
    scheme, _, rest = settings.web.address.partition("://")
    if scheme != "http" or "/" in rest:
        raise ConfigError(f"APP_ADDRESS {settings.web.address}: must be http://HOST:PORT")
    return Address.parse(rest, 80)
