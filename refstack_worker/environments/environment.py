"""An environment: a virtualenv with one exact Tempest, there for the time of a run.

    with Environment(catalogue.find(Want(version="47.0.0")), settings, folder) as built:
        ...  # built.python, built.bin / "tempest"

Made of a seedless virtualenv and links into the store, in milliseconds; gone afterwards, also when making it fails.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments import test_listing
from refstack_worker.environments.catalogue import Offer
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.layout import saved_link_plan
from refstack_worker.environments.layout.base_virtualenv import BaseVirtualenv, base_virtualenv_of, make_open_folder
from refstack_worker.environments.layout.saved_link_plan import SavedLinkPlan
from refstack_worker.environments.lock import Lock
from refstack_worker.environments.store import leases
from refstack_worker.environments.store.verify import Store
from refstack_worker.errors import EnvironmentBuildError, RefstackError, VersionUnavailableError
from refstack_worker.filesystem import disk_errors, remove_tree

LOG = logging.getLogger(__name__)

ATTEMPTS = 4
"""How often entries are fetched again when a clean-up takes them between fetching and leasing."""

_TURN = threading.BoundedSemaphore(2)
"""Making one is hundreds of tiny system calls, and threads that do it at once wait for the interpreter at every one.

Two at a time fill each other's waits; with more the whole takes longer again: sixteen take 56 ms one at a time, 41 two
at a time, 59 four at a time (medians of 20, on 4 cores)."""


@dataclass(frozen=True)
class BuiltEnvironment:
    """An environment that is ready."""

    path: Path
    tempest_version: str
    tests: int
    """Tests that it lists."""
    names_file: Path | None = None
    """Their names, one per line; None if they are not known."""

    @property
    def bin(self) -> Path:
        return self.path / "bin"

    @property
    def python(self) -> Path:
        return self.bin / "python"


class Environment:
    """Makes the environment of an offer in ``folder``, which must not exist, and removes it afterwards.

    One that cannot be made is removed too, unless ``settings.keep_failed``.
    """

    def __init__(self, offer: Offer, settings: EnvironmentSettings, folder: Path) -> None:
        self.offer = offer
        self.settings = settings
        self.folder = folder.absolute()
        self.store = Store(settings.store)
        self._begun = False
        self._lease: leases.Lease | None = None

    def __enter__(self) -> BuiltEnvironment:
        """Make it.

        :raises VersionUnavailableError: the offer cannot be built here.
        :raises EnvironmentBuildError: a wheel, the lock, the store or the disk is at fault; the class says which.
        """
        lock, interpreter = self._offered()
        if self.folder.exists():
            raise EnvironmentBuildError(f"{self.folder}: already exists; choose a folder that does not exist yet")
        try:
            with disk_errors(f"environment {self.folder}"):
                tests = self._make(lock, interpreter)
            if not tests:
                LOG.info("Tempest %s on %s: listing its tests once", lock.label, interpreter.name)
                tests = test_listing.prove(self.store, lock, interpreter, self.folder)
        except BaseException:
            self._failed()
            raise
        names = test_listing.names_file(self.store, lock, interpreter)
        return BuiltEnvironment(self.folder, lock.version, tests, names)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the environment and give what it used free."""
        if not self._begun:
            return
        with disk_errors(f"environment {self.folder}"):
            remove_tree(self.folder)
        if self._lease is not None:
            self._lease.end()

    def keep(self) -> None:
        """Leave the environment where it is; its lease ends when the folder is removed."""
        self._lease = None

    def _offered(self) -> tuple[Lock, Interpreter]:
        if self.offer.problem or self.offer.lock is None or self.offer.interpreter is None:
            raise VersionUnavailableError(f"Tempest {self.offer.label}: {self.offer.problem}")
        return self.offer.lock, self.offer.interpreter

    def _make(self, lock: Lock, interpreter: Interpreter) -> int:
        """Lay it out; return how many tests its lock was proved to list, or 0 if it was not proved yet."""
        for _ in range(ATTEMPTS):
            with _TURN:
                self.store.prepare()
                names = [self.store.name(wheel, interpreter) for wheel in lock.wheels]
                if self._lease_entries(lock, names):
                    base = base_virtualenv_of(interpreter, self.store)
                    self._lay_out(base, saved_link_plan.saved_plan_of(self.store, names, interpreter))
                    return test_listing.proved(self.store, lock, interpreter)
            self._fill(lock, interpreter)
        raise EnvironmentBuildError(
            f"{self.store.root}: entries are removed as soon as they are created; is 'env gc' running in a loop?"
        )

    def _fill(self, lock: Lock, interpreter: Interpreter) -> None:
        """Fetch what the store lacks; the first base, which mostly waits for an interpreter, is made beside it."""
        with ThreadPoolExecutor(1) as beside:
            base = beside.submit(base_virtualenv_of, interpreter, self.store)
            self.store.ensure(lock.wheels, interpreter, self.offer.fetcher(self.settings))
            base.result()

    def _lease_entries(self, lock: Lock, names: list[str]) -> bool:
        if not self._begun:
            self.folder.mkdir(parents=True)
            self._begun = True
        self._lease = leases.take(self.store, self.folder, f"Tempest {lock.label}", names)
        return self._lease is not None

    def _lay_out(self, base: BaseVirtualenv, kept: SavedLinkPlan) -> None:
        base.lay_out(self.folder)
        for path in kept.plan.folders:
            make_open_folder(f"{self.folder}/{path}")
        kept.link_into(self.folder)

    def _failed(self) -> None:
        if self.settings.keep_failed and self._begun:
            LOG.warning("%s: kept for inspection; remove it when done", self.folder)
            return
        try:
            self.remove()
        except RefstackError as error:
            LOG.warning("%s", error)
