"""``refstack-queue pause``, ``resume`` and ``status``."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from cliff.command import Command
from cliff.show import ShowOne

from refstack_worker.cli.queue.api_access import is_remote, operator_api
from refstack_worker.cli.queue.nodes import SILENT_SECONDS, silent_for
from refstack_worker.cli.queue.records import Columns
from refstack_worker.contract.states import RunState
from refstack_worker.errors import QueueError


class PauseQueue(Command):
    """Pause the queue: new runs wait; running ones continue."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--reason", default="", help="shown to vendors whose runs wait")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.post("/v1/queue/pause", {"reason": parsed_args.reason})
        self.app.stdout.write("the queue is paused: new runs wait; running ones continue\n")


class ResumeQueue(Command):
    """Resume the queue: nodes get runs again."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with operator_api(self.app) as api:
            api.post("/v1/queue/resume")
        self.app.stdout.write("the queue hands out runs again\n")


class QueueStatus(ShowOne):
    """Show the state of the queue: runs by state, nodes, and on the server its database, Gearman servers and clocks.

    Clocks are shown as seconds ahead of the database's clock, which is used.

    On the server, exit status 7 means that no Gearman server responds.
    """

    _is_queue_away = False

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show it; the exit status tells scripts if there is no queue."""
        result = int(super().run(parsed_args) or 0)
        return QueueError.exit_code if self._is_queue_away else result

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        remote = is_remote(self.app.options)
        # only the server can be asked for its database and its queue
        server = None if remote else importlib.import_module("refstack_worker.cli.queue.server_state")
        shown: dict[str, Any] = {"database": server.database(self.app)} if server else {}
        with operator_api(self.app) as api:
            queue, nodes = api.get("/v1/queue"), api.get("/v1/nodes")["nodes"]
        pause = queue["pause"] or {}
        heard = [node for node in nodes if silent_for(node) < SILENT_SECONDS]
        states = [state.value for state in RunState if not state.is_end]
        shown.update(
            {
                "paused": queue["paused"],
                **({"paused_by": pause["by"], "pause_reason": pause["reason"]} if pause else {}),
                **{state: queue["runs"].get(state, 0) for state in states},
                "nodes": len(heard),
                "slots": sum(node["slots"] for node in heard),
            }
        )
        if server:
            found, self._is_queue_away = server.gearman(self.app)
            shown.update({**server.clocks(self.app), **found})
        return tuple(shown), tuple(shown.values())
