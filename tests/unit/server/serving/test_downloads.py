"""Readers who do not read hold few threads, and not for ever."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from refstack_worker import gearman
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.server.app import create_app
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.serving import downloads
from refstack_worker.server.serving.downloads import Downloads
from refstack_worker.server.serving.http_server import THREADS, http_server
from tests.support.ledgers import Clock, Event, Job, claimed, stream


def test_so_many_at_once_of_one_and_of_all() -> None:
    gate = Downloads()
    of_one = [gate.of("1", [b"x"]) for _ in range(downloads.MAX_OF_ONE)]
    with pytest.raises(RefusedError, match="running already"):
        gate.of("1", [b"x"])
    others = [gate.of(str(number), [b"x"]) for number in range(2, 2 + downloads.MAX_DOWNLOADS - downloads.MAX_OF_ONE)]
    with pytest.raises(RefusedError, match="too many"):
        gate.of("99", [b"x"])
    of_one[0].close()
    of_one[0].close()
    assert list(gate.of("99", [b"a", b"b"])) == [b"a", b"b"]
    # forgotten, as after HEAD
    del others
    assert [gate.of(str(number), ["x"]) for number in (1, 2, 3)]


def test_who_reads_too_slowly_is_broken_off() -> None:
    clock = Clock()
    pieces = iter([b"x" * downloads.LEAST_SPEED] * 1000)
    slow, quick = (Downloads(clock).of("1", pieces) for _ in range(2))
    for _ in range(int(downloads.PATIENCE) * 2):
        next(quick)
    next(slow)
    clock.forward(downloads.PATIENCE + 1)
    next(quick)
    with pytest.raises(ServerError, match="was aborted"):
        next(slow)


@pytest.fixture
def port(ledger: Ledger) -> Iterator[int]:
    server = http_server(create_app(ledger), gearman.Address("127.0.0.1", 0), ledger.settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server.effective_port
    server.task_dispatcher.shutdown(timeout=10)
    server.close()
    thread.join(10)


def heartbeat(job: Job) -> bytes:
    said = json.dumps({"claim": "claim-of-node-1", "worker": "node-1", "state": "running", "progress": {}}).encode()
    path = f"/worker/v1/runs/{job.submission.key.test_id}/attempts/{job.submission.key.attempt}/heartbeat"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {job.token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n".encode() + said


def test_readers_who_do_not_read_leave_threads_for_heartbeats(ledger: Ledger, port: int, tmp_path: Path) -> None:
    job = claimed(ledger)
    # more than fits into the buffers of the HTTP server and of the connection
    file = tmp_path / "result"
    file.write_bytes(stream([Event(f"a.B.test_{number}") for number in range(120)], padding=400_000))
    acceptance.accept(ledger, job.proof, Upload.of(file, {}))
    token = ledger.tokens.add("op", ["operator"], None)[1]
    path = f"/v1/runs/{job.submission.key.test_id}/subunit"
    with ExitStack() as held:
        for _ in range(THREADS + 2):
            reader = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            reader.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            reader.settimeout(30)
            assert reader.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 429")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as other:
            other.sendall(heartbeat(claimed(ledger)))
            assert other.recv(15) == b"HTTP/1.1 200 OK"
