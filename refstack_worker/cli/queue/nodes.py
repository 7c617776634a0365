"""``refstack-queue worker …``: the nodes of the fleet."""

from __future__ import annotations

import argparse
import time

from cliff.lister import Lister

from refstack_worker.cli.queue.ledger_access import open_ledger, settings_of
from refstack_worker.cli.queue.records import Rows

SILENT_SECONDS = 120.0
"""After which a node is shown as silent; nodes speak every 30 s."""


class WorkerList(Lister):
    """List the nodes: what they can build, how busy they are, when they were last heard of."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        """Ask the ledger."""
        with open_ledger(settings_of(self.app)) as ledger:
            nodes = ledger.nodes.all()
        now = time.time()
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
