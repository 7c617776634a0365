"""The proof that a lock works: its environment listed tests. Given once per lock, interpreter and store layout.

An old Tempest with dependencies of another time installs without a word and then lists nothing; what lists nothing is
no environment.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from refstack_worker import process
from refstack_worker.environments.entries import LAYOUT, Entries
from refstack_worker.environments.files import write_whole
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.lock import Lock
from refstack_worker.errors import LockError, ProcessError

SECONDS = 600
"""A Tempest that has not listed its tests in that time lists none."""

TEST_NAME = re.compile(r"^[A-Za-z_][\w]*(\.[A-Za-z_]\w*)+(\[.*\]|\(.*\))*$")
"""A line of ``tempest run --list-tests`` that names a test; the others are log lines."""


def _path(store: Entries, lock: Lock, interpreter: Interpreter) -> Path:
    return store.proofs / f"{lock.digest}.{interpreter.identity}.{LAYOUT}.json"


def proved(store: Entries, lock: Lock, interpreter: Interpreter) -> int:
    """Return how many tests the lock's environment listed when it was proved; 0: not proved yet."""
    try:
        return int(json.loads(_path(store, lock, interpreter).read_bytes())["tests"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def refused(store: Entries, lock: Lock, interpreter: Interpreter) -> str:
    """Return why the lock's environment was refused when it was tried; empty: it was not."""
    try:
        return str(json.loads(_path(store, lock, interpreter).read_bytes())["refused"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def forget(store: Entries, lock: Lock) -> None:
    """Drop what is known of a lock, on whatever interpreter, so that the next build proves anew."""
    for path in store.proofs.glob(f"{lock.digest}.*"):
        path.unlink(missing_ok=True)


def carry_over(store: Entries, proved_one: Lock, lock: Lock, interpreter: Interpreter) -> None:
    """Take the proof of a lock for one of the same wheels that differs only in what it says about itself."""
    if [wheel.sha256 for wheel in proved_one.wheels] != [wheel.sha256 for wheel in lock.wheels]:
        raise LockError(f"{lock.path}: has other wheels than the lock that was proved")
    known = _path(store, proved_one, interpreter)
    write_whole(_path(store, lock, interpreter), known.read_bytes())
    known.unlink()


def prove(store: Entries, lock: Lock, interpreter: Interpreter, environment: Path) -> int:
    """List the tests in an environment, remember and return their number.

    A refusal is remembered too, so that a node does not offer again what it cannot do.

    :raises LockError: it lists none; the message carries what Tempest said.
    :raises ProcessError: it was killed or took too long, which proves nothing.
    """
    known: dict[str, object] = {"tempest": lock.label, "when": datetime.now(timezone.utc).isoformat()}
    try:
        known["tests"] = tests = len(list_tests(environment, f"Tempest {lock.label} on {interpreter.name}"))
    except LockError as error:
        known["refused"] = str(error)
        raise
    finally:
        if len(known) > 2:
            write_whole(_path(store, lock, interpreter), json.dumps(known).encode())
    return tests


def list_tests(environment: Path, what: str) -> list[str]:
    """Return the names of the tests that the Tempest in an environment finds.

    :raises LockError: it finds none, or breaks.
    """
    with tempfile.TemporaryDirectory(prefix="refstack-list-") as home:
        # A workspace of its own, made by this very Tempest: another's .stestr.conf makes unittest's discovery stop.
        # TMPDIR too: Tempest locks in a folder there, which must not be one that belongs to another user's Tempest.
        env = {"PATH": f"{environment}/bin:{os.defpath}", "HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8"}
        options = process.Options(cwd=Path(home), env=env, timeout=SECONDS, check=False)
        tempest = environment / "bin" / "tempest"
        _run([tempest, "init", "--workspace-path", f"{home}/ws.yaml", f"{home}/ws"], options, what)
        Path(home, "ws/etc/tempest.conf").touch()
        words: list[str | Path] = [tempest, "run", "--list-tests", "--config-file", f"{home}/ws/etc/tempest.conf"]
        output = _run(words, replace(options, cwd=Path(home, "ws")), what)
    tests = [line.strip() for line in output.splitlines() if TEST_NAME.match(line.strip())]
    if not tests:
        said = output.strip()[-500:] or "nothing"
        raise LockError(
            f"{what}: lists 0 tests, so it is refused (it said: {said}); "
            "lock it with the constraints of its OpenStack release, on an interpreter of its time"
        )
    return tests


def _run(words: list[str | Path], options: process.Options, what: str) -> str:
    done = process.run(words, options)
    if done.returncode > 0:
        said = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise LockError(f"{what}: cannot list its tests, so it is refused: {said}")
    if done.returncode < 0:
        raise ProcessError(f"{what}: was killed by signal {-done.returncode} while it listed its tests")
    return done.stdout
