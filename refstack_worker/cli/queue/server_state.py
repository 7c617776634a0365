"""What only the server itself can tell: its database, and the Gearman servers that it uses."""

from __future__ import annotations

from typing import Any

from refstack_worker.cli.queue.ledger_access import open_ledger, settings_of
from refstack_worker.errors import QueueError
from refstack_worker.server.db import migrate
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.client import QueueClient


def database(app: Any) -> str:
    """Return the revision of the database."""
    with open_ledger(settings_of(app)) as ledger:
        return migrate.current(ledger.database) or "none: run 'refstack-queue db upgrade'"


def clocks(app: Any) -> dict[str, str]:
    """Return how far the clocks of the server's machines are off the database's."""
    with open_ledger(settings_of(app)) as ledger:
        return clocks_of(ledger)


def clocks_of(ledger: Ledger) -> dict[str, str]:
    """Return the same, of a ledger."""
    others = {f"clock of {one.name}": f"{one.skew:+.1f} s" for one in ledger.server_clocks.recent()}
    return {"clock of this machine": f"{ledger.server_clocks.of_this_machine():+.1f} s", **others}


def gearman(app: Any) -> tuple[dict[str, str], bool]:
    """Return how each Gearman server is and which functions there are, and whether no server answers."""
    client = QueueClient(settings_of(app))
    try:
        servers = client.servers()
        shown = {f"gearman {name}": trouble or "answers" for name, trouble in servers.items()}
        return {**shown, "functions": _functions(client)}, all(servers.values())
    finally:
        client.close()


def _functions(client: QueueClient) -> str:
    try:
        found = client.functions().values()
    except QueueError:
        return "not known"
    return "; ".join(f"{one.name}: {one.workers} workers, {one.jobs} jobs" for one in sorted(found, key=str)) or "none"
