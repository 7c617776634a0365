"""Who owns what root makes: the services run as another user, who owns the data folder and has to read and write it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from refstack_worker.config.server import ServerSettings
from refstack_worker.errors import ConfigError
from refstack_worker.server.db.backup import key_paths
from refstack_worker.server.db.database import url_of
from refstack_worker.server.db.sqlite_writers import ENDING


def owner_of(settings: ServerSettings) -> tuple[int, int] | None:
    """Return user and group of the services, who own the data folder; None: it is not there."""
    try:
        found = settings.data.stat()
    except OSError:
        return None
    return found.st_uid, found.st_gid


def database_files(settings: ServerSettings) -> list[Path]:
    """Return the file of an SQLite database, then those that SQLite keeps beside it, whether they are there or not."""
    url = url_of(settings.database.url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return []
    return [Path(url.database + end) for end in ("", "-wal", "-shm", ENDING)]


def service_files(settings: ServerSettings) -> list[Path]:
    """Return the files that the services need: keys, and an SQLite database with what SQLite keeps beside it."""
    files = key_paths(settings.keys, [settings.outbound.upload_key])
    return files + [path for path in database_files(settings) if path.exists()]


def strangers(settings: ServerSettings) -> Iterator[Path]:
    """Yield the files of the services that belong to someone else than the data folder does."""
    owner = owner_of(settings)
    for path in service_files(settings):
        if owner is not None and path.stat().st_uid != owner[0]:
            yield path


def give_to_service(settings: ServerSettings, more: Iterable[Path] = ()) -> None:
    """Give what root made to the user of the services. Does nothing for another user, or where root runs them.

    :raises ConfigError: the owner cannot be changed.
    """
    owner = owner_of(settings)
    if os.geteuid() != 0 or owner is None or owner[0] == 0:
        return
    for path in [*service_files(settings), *more]:
        try:
            if path.exists() and path.stat().st_uid == 0:
                os.chown(path, *owner)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be given to the user of the services: {error.strerror}") from error
