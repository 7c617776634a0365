"""Recheck locks: an environment of each must list tests on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments import interpreters, test_listing
from refstack_worker.environments.catalogue import Offer
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.lock import LOCK_NAME, Lock, read_lock
from refstack_worker.environments.store.file_locks import work_folder
from refstack_worker.environments.store.verify import Store
from refstack_worker.errors import BuildError, LockError

Proved = tuple[str, str, str, int, str]
"""Lock file, Tempest, interpreter, tests, what came of it."""


def prove_locks(folder: Path, extra: Iterable[Path], cache: Path) -> list[Proved]:
    """Build and prove an environment of every lock in a version's folder that an interpreter here can serve.

    :raises BuildError: none can be served, or one lists another number of tests than it says.
    :raises LockError: one lists no tests.
    """
    there = interpreters.find(tuple(extra))
    rows = [
        _prove(read_lock(path), there, cache)
        for path in sorted(folder.absolute().glob("pylock*.toml"))
        if LOCK_NAME.fullmatch(path.name)
    ]
    if not any(tests for _, _, _, tests, _ in rows):
        raise BuildError(f"{folder}: nothing could be checked here: {'; '.join(row[4] for row in rows)}")
    return rows


def _prove(lock: Lock, there: Iterable[Interpreter], cache: Path) -> Proved:
    problem = "no interpreter"
    for interpreter in there:
        problem = interpreter.problem_with(lock)
        if not problem:
            return lock.path.name, lock.label, interpreter.name, _tests(lock, interpreter, cache), "proved"
    return lock.path.name, lock.label, lock.compatibility.interpreter, 0, f"not checked: {problem}"


def _tests(lock: Lock, interpreter: Interpreter, cache: Path) -> int:
    settings = EnvironmentSettings(cache / "store", (lock.path.parent.parent,))
    test_listing.forget(Store(settings.store), lock)
    # programs can be executed in the store's file system, as they cannot in every folder for temporary files
    with work_folder(Store(settings.store).prepare().work) as scratch:
        offer = Offer(lock.version, interpreter=interpreter, lock=lock)
        with Environment(offer, settings, scratch / "env") as built:
            if built.tests != lock.compatibility.tests:
                expected = lock.compatibility.tests
                raise LockError(f"{lock.path}: lists {built.tests} tests, its metadata says {expected}; lock it again")
            return built.tests
