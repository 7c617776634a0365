"""The floor of a dispatch as a peer: what a queue like this one cannot leave out, and nothing else.

A run costs three statements, each committed (triggered, claimed, ended), and one job of gearmand. There are no tokens,
no checks, no signature and no seal; answers are numbers. The steps are taken in the database, or asked of an API
without a framework if the environment has its address. ``python _peer_floor.py`` is a worker.
"""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import gear
import psycopg2

from refstack_worker import gearman

DATABASE = os.environ["PEER_DATABASE"]
QUEUE = gearman.Address.parse(os.environ["PEER_QUEUE"])
FUNCTION = os.environ["PEER_FUNCTION"]
API = os.environ.get("PEER_API", "")
BODY = b"x" * 1000
SCHEMA = "CREATE TABLE run (id serial PRIMARY KEY, body bytea, created float8, claimed float8, ended float8)"
STATEMENTS = {
    "trigger": "PREPARE trigger (bytea) AS INSERT INTO run (body, created) VALUES ($1, 1) RETURNING id",
    "claim": "PREPARE claim (int) AS UPDATE run SET claimed = 1 WHERE id = $1 AND claimed IS NULL RETURNING id",
    "end": "PREPARE done (int) AS UPDATE run SET ended = 1 WHERE id = $1 AND claimed = 1 RETURNING id",
}
CALLS = {"trigger": "EXECUTE trigger (%s)", "claim": "EXECUTE claim (%s)", "end": "EXECUTE done (%s)"}


class Direct:
    """The steps of a run, in the database, by a connection for each thread."""

    def __init__(self, submit: Callable[[int], None] | None = None) -> None:
        self._submit = submit
        self._local = threading.local()

    def step(self, name: str, value: Any) -> int:
        """Take a step; the first one submits the job too. Returns the run's number."""
        cursor = getattr(self._local, "cursor", None)
        if cursor is None:
            connection = psycopg2.connect(DATABASE)
            connection.autocommit = True
            cursor = self._local.cursor = connection.cursor()
            for statement in STATEMENTS.values():
                cursor.execute(statement)
        cursor.execute(CALLS[name], (value,))
        number = int(cursor.fetchone()[0])
        if name == "trigger" and self._submit is not None:
            self._submit(number)
        return number


class OverHttp:
    """The same steps, asked of the application by a kept connection for each thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    def step(self, name: str, value: Any) -> int:
        """Take a step, as :meth:`Direct.step` does."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(urlsplit(API).netloc)
        body = value if isinstance(value, bytes) else str(value).encode()
        connection.request("POST", f"/{name}", body)
        answer: http.client.HTTPResponse = connection.getresponse()
        return int(answer.read())


def submitter() -> Callable[[int], None]:
    """Return what puts a run on gearmand."""
    client = gearman.Client("floor")
    gearman.add_servers(client, [QUEUE])
    client.waitForServer()

    def submit(number: int) -> None:
        job = gear.Job(FUNCTION.encode(), str(number).encode() + b" " + BODY, str(number).encode())
        client.submitJob(job, background=True, timeout=30)

    return submit


def application() -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Return the API: the three steps of :class:`Direct`, with no framework."""
    direct = Direct(submitter())

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        name = environ["PATH_INFO"][1:]
        if name not in CALLS:
            start("404 Not Found", [("Content-Length", "0")])
            return []
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        text = str(direct.step(name, body if name == "trigger" else int(body))).encode()
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
        return [text]

    return answer


def client(measure: Callable[..., None]) -> None:
    """Trigger runs, and count those whose end is recorded."""
    steps = OverHttp() if API else Direct(submitter())
    with psycopg2.connect(DATABASE) as connection:
        connection.autocommit = True
        cursor = connection.cursor()

        def count() -> int:
            cursor.execute("SELECT count(*) FROM run WHERE ended > 0")
            return int(cursor.fetchone()[0])

        measure(lambda number: steps.step("trigger", BODY), count)


def create() -> None:
    """Make the table."""
    with psycopg2.connect(DATABASE) as connection:
        connection.cursor().execute(SCHEMA)


def work() -> None:
    """Take jobs, claim each and end it."""
    steps = OverHttp() if API else Direct()
    worker = gearman.Worker("floor")
    gearman.add_servers(worker, [QUEUE])
    worker.waitForServer()
    worker.registerFunction(FUNCTION)
    while True:
        job = worker.getJob()
        number = int(bytes(job.arguments).partition(b" ")[0])
        steps.step("claim", number)
        steps.step("end", number)
        job.sendWorkComplete()


if __name__ == "__main__":
    work()
