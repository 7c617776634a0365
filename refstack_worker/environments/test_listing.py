"""The proof that a lock works: its environment listed tests. Given once per lock, interpreter and store layout.

An old Tempest with newer dependencies may install without an error and then list no tests; such an environment is
rejected.
"""

from __future__ import annotations

import ast
import errno
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from refstack_worker import process
from refstack_worker.contract.text_files import lines_of
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
STESTR_TEMPLATE = "[DEFAULT]\ntest_path=%s\ntop_dir=%s\ngroup_regex=([^\\.]*\\.)*\n"
"""``STESTR_CONF`` of Tempest (``tempest/cmd/init.py``): the folders of its discovery and of its package."""

PLAIN = re.compile(r"[A-Za-z0-9_./+@:,=~-]+")
"""Paths that mean the same in every shell: stestr puts those of interpreter and temporary files unquoted into one."""

RULE = 2
"""Counted up when refusals are judged otherwise; those judged by an older rule are not believed."""

OF_THE_PLACE = tuple(
    os.strerror(number)
    for number in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EROFS,
                   errno.EIO, errno.ESTALE)
) + ("MemoryError", "can't start new thread")  # fmt: skip
"""What programs say when the machine lacks something: processes, memory, room. It says nothing about a lock."""

CONTROL = "import subprocess, sys; sys.exit(subprocess.call('exec python -c \"import sys\"', shell=True))"
"""Does what stestr does to list tests: starts the environment's interpreter by way of a shell."""

TEST_NAME = re.compile(r"^[A-Za-z_][\w]*(\.[A-Za-z_]\w*)+(\[.*\]|\(.*\))*$")
"""A line of ``tempest run --list-tests`` that names a test; the others are log lines."""


def _path(store: WheelStore, lock: Lock, interpreter: Interpreter) -> Path:
    return store.proofs / f"{lock.digest}.{interpreter.identity}.{LAYOUT}.json"


def names_file(store: WheelStore, lock: Lock, interpreter: Interpreter) -> Path | None:
    """Return the file with the names that the lock's environment listed, one per line; None if they are not known.

    They are known only of a lock without plugins: the names of some plugins' tests depend on ``tempest.conf``.
    """
    path = _path(store, lock, interpreter).with_suffix(".tests")
    return path if not lock.compatibility.plugins and path.is_file() else None


