"""The proof that a lock works: its environment listed tests. Given once per lock, interpreter and store layout.

An old Tempest with newer dependencies may install without an error and then list no tests; such an environment is
rejected.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from refstack_worker import process
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.lock import Lock
from refstack_worker.environments.store.verify import Store
from refstack_worker.environments.store.wheel_store import LAYOUT, WheelStore
from refstack_worker.errors import LockError, ProcessError, StoreError
from refstack_worker.filesystem import disk_errors, write_whole

SECONDS = 600
"""A Tempest that has not listed its tests in that time lists none."""

ROOM = 4 * 1024 * 1024
"""Bytes that have to be free where tests are listed, or a failure says nothing; Tempest 47.0.0 writes 88 KiB there."""

STESTR = ".stestr.conf"

TEST_NAME = re.compile(r"^[A-Za-z_][\w]*(\.[A-Za-z_]\w*)+(\[.*\]|\(.*\))*$")
"""A line of ``tempest run --list-tests`` that names a test; the others are log lines."""


def _path(store: WheelStore, lock: Lock, interpreter: Interpreter) -> Path:
    return store.proofs / f"{lock.digest}.{interpreter.identity}.{LAYOUT}.json"


def proved(store: WheelStore, lock: Lock, interpreter: Interpreter) -> int:
    """Return how many tests the lock's environment listed when it was proved; 0: not proved yet."""
    try:
        return int(json.loads(_path(store, lock, interpreter).read_bytes())["tests"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def refused(store: WheelStore, lock: Lock, interpreter: Interpreter) -> str:
    """Return why the lock's environment was refused when it was tried; empty: it was not."""
    try:
        return str(json.loads(_path(store, lock, interpreter).read_bytes())["refused"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def forget(store: WheelStore, lock: Lock) -> None:
    """Forget what is known about a lock on every interpreter, so that the next build lists its tests again."""
    for path in store.proofs.glob(f"{lock.digest}.*"):
        path.unlink(missing_ok=True)


def carry_over(store: WheelStore, proved_one: Lock, lock: Lock, interpreter: Interpreter) -> None:
    """Take the proof of a lock for one of the same wheels that differs only in what it says about itself."""
    if [wheel.sha256 for wheel in proved_one.wheels] != [wheel.sha256 for wheel in lock.wheels]:
        raise LockError(f"{lock.path}: has other wheels than the lock that was proved")
    known = _path(store, proved_one, interpreter)
    write_whole(_path(store, lock, interpreter), known.read_bytes())
    known.unlink()


def prove(store: Store, lock: Lock, interpreter: Interpreter, environment: Path) -> int:
    """List the tests in an environment, remember and return their number.

    A refusal is remembered too, so that a node does not offer again what it cannot do; but not one of an environment
    that is no longer whole, or had no disk space: those say nothing about the lock.

    :raises LockError: it lists none; the message includes Tempest's output.
    :raises StoreError: it lists none, and what it is made of was damaged or removed meanwhile, or there is no room
        for temporary files.
    :raises ProcessError: it was killed or took too long, which proves nothing.
    """
    known: dict[str, object] = {"tempest": lock.label, "when": datetime.now(timezone.utc).isoformat()}
    try:
        known["tests"] = tests = len(list_tests(environment, f"Tempest {lock.label} on {interpreter.name}"))
    except LockError as error:
        lost = _lost(store, lock, interpreter, environment)
        if lost:
            raise StoreError(f"{lost}, so that it listed no tests is not held against Tempest {lock.label}") from error
        known["refused"] = str(error)
        raise
    finally:
        if len(known) > 2:
            write_whole(_path(store, lock, interpreter), json.dumps(known).encode())
    return tests


def _lost(store: Store, lock: Lock, interpreter: Interpreter, environment: Path) -> str:
    """Say what an environment misses of what it is made of; empty: nothing."""
    python = environment / "bin" / "python"
    if not python.exists():
        return f"{python}: was removed"
    names = [store.name(wheel, interpreter) for wheel in lock.wheels]
    return next((f"{damage.path}: {damage.problem}" for damage in store.damaged(names)), "")


def list_tests(environment: Path, what: str) -> list[str]:
    """Return the names of the tests that the Tempest in an environment finds.

    :raises LockError: it finds none, or breaks.
    :raises StoreError: there is no room in the folder for temporary files, in which it lists them.
    """
    where = f"{what}: cannot list its tests in {tempfile.gettempdir()}, which TMPDIR names"
    with disk_errors(where, "make room there"), tempfile.TemporaryDirectory(prefix="refstack-list-") as home:
        # TMPDIR too: Tempest locks in a folder there, which must not be one that belongs to another user's Tempest.
        env = {"PATH": f"{environment}/bin:{os.defpath}", "HOME": home, "TMPDIR": home, "LC_ALL": "C.UTF-8"}
        options = process.Options(cwd=Path(home), env=env, timeout=SECONDS, check=False)
        try:
            return _names_in(_list_in(Path(home), environment, options, what), what)
        except LockError:
            # before this folder goes: a Tempest that has no room breaks, and that says nothing of its lock
            Path(home, "room").write_bytes(bytes(ROOM))
            raise


def _names_in(output: str, what: str) -> list[str]:
    tests = [line.strip() for line in output.splitlines() if TEST_NAME.match(line.strip())]
    if not tests:
        end = output.strip()[-500:] or "nothing"
        raise LockError(
            f"{what}: lists 0 tests, so it is refused (output: {end}); "
            "lock it with the constraints of its OpenStack release, on an interpreter of its time"
        )
    return tests


def _list_in(home: Path, environment: Path, options: process.Options, what: str) -> str:
    """Return what Tempest says when it lists its tests in a workspace that it made itself.

    Another's ``.stestr.conf`` makes unittest's discovery stop, so ``tempest init`` has to make it; that takes as long
    as half of the listing. So meanwhile they are listed beside it, with the file that is expected. Only when that is,
    byte for byte, what ``tempest init`` then made, and the tests could be listed, does it count; else they are listed
    again.
    """
    made, expected = home / "ws", home / "expected"
    tempest = environment / "bin" / "tempest"
    with ThreadPoolExecutor(1) as beside:
        early = beside.submit(_list_early, expected, environment, replace(options, cwd=expected))
        _run([tempest, "init", "--workspace-path", f"{home}/ws.yaml", made], options, what)
        output = early.result()
    if output and _content(made) == _content(expected):
        return output
    Path(made, "etc/tempest.conf").touch()
    return _run(_listing(environment, made), replace(options, cwd=made), what)


def _list_early(workspace: Path, environment: Path, options: process.Options) -> str:
    package = next((path.parent for path in environment.glob("lib/python*/site-packages/tempest/__init__.py")), None)
    if package is None:
        return ""
    Path(workspace, "etc").mkdir(parents=True)
    Path(workspace, "etc/tempest.conf").touch()
    Path(workspace, ".stestr").mkdir()
    for name, content in (("format", "1"), ("next-stream", "0")):  # an empty stestr repository
        Path(workspace, ".stestr", name).write_text(f"{content}\n")
    lines = ("[DEFAULT]", f"test_path={package}/test_discover", f"top_dir={package}", r"group_regex=([^\.]*\.)*", "")
    Path(workspace, STESTR).write_text("\n".join(lines))
    done = process.run(_listing(environment, workspace), options)
    return done.stdout if done.returncode == 0 else ""


def _listing(environment: Path, workspace: Path) -> list[str | Path]:
    return [environment / "bin" / "tempest", "run", "--list-tests", "--config-file", workspace / "etc/tempest.conf"]


def _content(workspace: Path) -> bytes:
    path = workspace / STESTR
    return path.read_bytes() if path.is_file() else b""


def _run(words: list[str | Path], options: process.Options, what: str) -> str:
    done = process.run(words, options)
    if done.returncode > 0:
        output = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise LockError(f"{what}: cannot list its tests, so it is refused: {output}")
    if done.returncode < 0:
        raise ProcessError(f"{what}: was killed by signal {-done.returncode} while it listed its tests")
    return done.stdout
