"""``refstack-queue worker enrol``, ``keys``, ``revoke``: keys of single nodes."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.queue.api_access import operator_api
from refstack_worker.cli.queue.records import Columns, Rows

COLUMNS = ("Key", "Node", "State", "Enrolled", "Replaced", "Revoked", "By")


class WorkerEnrol(ShowOne):
    """Create a token with which a node enrols its own key ('refstack-worker enrol' on the node). It works once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "node", help="name of the node, as node.name in its worker.toml; default there: its host name"
        )
        parser.add_argument("--hours", type=float, default=1.0, help="how long the token works; default: 1")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with operator_api(self.app) as api:
            made = api.post(f"/v1/nodes/{quote(parsed_args.node, safe='')}/enrolment", {"hours": parsed_args.hours})
        return ("node", "token", "expires_at"), (made["node"], made["token"], made["expires_at"])


class WorkerKeys(Lister):
    """List the keys that nodes have enrolled. Runs are sealed to the active ones."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with operator_api(self.app) as api:
            return COLUMNS, [_row(key) for key in api.get("/v1/node-keys")["keys"]]


class WorkerRevoke(Lister):
    """Revoke all keys of a node, or the key with an id: it cannot open runs that are submitted from now on.

    It can still open runs that were submitted before. If runs are also sealed to the fleet's key (SEAL_TO), and the
    node has it, rotate that key too.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="NODE|KEY", help="name of a node, or id of a key")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with operator_api(self.app) as api:
            revoked = api.post(f"/v1/node-keys/{quote(parsed_args.name, safe='')}/revoke", {})
        return COLUMNS, [_row(key) for key in revoked["keys"]]


def _row(key: dict[str, Any]) -> tuple[Any, ...]:
    names = ("id", "node", "state", "enrolled_at", "replaced_at", "revoked_at", "revoked_by")
    return tuple(key[name] or "" for name in names)