def proved(store: WheelStore, lock: Lock, interpreter: Interpreter) -> int:
    """Return how many tests the lock's environment listed when it was proved; 0: not proved yet."""
    try:
        return int(json.loads(_path(store, lock, interpreter).read_bytes())["tests"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def refused(store: WheelStore, lock: Lock, interpreter: Interpreter) -> str:
    """Return why the lock's environment was refused when it was tried; empty: it was not."""
    try:
        known = json.loads(_path(store, lock, interpreter).read_bytes())
        return str(known["refused"]) if known.get("rule") == RULE else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def forget(store: WheelStore, lock: Lock) -> None:
    """Forget what is known about a lock on every interpreter, so that the next build lists its tests again."""
    for path in store.proofs.glob(f"{lock.digest}.*"):
        path.unlink(missing_ok=True)


def carry_over(store: WheelStore, proved_one: Lock, lock: Lock, interpreter: Interpreter) -> None:
    """Take the proof of a lock for one of the same wheels that differs only in what it says about itself.

    Two processes may do so at once: the one that comes second finds that it was done.
    """
    if [wheel.sha256 for wheel in proved_one.wheels] != [wheel.sha256 for wheel in lock.wheels]:
        raise LockError(f"{lock.path}: its wheels differ from those of the lock that was checked")
    for suffix in (".tests", ".json"):  # the proof last
        known = _path(store, proved_one, interpreter).with_suffix(suffix)
        target = _path(store, lock, interpreter).with_suffix(suffix)
        try:
            write_whole(target, known.read_bytes())
            known.unlink(missing_ok=True)
        except FileNotFoundError:
            if suffix == ".json" and not target.is_file():
                raise


def prove(store: Store, lock: Lock, interpreter: Interpreter, environment: Path) -> int:
    """List the tests in an environment, remember and return their number.

    A refusal is remembered too, so that a node does not offer again what it cannot do; but only one that is the same
    twice, in a place that works: a damaged environment, a full disk, a machine without memory or processes and a
    shell that does not start say nothing about the lock.

    :raises LockError: it lists none; the message includes Tempest's output.
    :raises StoreError: it lists none, and what it is made of was damaged or removed meanwhile, or the place is at
        fault.
    :raises ProcessError: it was killed or took too long, which proves nothing.
    """
    what = f"Tempest {lock.label} on {interpreter.name}"
    try:
        names = _listed(environment, what, lambda error: _check_place(store, lock, interpreter, environment, error))
        write_whole(_path(store, lock, interpreter).with_suffix(".tests"), "\n".join([*names, ""]).encode())
    except LockError as error:
        _remember(_path(store, lock, interpreter), lock, {"refused": str(error), "rule": RULE})
        raise
    _remember(_path(store, lock, interpreter), lock, {"tests": len(names)})
    return len(names)


def _remember(path: Path, lock: Lock, result: Mapping[str, object]) -> None:
    known = {"tempest": lock.label, "when": datetime.now(timezone.utc).isoformat(), **result}
    write_whole(path, json.dumps(known).encode())


def _listed(environment: Path, what: str, check: Callable[[LockError], None]) -> list[str]:
    """Return the tests that are listed, at the second try if the first fails: what passes is not the lock's fault."""
    try:
        return list_tests(environment, what)
    except LockError as error:
        check(error)
        return list_tests(environment, what)


def _check_place(store: Store, lock: Lock, interpreter: Interpreter, environment: Path, error: LockError) -> None:
    """Raise StoreError if something else than the lock can be the reason why no tests were listed."""
    problem = _lost(store, lock, interpreter, environment) or _place_problem(environment, str(error))
    if problem:
        raise StoreError(f"{problem}; Tempest {lock.label} is not rejected for listing no tests") from error


def _place_problem(environment: Path, output: str) -> str:
    """Say what is wrong with this machine or folder, if it can be the reason why no tests were listed."""
    for text in OF_THE_PLACE:
        if text in output:
            return f"{environment}: {text}"
    with _workspace(environment, "the check of the place") as (home, linked):
        done = process.run([linked / "bin" / "python", "-c", CONTROL], _options(home, linked))
    if done.returncode:
        return f"{environment}: a shell cannot start its interpreter there: {done.stderr.strip()[-300:]}"
    return ""


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
    :raises StoreError: there is no room in the folder for temporary files, in which it lists them, or no such folder
        that a shell can use.
    """
    with _workspace(environment, what) as (home, linked):
        try:
            return _names_in(_list_in(home, linked, _options(home, linked), what), what)
        except LockError:
            # before this folder goes: a Tempest that has no room breaks, and that says nothing of its lock
            Path(home, "room").write_bytes(bytes(ROOM))
            raise


@contextmanager
def _workspace(environment: Path, what: str) -> Iterator[tuple[Path, Path]]:
    """Give a temporary folder, and the environment's path in it, both of which a shell can read unquoted."""
    parent = _plain_folder(environment)
    where = f"{what}: cannot list its tests in {parent}"
    with disk_errors(where, "free up space there, or set TMPDIR to another folder"):
        with tempfile.TemporaryDirectory(prefix="refstack-list-", dir=parent) as name:
            home, linked = Path(name), environment
            if not PLAIN.fullmatch(str(environment)):
                linked = home / "env"
                linked.symlink_to(environment)
            yield home, linked


def _plain_folder(environment: Path) -> Path:
    """Return a folder for temporary files whose path a shell can read: that of TMPDIR, if it is such a one.

    :raises StoreError: there is none.
    """
    candidates = [Path(tempfile.gettempdir()), environment.parent, Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    for folder in candidates:
        if PLAIN.fullmatch(str(folder)) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise StoreError(f"{candidates[0]}: Tempest cannot work in a folder with this name; set TMPDIR to a plain one")


def _options(home: Path, environment: Path) -> process.Options:
    # TMPDIR too: Tempest locks in a folder there, which must not be one that belongs to another user's Tempest.
    env = {"PATH": f"{environment}/bin:{os.defpath}", "HOME": str(home), "TMPDIR": str(home), "LC_ALL": "C.UTF-8"}
    return process.Options(cwd=home, env=env, timeout=SECONDS, check=False)


def _names_in(output: str, what: str) -> list[str]:
    tests = [line.strip() for line in lines_of(output) if TEST_NAME.match(line.strip())]
    if not tests:
        end = output.strip()[-500:] or "nothing"
        raise LockError(
            f"{what}: lists 0 tests, so it was rejected (output: {end}); "
            "lock it with the constraints of its OpenStack release, with an interpreter from that time"
        )
    return tests


def _list_in(home: Path, environment: Path, options: process.Options, what: str) -> str:
    """Return what Tempest says when it lists its tests in a workspace of its own.

    Another's ``.stestr.conf`` makes unittest's discovery stop, so it is written as ``tempest init`` does. That command
    takes a quarter of the listing's processor time; it is run where its source does not show what it would write, and
    where the tests were not listed without it.
    """
    package = next((path.parent for path in environment.glob("lib/python*/site-packages/tempest/__init__.py")), None)
    if package is not None and _template_in(package / "cmd" / "init.py") == STESTR_TEMPLATE:
        expected = home / "expected"
        _make_workspace(expected, package)
        done = process.run(_listing(environment, expected), replace(options, cwd=expected))
        if done.returncode == 0 and done.stdout:
            return done.stdout
    made = home / "ws"
    _run([environment / "bin" / "tempest", "init", "--workspace-path", f"{home}/ws.yaml", made], options, what)
    Path(made, "etc/tempest.conf").touch()
    return _run(_listing(environment, made), replace(options, cwd=made), what)


def _template_in(source: Path) -> str:
    """Return what ``tempest init`` writes into ``.stestr.conf``, apart from two folders; empty: it cannot be read."""
    try:
        statements = ast.parse(source.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return ""
    for one in statements:
        if isinstance(one, ast.Assign) and [getattr(name, "id", "") for name in one.targets] == ["STESTR_CONF"]:
            return str(getattr(one.value, "value", ""))
    return ""


def _make_workspace(workspace: Path, package: Path) -> None:
    Path(workspace, "etc").mkdir(parents=True)
    Path(workspace, "etc/tempest.conf").touch()
    Path(workspace, ".stestr").mkdir()
    for name, content in (("format", "1"), ("next-stream", "0")):  # an empty stestr repository
        Path(workspace, ".stestr", name).write_text(f"{content}\n")
    Path(workspace, STESTR).write_text(STESTR_TEMPLATE % (package / "test_discover", package))


def _listing(environment: Path, workspace: Path) -> list[str | Path]:
    return [environment / "bin" / "tempest", "run", "--list-tests", "--config-file", workspace / "etc/tempest.conf"]


def _run(words: list[str | Path], options: process.Options, what: str) -> str:
    done = process.run(words, options)
    if done.returncode > 0:
        output = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise LockError(f"{what}: cannot list its tests, so it was rejected: {output}")
    if done.returncode < 0:
        raise ProcessError(f"{what}: was killed by signal {-done.returncode} while it listed its tests")
    return done.stdout
