"""Builds the environment of a run in a thread of its own, so that a stop request takes effect during the build.

The first environment of a version is tested by having Tempest list its tests, which takes seconds. If the attempt has
to end meanwhile, those processes end too.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from refstack_worker.environments.environment import BuiltEnvironment, Environment
from refstack_worker.errors import RefstackError, StoreError
from refstack_worker.worker import logs

LOG = logging.getLogger(__name__)

POLL_SECONDS = 0.02


class EnvironmentBuild:
    """``with EnvironmentBuild(...) as build: built = build.wait(given_up)``; leaving it removes the environment."""

    def __init__(self, folder: Path, make: Callable[[], Environment]) -> None:
        self._folder = folder
        self._make = make
        self._done = threading.Event()
        self._environment: Environment | None = None
        self._built: BuiltEnvironment | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._build, args=(logs.RUN.get(),), name="environment", daemon=True)

    def __enter__(self) -> EnvironmentBuild:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        while self._thread.is_alive():
            end_processes_of(self._folder)
            self._thread.join(POLL_SECONDS)
        if self._built is not None and self._environment is not None:
            try:
                self._environment.remove()
            except RefstackError as error:
                LOG.error("%s; remove it by hand", error)

    def wait(self, given_up: threading.Event) -> BuiltEnvironment | None:
        """Return the environment, or None if ``given_up`` was set first.

        :raises EnvironmentBuildError: it cannot be built.
        """
        while not self._done.wait(POLL_SECONDS):
            if given_up.is_set():
                return None
        if self._error is not None:
            raise self._error
        return self._built

    def _build(self, run: str) -> None:
        with logs.about(run):
            try:
                self._environment = self._make()
                self._built = self._environment.__enter__()
            except RefstackError as error:
                self._error = error
            except OSError as error:
                self._error = StoreError(f"environment: {error}")
            except Exception as error:  # a bug must not leave the run waiting for ever
                LOG.exception("the environment cannot be built")
                self._error = StoreError(f"environment: {type(error).__name__}: {error}")
            finally:
                self._done.set()


def end_processes_of(folder: Path) -> None:
    """Kill the programs of an abandoned environment, found by its path on their command lines.

    A program that is just being started has no command line for a moment: the caller repeats the call until its own
    work has ended.
    """
    marker = os.fsencode(folder) + b"/"
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):
                if marker in Path(f"/proc/{name}/cmdline").read_bytes():
                    os.kill(int(name), signal.SIGKILL)
