"""Celery as a peer: its application, for ``python -m celery -A _peer_celery worker`` and for ``_peer_client.py``.

It runs in the virtualenv of ``_peers.py``; the broker and the database are in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import sqlalchemy
from celery import Celery

URL = os.environ["PEER_DATABASE"].replace("postgresql:", "postgresql+psycopg2:")
app = Celery("_peer_celery", broker=os.environ["PEER_BROKER"], backend=f"db+{URL}")
# a job is lost with no worker: it is given back unless its end was recorded, as a run is
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)


@app.task
def noop(number: int) -> int:
    return number


def client(measure: Callable[..., None]) -> None:
    """Trigger jobs, and count those whose result is recorded."""
    engine = sqlalchemy.create_engine(URL)
    ended = sqlalchemy.text("SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'")

    def count() -> int:
        with engine.connect() as connection:
            return int(connection.execute(ended).scalar_one())

    # its worker makes the table of results with the first of them
    noop.delay(0).get(timeout=60)
    measure(noop.delay, count)
