"""``refstack-queue worker demand``: how many nodes are needed, from the API."""

from __future__ import annotations

import argparse

from cliff.lister import Lister

from refstack_worker.cli.api_client import Api, access_of
from refstack_worker.cli.queue.records import Rows


class WorkerDemand(Lister):
    """Tell what waits for which nodes and how many slots are missing (operators): what a pool is scaled by."""

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        names = ("function", "queued", "running", "slots", "needed", "waited")
        with Api(access_of(self.app.options)) as api:
            found = api.get("/v1/demand")["demand"]
        heads = ("Function", "Waiting", "Running", "Slots", "Needed", "Oldest waits s")
        return heads, [tuple(round(row[name]) if name == "waited" else row[name] for name in names) for row in found]
