"""An environment: a virtualenv with one exact Tempest, there for the time of a run.

    with Environment(catalogue.find(Want(version="47.0.0")), settings, folder) as built:
        ...  # built.python, built.bin / "tempest"

Made of a seedless virtualenv and links into the store, in milliseconds; gone afterwards, also when making it fails.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import virtualenv
from installer.scripts import Script

from refstack_worker import process
from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments import leases, plan, proof
from refstack_worker.environments.catalogue import Offer
from refstack_worker.environments.files import disk_errors, open_to_all, remove_tree, write_whole
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.store import Store
from refstack_worker.errors import EnvironmentBuildError, RefstackError, VersionUnavailableError

LOG = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often entries are fetched again when a clean-up takes them between fetching and leasing."""

_VIRTUALENV = threading.Lock()
"""virtualenv keeps state in its process; making one takes 6 ms, so threads take turns."""


@dataclass(frozen=True)
class BuiltEnvironment:
    """An environment that is ready."""

    path: Path
    tempest_version: str
    tests: int
    """Tests that it lists."""

    @property
    def bin(self) -> Path:
        """Folder of its scripts."""
        return self.path / "bin"

    @property
    def python(self) -> Path:
        """Its interpreter."""
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
        self._lease: leases.Lease | None = None

    def __enter__(self) -> BuiltEnvironment:
        """Make it.

        :raises VersionUnavailableError: the offer cannot be built here.
        :raises EnvironmentBuildError: a wheel, the lock, the store or the disk is at fault; the class says which.
        """
        lock, interpreter = self._offered()
        if self.folder.exists():
            raise EnvironmentBuildError(f"{self.folder}: exists already; an environment is made in a new folder")
        try:
            with disk_errors(f"environment {self.folder}"):
                links = self._lease_entries()
                self._make(links, interpreter)
            tests = proof.proved(self.store, lock, interpreter)
            if not tests:
                LOG.info("Tempest %s on %s: listing its tests once", lock.label, interpreter.name)
                tests = proof.prove(self.store, lock, interpreter, self.folder)
        except BaseException:
            self._failed()
            raise
        return BuiltEnvironment(self.folder, lock.version, tests)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it."""
        self.remove()

    def remove(self) -> None:
        """Remove the environment and give what it used free."""
        with disk_errors(f"environment {self.folder}"):
            remove_tree(self.folder)
        if self._lease is not None:
            self._lease.end()

    def keep(self) -> None:
        """Leave the environment where it is; its lease ends when somebody removes the folder."""
        self._lease = None

    def _offered(self) -> Any:
        if self.offer.problem or self.offer.lock is None or self.offer.interpreter is None:
            raise VersionUnavailableError(f"Tempest {self.offer.label}: {self.offer.problem}")
        return self.offer.lock, self.offer.interpreter

    def _lease_entries(self) -> plan.Plan:
        lock, interpreter = self._offered()
        self.store.prepare()
        names = [self.store.name(wheel, interpreter) for wheel in lock.wheels]
        for _ in range(ATTEMPTS):
            self.store.ensure(lock.wheels, interpreter, self.offer.fetcher(self.settings))
            self.folder.mkdir(parents=True)
            self._lease = leases.take(self.store, self.folder, f"Tempest {lock.label}", names)
            if self._lease is not None:
                return kept_plan(self.store, names, interpreter)
            self.folder.rmdir()
        raise EnvironmentBuildError(f"{self.store.root}: entries go as they are made; is 'env gc' running in a loop?")

    def _make(self, links: plan.Plan, interpreter: Interpreter) -> None:
        make_virtualenv(self.folder, interpreter, self.store)
        for path in links.folders:
            os.makedirs(f"{self.folder}/{path}", exist_ok=True)
        for path, target in links.links:
            os.symlink(f"{self.store.entries}/{target}", f"{self.folder}/{path}")
        write_scripts(self.folder, links, self.store)
        open_to_all(self.folder)

    def _failed(self) -> None:
        if self.settings.keep_failed and self.folder.exists():
            LOG.warning("%s: kept to look at; remove it when done", self.folder)
            return
        try:
            self.remove()
        except RefstackError as error:
            LOG.warning("%s", error)


def kept_plan(store: Store, names: list[str], interpreter: Interpreter) -> plan.Plan:
    """Return the plan of a set of entries, worked out the first time and kept in the store."""
    path = store.plans / f"{plan.plan_key([*names, interpreter.series])}.json"
    try:
        kept = plan.Plan.from_json(path.read_bytes())
        os.utime(path)  # says when these entries were last used
        return kept
    except (OSError, ValueError, KeyError, TypeError):
        made = plan.make_plan({name: store.manifest(name) for name in names}, interpreter)
        write_whole(path, made.to_json())
        return made


def make_virtualenv(folder: Path, interpreter: Interpreter, store: Store) -> None:
    """Make a virtualenv without any package; by the interpreter's own ``venv`` where virtualenv is too new for it.

    :raises EnvironmentBuildError: neither can.
    """
    words = [
        "--python", str(interpreter.path), "--without-pip", "--activators", "bash", "--no-vcs-ignore",
        "--app-data", str(store.root / "virtualenv"), "--no-periodic-update", str(folder),
    ]  # fmt: skip
    env = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUALENV_")}
    env["VIRTUALENV_CONFIG_FILE"] = os.devnull
    try:
        with _VIRTUALENV:
            virtualenv.cli_run(words, setup_logging=False, env=env)
    except (SystemExit, RuntimeError, ValueError) as error:
        LOG.debug("virtualenv cannot use %s (%s): its own venv", interpreter.path, error)
        try:
            process.run([interpreter.path, "-I", "-m", "venv", "--without-pip", "--clear", folder])
        except RefstackError as own:
            raise EnvironmentBuildError(f"{interpreter.path}: makes no virtualenv: {error}; {own}") from own


def write_scripts(folder: Path, links: plan.Plan, store: Store) -> None:
    """Write the scripts of all the packages, for the environment's interpreter."""
    python = f"{folder}/bin/python"
    for name, module, attr, section in links.entry_points:
        _, content = Script(name, module, attr, section).generate(python, "posix")  # type: ignore[arg-type]
        _write_script(f"{folder}/bin/{name}", content)
    for name, path in links.scripts:
        content = (store.entries / path).read_bytes()
        first, newline, rest = content.partition(b"\n")
        if first.startswith(b"#!python"):
            first = b"#!" + os.fsencode(python)
        os.makedirs(os.path.dirname(f"{folder}/bin/{name}"), exist_ok=True)
        _write_script(f"{folder}/bin/{name}", first + newline + rest)


def _write_script(path: str, content: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), 0o755)
