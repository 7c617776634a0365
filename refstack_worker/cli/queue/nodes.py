"""``refstack-queue worker …``: the nodes of the fleet."""

from __future__ import annotations

import argparse

from cliff.command import Command
from cliff.lister import Lister

from refstack_worker.cli.queue.ledger_access import open_ledger, settings_of
from refstack_worker.cli.queue.records import Rows
from refstack_worker.contract.node_command import NodeAction

SILENT_SECONDS = 120.0
"""After which a node is shown as silent; nodes speak every 30 s."""


class WorkerList(Lister):
    """List the nodes: what they can build, how busy they are, when they were last heard of."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with open_ledger(settings_of(self.app)) as ledger:
            nodes, now = ledger.nodes.all(), ledger.clock()
        rows = [
            (
                node.name,
                node.state if now - node.seen_at < SILENT_SECONDS else "silent",
                node.slots,
                node.busy,
                " ".join(node.versions),
                " ".join(node.tags),
                round(now - node.seen_at, 1),
                node.software,
            )
            for node in nodes
        ]
        return ("Node", "State", "Slots", "Busy", "Versions", "Tags", "Heard s ago", "Software"), rows


class _NodeCommand(Command):
    """A command that asks something of a node through the ledger."""

    action: NodeAction

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("node", help="name of the node, as 'worker list' shows it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.node_commands.ask(parsed_args.node, self.action, "refstack-queue")
        self.app.stdout.write(f"{parsed_args.node} will {self.action.value} within 30 s\n")


class WorkerPause(_NodeCommand):
    """Let a node take no more runs until it is resumed; running ones continue."""

    action = NodeAction.PAUSE


class WorkerResume(_NodeCommand):
    """Let a paused node take runs again."""

    action = NodeAction.RESUME


class WorkerDrain(_NodeCommand):
    """Let a node finish its runs and end its worker."""

    action = NodeAction.DRAIN
