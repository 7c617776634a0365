"""What ``refstack-queue standalone`` keeps in its folder: settings of both sides, keys, an operator's token.

All of it is made at the first start and belongs to the user who runs it; a later start reads the files as they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.config import server as server_config
from refstack_worker.config import toml_file
from refstack_worker.config.environments import LOCK_FOLDERS
from refstack_worker.config.server import ServerSettings
from refstack_worker.contract import keys
from refstack_worker.errors import ConfigError, KeyFileError

LOOPBACK = "127.0.0.1"
TOKEN_NAME = "standalone"  # noqa: S105 - what the token is called, not the token


@dataclass(frozen=True)
class Folder:
    """The paths below the folder of a stand-alone queue."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "refstack.cfg"

    @property
    def worker_settings(self) -> Path:
        return self.path / "worker.toml"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def token(self) -> Path:
        return self.path / "token"

    @property
    def log(self) -> Path:
        return self.path / "worker.log"


@dataclass(frozen=True)
class Wish:
    """Options of the first start; later starts find them in the files."""

    port: int = 0
    """0: a free one."""
    locks: Sequence[Path] = ()
    """Folders with one folder per Tempest version."""
    slots: int = 0
    """0: as the files say, else one."""


@contextlib.contextmanager
def owned(folder: Folder) -> Iterator[None]:
    """Make the folder and hold it alone.

    :raises ConfigError: another stand-alone queue runs on it, or there can be no folder.
    """
    try:
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"--folder: {folder.path}: cannot be created: {error.strerror}; name a folder") from None
    with open(folder.path / "lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"{folder.path}: another 'refstack-queue standalone' is using this folder") from None
        yield


def prepare(folder: Folder, wish: Wish) -> ServerSettings:
    """Write what is not there yet and return the server's settings.

    :raises ConfigError: the files say something that cannot be, or ``wish`` wants what an earlier start settled.
    """
    make_keys(folder.keys)
    if not folder.settings.exists():
        write(folder.settings, server_text(folder, wish), 0o644)
    settings = server_config.load(folder.settings)
    port = int(settings.web.address.rpartition(":")[2])
    if wish.port and wish.port != port:
        raise ConfigError(f"{folder.settings}: says port {port}, not {wish.port}; change APP_ADDRESS there")
    if folder.worker_settings.exists():
        _check_worker(folder.worker_settings, wish)
    else:
        write(folder.worker_settings, worker_text(folder, settings, wish), 0o644)
    return settings


def _check_worker(path: Path, wish: Wish) -> None:
    """Refuse what the worker's settings say otherwise: they were made at the first start, and are the user's."""
    known = toml_file.read(path)[0]
    folders = [str(lock.absolute()) for lock in wish.locks]
    there = known.get("environments", {}).get("lock_folders", [])
    if not set(folders) <= set(there):
        raise ConfigError(f"{path}: has lock_folders = {json.dumps(there)}, not {json.dumps(folders)}; change it there")
    slots = known.get("node", {}).get("slots", 1)
    if wish.slots and wish.slots != slots:
        raise ConfigError(f"{path}: says slots = {slots}, not {wish.slots}; change it there")


def make_keys(folder: Path) -> dict[str, str]:
    """Make the key files that are missing (one pair for signing, one for the fleet, one for the ledger).

    The fleet's private key is the nodes': where only its public half is, nothing is missing.

    :returns: what was made, name to key id.
    :raises KeyFileError: there can be no such folder, or a private key is gone whose public half is in use.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise KeyFileError(f"{folder}: cannot be created: {error.strerror}; name a folder for the keys") from None
    made: dict[str, str] = {}
    for kind, name in (("sign", "sign"), ("seal", "fleet"), ("seal", "store")):
        private, public = folder / f"{name}.key", folder / f"{name}.pub"
        if private.exists() and not public.exists():
            # such as after a full disk, between one file and the other
            made[name] = keys.restore_public(kind, private, public)
        elif not private.exists() and public.exists() and name != "fleet":
            raise KeyFileError(
                f"{private}: not there, but {public.name} is; copy {private.name} here from a backup, or move "
                f"{public.name} away to get a new pair"
            )
        elif not public.exists():
            made[name] = keys.generate_pair(kind, private, public)
    return made


def write(path: Path, text: str, mode: int) -> None:
    """Write a file as a whole or not at all, with these permissions from the first byte on."""
    fresh = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as out:
        out.write(text)
    fresh.replace(path)


def free_port() -> int:
    """Return a port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def server_text(folder: Folder, wish: Wish) -> str:
    """Return a ``refstack.cfg`` for one machine."""
    return "\n".join(
        (
            "# Made by 'refstack-queue standalone'; edit it as you like. The names are described in docs/server.md.",
            'TEST_METHOD = "gearman"',
            f'GEARMAN_SERVER = "{LOOPBACK}"',
            f"GEARMAN_PORT = {free_port()}",
            f'APP_ADDRESS = "http://{LOOPBACK}:{wish.port or free_port()}"',
            f"DATA_FOLDER = {str(folder.path / 'data')!r}",
            f"KEY_FOLDER = {str(folder.keys)!r}",
            "# a cloud on this machine may be tested: who reaches this server reaches that, too",
            'CLOUD_NETWORKS = ["127.0.0.0/8", "::1"]',
            "",
        )
    )


def worker_text(folder: Folder, settings: ServerSettings, wish: Wish) -> str:
    """Return a ``worker.toml`` for the one worker of this machine."""
    base = folder.path / "worker"
    locks = [str(lock.absolute()) for lock in wish.locks] or [str(lock) for lock in LOCK_FOLDERS]
    sections: dict[str, dict[str, object]] = {
        "node": {
            "name": "standalone",
            "slots": wish.slots or 1,
            "state_folder": str(base / "state"),
            "runtime_folder": str(base / "run"),
        },
        "gearman": {"servers": [str(address) for address in settings.queue.servers]},
        "server": {"urls": [settings.web.address]},
        "keys": {"fleet_private": str(folder.keys / "fleet.key"), "server_public": str(folder.keys / "sign.pub")},
        "run": {
            "runner": "embedded",
            "folder": str(base / "runs"),
            "environments": str(base / "environments"),
        },
        "environments": {
            "store": str(base / "store"),
            "lock_folders": locks,
        },
    }
    lines = ["# Made by 'refstack-queue standalone'; edit it as you like. The keys are described in docs/worker.md."]
    for section, values in sections.items():
        # a JSON text, number or list of texts is the same in TOML
        lines += ["", f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join([*lines, ""])
