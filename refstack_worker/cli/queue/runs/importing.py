"""``refstack-queue run import``: take in a result that was made elsewhere."""

from __future__ import annotations

import argparse
import base64
from pathlib import Path
from typing import Any

from cliff.show import ShowOne

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.records import Columns, plain_columns
from refstack_worker.contract.limits import MAX_IMPORT_BYTES
from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import UsageError


class RunImport(ShowOne):
    """Import a result of refstack-client (JSON), or a subunit stream (v1 or v2). It is marked as not run here."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--tempest-version", required=True, metavar="V", help="Tempest version that produced it, e.g. 47.0.0"
        )
        parser.add_argument("--cpid", default="", help="id of the cloud; refstack-client's JSON contains it")
        parser.add_argument("--label", default="", help="name of the run")
        parser.add_argument("--guideline", default="", metavar="NAME", help="guideline to evaluate it against")
        parser.add_argument("--program", default="", help="program of the guideline")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        if bool(parsed_args.guideline) != bool(parsed_args.program):
            raise UsageError("give --guideline and --program together ('refstack-queue guideline list' shows them)")
        try:
            content = read_limited(parsed_args.file, MAX_IMPORT_BYTES)
        except OSError as error:
            raise UsageError(f"{parsed_args.file}: cannot be read: {error.strerror}") from error
        body: dict[str, Any] = {
            "content": base64.b64encode(content).decode("ascii"),
            "tempest_version": parsed_args.tempest_version,
            "cpid": parsed_args.cpid,
            "label": parsed_args.label,
        }
        if parsed_args.guideline:
            body["guideline"] = {"name": parsed_args.guideline, "program": parsed_args.program}
        with Api(access_of(self.app.options)) as api:
            return plain_columns(api.post("/v1/imports", body))
