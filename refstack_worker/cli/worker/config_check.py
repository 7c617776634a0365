"""``refstack-worker config check``: are the settings and key files valid?"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cliff.show import ShowOne

from refstack_worker.config.environments import LOCK_FOLDERS
from refstack_worker.config.file_checks import check_authorities, check_folder, check_program
from refstack_worker.config.worker import WorkerSettings, credential
from refstack_worker.contract import keys
from refstack_worker.environments.catalogue import is_url
from refstack_worker.errors import ConfigError
from refstack_worker.worker.sandbox import commands


class ConfigCheck(ShowOne):
    """Check the settings and the key files without starting anything; exits with 3 and the reason if one is wrong.

    'systemctl reload refstack-worker' does this first and keeps the old settings if it fails.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        settings: Any = getattr(self.app, "settings", None)
        assert isinstance(settings, WorkerSettings)  # noqa: S101 - for the type checker
        if not settings.server.urls:
            raise ConfigError(f'{settings.file}: server.urls is empty; add your RefStack server: urls = ["https://…"]')
        _check_files(settings)
        shown = {
            "file": str(settings.file),
            "node": settings.node.name,
            "servers": "\n".join(settings.server.urls),
            "fleet keys": _key_ids(settings.keys.fleet_private, keys.load_seal_private),
            "server keys": _key_ids(settings.keys.server_public, keys.load_sign_public),
            "execute_test": " ".join(commands.find_program(settings.run.execute_test)),
        }
        return tuple(shown), tuple(shown.values())


def _check_files(settings: WorkerSettings) -> None:
    for section, place in (("server", settings.server.ca_file), ("environments", settings.environments.ca_file)):
        if place:
            check_authorities(f"{section}.ca_file", Path(place))
    for path in settings.environments.interpreters:
        check_program("environments.interpreters", path)
    # the packages of Tempest versions make the usual folder
    for path in settings.environments.lock_folders:
        if path not in LOCK_FOLDERS:
            check_folder("environments.lock_folders", path)
    for house in settings.environments.wheelhouses:
        if is_url(house):
            _check_url("environments.wheelhouses", house)
        else:
            check_folder("environments.wheelhouses", Path(house))
    if settings.environments.index:
        _check_url("environments.index", settings.environments.index)


def _check_url(setting: str, url: str) -> None:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not is_url(url) or not host:
        raise ConfigError(f"{setting}: {url} is not a URL; write http:// or https:// and the name of a host")


def _key_ids(path: Path, load: Callable[[Path], keys.Keyring[Any]]) -> str:
    """Return the ids of the keys in a file: in the file itself if it is readable, as it may be newer than a copy."""
    ring = load(path if os.access(path, os.R_OK) else credential(path))
    return " ".join(key_id for key_id, _ in ring.keys)
