"""``refstack-queue pause``, ``resume`` and ``status``."""

from __future__ import annotations

import argparse
import getpass
from collections import Counter
from typing import Any

from cliff.command import Command
from cliff.show import ShowOne

from refstack_worker.cli.queue.ledger_access import open_ledger, settings_of
from refstack_worker.cli.queue.nodes import SILENT_SECONDS
from refstack_worker.cli.queue.records import Columns
from refstack_worker.contract.states import RunState
from refstack_worker.errors import QueueError
from refstack_worker.server.db import migrate
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.client import QueueClient

MAX_RUNS = 1000


class PauseQueue(Command):
    """Give no more runs to workers; what they hold goes on. Runs are still recorded."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.queue.pause(getpass.getuser())


class ResumeQueue(Command):
    """Give runs to workers again."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Switch, and hand out at once what has waited."""
        with open_ledger(settings_of(self.app)) as ledger:
            ledger.queue.resume(getpass.getuser())


class QueueStatus(ShowOne):
    """Show the state of the whole queue: database, Gearman servers, runs that wait or are held, nodes, clocks.

    A clock is shown as what it is ahead of the database's, which counts.

    The exit status is 7 when no Gearman server answers.
    """

    _is_queue_away = False

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Show it, and tell scripts too when there is no queue."""
        result = int(super().run(parsed_args) or 0)
        return QueueError.exit_code if self._is_queue_away else result

    def take_action(self, parsed_args: argparse.Namespace) -> Columns:
        settings = settings_of(self.app)
        with open_ledger(settings) as ledger:
            states = Counter(
                run.state.value for run in ledger.runs.find(RunQuery(states=_open_states(), limit=MAX_RUNS))
            )
            nodes = [node for node in ledger.nodes.all() if ledger.clock() - node.seen_at < SILENT_SECONDS]
            shown: dict[str, Any] = {
                "database": migrate.current(ledger.database) or "none: run 'refstack-queue db upgrade'",
                "paused": ledger.queue.is_paused(),
                **{state.value: states[state.value] for state in _open_states()},
                "nodes": len(nodes),
                "slots": sum(node.slots for node in nodes),
                **_clocks(ledger),
            }
        client = QueueClient(settings)
        try:
            servers = client.servers()
            self._is_queue_away = all(servers.values())
            shown.update({f"gearman {name}": trouble or "answers" for name, trouble in servers.items()})
            shown["functions"] = _functions(client)
        finally:
            client.close()
        return tuple(shown), tuple(shown.values())


def _clocks(ledger: Ledger) -> dict[str, str]:
    """Return how far the clocks of the server's machines are off the database's."""
    others = {f"clock of {one.name}": f"{one.skew:+.1f} s" for one in ledger.server_clocks.recent()}
    return {"clock of this machine": f"{ledger.server_clocks.of_this_machine():+.1f} s", **others}


def _open_states() -> tuple[RunState, ...]:
    return tuple(state for state in RunState if not state.is_end)


def _functions(client: QueueClient) -> str:
    try:
        found = client.functions().values()
    except QueueError:
        return "not known"
    return "; ".join(f"{one.name}: {one.workers} workers, {one.jobs} jobs" for one in sorted(found, key=str)) or "none"
