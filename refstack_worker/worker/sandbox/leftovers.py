"""Processes and folders that an earlier process of this worker may have left behind.

Every process of an embedded run has a mark of its worker in its environment, so that a worker that was killed finds
them when it starts again. (Under systemd the control group does that.)
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from refstack_worker.filesystem import remove_tree

LOG = logging.getLogger(__name__)

MARK = "REFSTACK_RUN"
"""Environment variable of everything in an embedded run: ``<instance>/<run id>``."""
POLL_SECONDS = 0.05
LEAVE_SECONDS = 5.0
"""Agents notice that their worker has gone and clean up; what is left after this many seconds is killed."""
KILL_SECONDS = 30.0


def instance_of(state_folder: Path) -> str:
    """Return an id that distinguishes this worker from others on the same machine."""
    return hashlib.sha256(os.fsencode(state_folder.resolve())).hexdigest()[:12]


def marked(mark: str) -> Iterator[int]:
    """Yield the ids of processes whose mark begins with this (``<instance>/`` or ``<instance>/<run id>``)."""
    prefix = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):
                if any(item.startswith(prefix) for item in Path(f"/proc/{name}/environ").read_bytes().split(b"\0")):
                    yield int(name)


def end(mark: str, patience: float = LEAVE_SECONDS) -> int:
    """Kill the processes with a mark, after ``patience`` seconds in which they may end by themselves.

    :returns: how many had to be killed.
    """
    deadline = time.monotonic() + patience
    while list(marked(mark)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_SECONDS
    while (found := [pid for pid in marked(mark) if _alive(pid)]) and time.monotonic() < deadline:
        for pid in found:
            killed.add(pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    return len(killed)


def folder_prefix(mark: str) -> str:
    """Return the first part of the name of a run's folder."""
    run_id = mark.partition("/")[2]
    return f"run-{run_id}-" if run_id else "run-"


def sweep_folders(folder: Path, prefix: str = "") -> int:
    """Remove the entries of a folder whose names begin with ``prefix``. :returns: how many there were."""
    count = 0
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            if not entry.name.startswith(prefix):
                continue
            count += 1
            try:
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(Path(entry.path))
                else:
                    os.unlink(entry.path)
            except OSError as error:
                LOG.error("%s: cannot be removed: %s; remove it by hand, it may hold secrets", entry.path, error)
    return count


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False
