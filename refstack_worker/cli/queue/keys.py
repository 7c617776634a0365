"""``refstack-queue keys …``: make, show and rotate the key files of the server."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.queue.ledger_access import settings_of
from refstack_worker.cli.queue.ownership import give_to_service
from refstack_worker.cli.queue.records import Columns, Rows
from refstack_worker.cli.queue.standalone.files import make_keys
from refstack_worker.config.server import ServerSettings
from refstack_worker.contract import keys
from refstack_worker.errors import KeyFileError, UsageError


class KeysGenerate(ShowOne):
    """Create the keys that are missing: sign (server), fleet (nodes), store (ledger).

    sign.pub and fleet.key go to every node; sign.key and store.key never leave the server.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "folder", type=Path, nargs="?", help="created if missing; default: KEY_FOLDER of refstack.cfg"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        """Make them; what is there stays."""
        folder = parsed_args.folder or _key_folder(settings_of(self.app))
        made = make_keys(folder)
        give_to_service(settings_of(self.app), [folder, *sorted(folder.glob("*.key")), *sorted(folder.glob("*.pub"))])
        return tuple(made), tuple(made.values())


class KeysRotate(ShowOne):
    """Add a new key pair in front of the others; old pairs stay valid until their lines are removed from the files.

    Every node needs the new public half (sign) or private half (fleet) before the server uses the pair: copy
    the .pub (sign) or .key (fleet) file to the nodes, restart them, and only then copy the other half to the server.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("key", choices=("sign", "fleet", "store"))
        parser.add_argument("folder", type=Path, help="folder with KEY.key and KEY.pub")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        private, public = (parsed_args.folder / f"{parsed_args.key}.{end}" for end in ("key", "pub"))
        if not private.exists() or not public.exists():
            raise KeyFileError(f"{private}, {public}: not there; 'refstack-queue keys generate' makes them")
        owner = private.stat()
        made = keys.generate_pair("sign" if parsed_args.key == "sign" else "seal", private, public)
        if os.geteuid() == 0:
            for path in (private, public):
                os.chown(path, owner.st_uid, owner.st_gid)
        return ("key", "id"), (parsed_args.key, made)


class KeysShow(Lister):
    """List the ids of the keys in refstack.cfg's files, the one in use first. The keys themselves are not shown."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        files = settings_of(self.app).keys
        read: Sequence[tuple[str, Path, keys.Keyring[Any]]] = (
            ("sign", files.sign, keys.load_sign_private(files.sign)),
            ("fleet", files.fleet, keys.load_seal_public(files.fleet)),
            ("store", files.store, keys.load_seal_private(files.store)),
        )
        rows = [
            (name, key_id, "still valid" if number else "in use", str(path))
            for name, path, ring in read
            for number, (key_id, _key) in enumerate(ring.keys)
        ]
        return ("Key", "Id", "State", "File"), rows


def _key_folder(settings: ServerSettings) -> Path:
    files = settings.keys
    folders = {file.parent for file in (files.sign, files.fleet, files.store)}
    if len(folders) > 1:
        raise UsageError("folder: refstack.cfg has keys in several folders (…_KEY_FILE); name one of them")
    return folders.pop()
