"""``doctor``'s checks of the folders and disks that the worker uses."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.worker.admission import disk_space
from refstack_worker.worker.doctor.finding import BAD, GOOD, Finding


def check_folders(settings: WorkerSettings) -> Iterator[Finding]:
    """The worker's folders belong to it, and a run can read its environment."""
    owner = _worker_user()
    for name, path in _folders(settings):
        existing = disk_space.existing_parent(path)
        if owner is not None and existing == path and path.stat().st_uid != owner.pw_uid:
            found = f"{path} does not belong to {owner.pw_name}"
            yield Finding(f"folder {name}", BAD, found, f"chown -R {owner.pw_name}: {path}")
        elif owner is None and not os.access(existing, os.W_OK | os.X_OK):
            todo = "run doctor as the worker's user or root"
            yield Finding(f"folder {name}", BAD, f"{existing} is not writable", todo)
        else:
            yield Finding(f"folder {name}", GOOD, str(path))
    environments = settings.run.environments
    closed = [place for place in (environments, *environments.parents) if _is_closed(place)]
    if closed and settings.run.runner != "embedded":
        found = f"{closed[0]}: the user of a run cannot enter it"
        yield Finding("environments readable", BAD, found, f"chmod o+x {closed[0]}")


def check_disks(settings: WorkerSettings) -> Iterator[Finding]:
    """There is enough space for the worker to take runs."""
    limit = settings.limits.min_free_mb
    for _, path in _folders(settings):
        free = disk_space.free_mb(path)
        result = GOOD if free >= limit else BAD
        todo = "" if result == GOOD else "free up space ('env gc', old logs), or lower limits.min_free_mb"
        yield Finding(f"disk {path}", result, f"{free} MiB free, {limit} required", todo)


def _folders(settings: WorkerSettings) -> tuple[tuple[str, Path], ...]:
    return (
        ("state", settings.node.state_folder),
        ("store", settings.environments.store),
        ("environments", settings.run.environments),
    )


def _is_closed(path: Path) -> bool:
    return path.exists() and not path.stat().st_mode & 0o001


def _worker_user() -> pwd.struct_passwd | None:
    """Return the worker's user if doctor is root and can judge for it; None: judge for the current user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("refstack-worker")
    except KeyError:
        return None
