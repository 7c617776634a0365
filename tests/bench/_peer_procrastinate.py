"""Procrastinate as a peer: its application, for its own workers and for ``_peer_client.py``.

It runs in the virtualenv of ``_peers.py``; the database is in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import procrastinate
import psycopg

URL = os.environ["PEER_DATABASE"]
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=URL), import_paths=["_peer_procrastinate"])


@app.task(name="noop")
async def noop(number: int) -> None:
    return None


def client(measure: Callable[..., None]) -> None:
    """Trigger jobs, and count those whose end is recorded."""
    own = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=URL))
    own.open()
    trigger = own.configure_task("noop")
    with psycopg.connect(URL, autocommit=True) as connection:

        def count() -> int:
            row = connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'").fetchone()
            assert row is not None
            return int(row[0])

        measure(lambda number: trigger.defer(number=number), count)
    own.close()
