"""``refstack-queue worker …``: the nodes of the fleet."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from refstack_worker.cli.queue.api_access import Calls, operator_api
from refstack_worker.cli.queue.records import Columns, Rows
from refstack_worker.contract.node_command import NodeAction
from refstack_worker.errors import NotFoundError

SILENT_SECONDS = 120.0
"""After which a node is shown as silent; nodes report every 30 s."""


class WorkerList(Lister):
    """List the nodes: Tempest versions, slots in use, and when each last reported."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with operator_api(self.app) as api:
            nodes = api.get("/v1/nodes")["nodes"]
        rows = [
            (
                node["name"],
                state_of(node),
                node["slots"],
                node["busy"],
                " ".join(node["versions"]),
                " ".join(node["tags"]),
                round(silent_for(node), 1),
                node["software"],
                node.get("key") or "fleet's",
                node.get("key_since") or "",
            )
            for node in nodes
        ]
        return (
            "Node",
            "State",
            "Slots",
            "Busy",
            "Versions",
            "Tags",
            "Last report (s ago)",
            "Software",
            "Key",
            "Key since",
        ), rows


class WorkerShow(ShowOne):
    """Show a node and its runs."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_node(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        with operator_api(self.app) as api:
            node = _node_called(api, parsed_args.node)
            runs = api.get("/v1/runs", {"worker": parsed_args.node, "limit": 50})["runs"]
        shown = {
            **{name: " ".join(value) if isinstance(value, list) else value for name, value in node.items()},
            "state": state_of(node),
            "runs": "\n".join(f"{run['test_id']} {run['state']} {run['label']}".rstrip() for run in runs),
        }
        return tuple(shown), tuple(shown.values())


class WorkerForget(Command):
    """Remove a node from the list; it comes back when its worker connects again."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_node(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            # the API removes what is not there, too
            _node_called(api, parsed_args.node)
            api.delete(f"/v1/nodes/{quote(parsed_args.node, safe='')}")


class _NodeCommand(Command):
    """A command that asks something of a node."""

    action: NodeAction

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _with_node(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.post(f"/v1/nodes/{quote(parsed_args.node, safe='')}/commands", {"action": self.action.value})
        self.app.stdout.write(f"{parsed_args.node} will {self.action.value} within 30 s\n")


class WorkerPause(_NodeCommand):
    """Pause a node: it takes no more runs until it is resumed; running ones continue."""

    action = NodeAction.PAUSE


class WorkerResume(_NodeCommand):
    """Resume a paused node: it takes runs again."""

    action = NodeAction.RESUME


class WorkerDrain(_NodeCommand):
    """Drain a node: it finishes its runs, then its worker ends."""

    action = NodeAction.DRAIN


def state_of(node: dict[str, Any]) -> str:
    """Return the state of a node, with the order that it has yet to carry out, or ``silent``."""
    if silent_for(node) >= SILENT_SECONDS:
        return "silent"
    return f"{node['state']}, {node['asked']} asked" if node.get("asked") else str(node["state"])


def silent_for(node: dict[str, Any]) -> float:
    """Return the seconds since a node last reported, by the server's clock."""
    return float(node["silent_seconds"])


def _node_called(api: Calls, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [node for node in api.get("/v1/nodes")["nodes"] if node["name"] == name]
    if not found:
        raise NotFoundError(f"there is no node {name!r} ('refstack-queue worker list' shows them)")
    return found[0]


def _with_node(parser: Any) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = parser
    found.add_argument("node", help="name of the node, as 'worker list' shows it")
    return found
