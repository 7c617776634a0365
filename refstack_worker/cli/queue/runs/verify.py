"""``refstack-queue verify``: check a signed verdict without the server."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cliff.command import Command

from refstack_worker.contract import keys, signed_verdict, text_lists
from refstack_worker.contract.text_files import read_limited
from refstack_worker.errors import UsageError


class VerifyVerdict(Command):
    """Check the signature of a verdict that a server signed, and print the verdict.

    FILE is what 'run export N verdict' wrote, or a report that 'run export N html' wrote. No server is asked. Exit
    status 0: the signature is right (whether the program passed or not); 13: the verdict was changed or is signed by
    another key.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("file", type=Path)
        parser.add_argument("--key", type=Path, required=True, help="the server's public key, sign.pub")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        signed = signed_verdict.read(_text(parsed_args.file), str(parsed_args.file))
        document = signed_verdict.verify(signed, keys.load_sign_public(parsed_args.key))
        self.app.stdout.write(summary(document, str(signed["signature"]["key"])))
        return 0


def summary(document: Mapping[str, Any], key: str) -> str:
    """Return what a genuine verdict says, for people."""
    run, guideline, verdict = document["run"], document["guideline"], document["verdict"]
    tests = {test["name"]: test["status"] for one in verdict["capabilities"]["required"] for test in one["tests"]}
    passed = sum(status == "passed" for status in tests.values())
    own = "" if guideline["origin"] == "official" else " (the vendor's own guideline, NOT an official one)"
    tempest = document["tempest"]["version"] or document["tempest"]["openstack_release"] or "unknown"
    lines = [
        f"genuine: signed by key {key}",
        f"{verdict['program']}, guideline {guideline['name']}{own}: {'passed' if verdict['passed'] else 'not passed'}",
        f"required tests passed: {passed} of {len(tests)}",
        f"guideline file: SHA-256 {guideline['sha256']}",
        f"run {run['id']}, attempt {run['attempt']}{', imported, not run here' if run['kind'] == 'imported' else ''}",
        f"accepted: {document['result']['accepted_at']}, result SHA-256 {document['result']['sha256']}",
        f"Tempest: {tempest}, lock SHA-256 {document['tempest']['lock_sha256'] or 'unknown'}",
        f"node: {document['node']['name'] or 'unknown'}, cloud: {document['cloud']['cpid'] or 'unknown'}",
    ]
    lines += [_combined(one) for one in document.get("combined", ())]
    if document.get("not_combined"):
        lines.append(document["not_combined"])
    return "\n".join(lines) + "\n"


def _combined(one: Mapping[str, Any]) -> str:
    # verdicts of early versions name run and digest alone
    cloud, tempest = (one.get(name) or "unknown" for name in ("cpid", "tempest_version"))
    return f"combined with the others here: run {one['run']}, Tempest {tempest}, cloud {cloud}"


def _text(path: Path) -> str:
    try:
        return text_lists.decode(read_limited(path, signed_verdict.MAX_BYTES), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
