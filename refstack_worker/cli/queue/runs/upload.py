"""``refstack-queue run upload`` and ``run sign-request``: bring a result to RefStack."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cliff.command import Command
from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.output import save
from refstack_worker.cli.queue.records import Columns
from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import UsageError


class RunUpload(ShowOne):
    """Upload the passed tests of a run to RefStack, signed with your own key ('key set'). A result is uploaded once.

    With --signature the key stays with you: sign what 'run sign-request' wrote.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int, help="id of the run")
        parser.add_argument(
            "--signature",
            type=Path,
            metavar="FILE",
            help="file with a signature that was made elsewhere (hex or binary)",
        )
        parser.add_argument(
            "--public-key", type=Path, metavar="FILE", help="file with the public key of the signature (ssh-rsa …)"
        )
        parser.add_argument(
            "--again", action="store_true", help="send it although an earlier upload, which got no answer, may be there"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        if bool(parsed_args.signature) ^ bool(parsed_args.public_key):
            raise UsageError("--signature, --public-key: give both or none")
        body: dict[str, Any] = {"again": True} if parsed_args.again else {}
        if parsed_args.signature:
            public_key = _bytes(parsed_args.public_key).decode("utf-8-sig", "replace").strip()
            body.update(signature=_hex(_bytes(parsed_args.signature)), public_key=public_key)
        with Api(access_of(self.app.options)) as api:
            done = api.post(f"/v1/runs/{parsed_args.id}/upload", body)
        rows = {
            "test_id": done["test_id"],
            "url": done["url"],
            "uploaded": "already; nothing was sent" if done["repeated"] else "now",
            "note": "; ".join(done["notes"]),
        }
        return tuple(rows), tuple(rows.values())


class RunSignRequest(Command):
    """Write the bytes to be signed for an upload of a run.

    Sign them with RSA, PKCS#1 v1.5, SHA-256: openssl dgst -sha256 -sign KEY -out SIGNATURE FILE
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", type=int, help="id of the run")
        parser.add_argument("file", help="- is standard output")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with Api(access_of(self.app.options)) as api:
            save(api, f"/v1/runs/{parsed_args.id}/exports/refstack", parsed_args.file)


def _hex(data: bytes) -> str:
    text = data.decode("ascii", "replace").strip()
    try:
        bytes.fromhex(text)
    except ValueError:
        return data.hex()
    return text


def _bytes(path: Path) -> bytes:
    try:
        return read_limited(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
