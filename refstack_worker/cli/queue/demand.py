"""``refstack-queue worker demand``: how many nodes are needed, from the API."""

from __future__ import annotations

import argparse

from cliff.lister import Lister

from refstack_worker.cli.queue.api_access import operator_api
from refstack_worker.cli.queue.records import Rows


class WorkerDemand(Lister):
    """Show how many runs wait for which nodes, and how many slots are missing: for autoscalers."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        names = ("function", "queued", "running", "slots", "needed", "waited")
        with operator_api(self.app) as api:
            found = api.get("/v1/demand")["demand"]
        heads = ("Function", "Waiting", "Running", "Slots", "Needed", "Longest wait (s)")
        return heads, [tuple(round(row[name]) if name == "waited" else row[name] for name in names) for row in found]
