"""Which versions this server consists of."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from refstack_worker.server.db import migrate
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services.callers import Caller
from refstack_worker.version import software_version

LIBRARIES = ("Flask", "SQLAlchemy", "alembic", "cryptography", "gear", "prometheus-client", "waitress")


def versions(ledger: Ledger, caller: Caller) -> dict[str, Any]:
    """Return the versions of software and database; for operators also of Python, libraries and nodes."""
    found: dict[str, Any] = {
        "software": software_version(),
        "database": {"kind": ledger.database.engine.dialect.name, "revision": migrate.current(ledger.database)},
    }
    if caller.is_operator:
        found["python"] = platform.python_version()
        found["libraries"] = {name: _version(name) for name in LIBRARIES}
        nodes: dict[str, int] = {}
        for node in ledger.nodes.all():
            nodes[node.software] = nodes.get(node.software, 0) + 1
        found["nodes"] = nodes
    return found


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
