"""``refstack-queue key …``: the key under which your results are uploaded to RefStack."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.records import Columns, plain_columns
from refstack_worker.contract.upload_key import PROOF, UploadKey

_PATH = "/v1/me/upload-key"


class KeyProof(ShowOne):
    """Create the two texts that register your upload key at RefStack.

    Paste both into its profile page. No server is contacted. FILE is your private key: RSA of 2048 bits or more, PEM or
    OpenSSH, without a passphrase.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("file", type=Path)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        key = UploadKey.read(parsed_args.file)
        return ("public_key", "signature"), (key.public, key.sign(PROOF))


class KeySet(ShowOne):
    """Store your private upload key on the server, encrypted."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--openid", default="", help="your OpenID at RefStack; needed to set guideline and target there"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        body: dict[str, Any] = {"private_key": UploadKey.read(parsed_args.file).pem, "openid": parsed_args.openid}
        with Api(access_of(self.app.options)) as api:
            return plain_columns(api.put(_PATH, body))


class KeyShow(ShowOne):
    """Show the public half of your upload key."""

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with Api(access_of(self.app.options)) as api:
            return plain_columns(api.get(_PATH))


class KeyDelete(Command):
    """Delete your upload key from the server."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            api.delete(_PATH)
