"""The folders that the worker writes to; its systemd unit makes most others read-only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.errors import ConfigError
from refstack_worker.worker.admission.disk_space import existing_parent

UNIT = "refstack-worker.service"


def check_writable(settings: WorkerSettings) -> None:
    """Check from inside the unit. :raises ConfigError: a folder is read-only, with the lines to add to the unit."""
    for path in written_folders(settings):
        if os.statvfs(existing_parent(path)).f_flag & os.ST_RDONLY:
            raise ConfigError(f"{path} is read-only for the worker; {drop_in(UNIT, [path])}")


def written_folders(settings: WorkerSettings) -> tuple[Path, ...]:
    """Return the folders that the worker writes to."""
    folders = (settings.node.state_folder, settings.environments.store, settings.run.environments)
    return tuple(dict.fromkeys((*folders, settings.spool_folder)))


def drop_in(unit: str, folders: Iterable[Path]) -> str:
    """Return how to let a unit write to folders."""
    lines = f"ReadWritePaths={' '.join(map(str, folders))}"
    return f"run 'systemctl edit {unit}', add the lines '[Service]' and '{lines}', then restart it"
