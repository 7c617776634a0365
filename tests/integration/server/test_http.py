"""The API behind a real HTTP server, on PostgreSQL: uploads that break off, come in pieces, or all at once."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import waitress

from refstack_worker.contract.states import RunState
from refstack_worker.server.app import create_app
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Event, Job, claimed, queued, stream

STREAM = stream([Event(f"a.B.test_{number}") for number in range(50)], padding=20_000)
BOUNDARY = "b0undary"


@pytest.fixture
def address(ledger: Ledger) -> Iterator[tuple[str, int]]:
    server = waitress.create_server(create_app(ledger), host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield "127.0.0.1", server.effective_port
    server.task_dispatcher.shutdown(timeout=10)
    server.close()
    thread.join(10)


def body() -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="subunit"\r\n\r\n'
    return head.encode() + STREAM + f"\r\n--{BOUNDARY}--\r\n".encode()


def head(job: Job, length: str) -> bytes:
    key = job.submission.key
    return (
        f"POST /post-result?test_id={key.test_id}&attempt={key.attempt} HTTP/1.1\r\nHost: refstack\r\n"
        f"Authorization: Bearer {job.token}\r\n{length}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nConnection: close\r\n\r\n"
    ).encode()


def post(address: tuple[str, int], job: Job) -> requests.Response:
    key = job.submission.key
    return requests.post(
        f"http://{address[0]}:{address[1]}/post-result?test_id={key.test_id}&attempt={key.attempt}",
        files={"file": STREAM},
        headers={"Authorization": f"Bearer {job.token}"},
        timeout=60,
    )


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_connection_closed_halfway_through_accepts_nothing(
    address: tuple[str, int], ledger: Ledger, part: float
) -> None:
    job = claimed(ledger)
    data = body()
    with socket.create_connection(address) as connection:
        connection.sendall(head(job, f"Content-Length: {len(data)}") + data[: int(len(data) * part)])
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(30)
        while connection.recv(65_536):
            pass
    assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED
    assert post(address, job).status_code == 201
    assert ledger.runs.get(job.submission.key.test_id).state is RunState.FINISHED
    assert list((ledger.settings.data / "uploads").iterdir()) == []


def test_a_body_without_its_end_is_refused(address: tuple[str, int], ledger: Ledger) -> None:
    job = claimed(ledger)
    data = body()[:-30]
    with socket.create_connection(address) as connection:
        connection.sendall(head(job, f"Content-Length: {len(data)}") + data)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400
    assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED


def test_in_pieces_of_unknown_length(address: tuple[str, int], ledger: Ledger) -> None:
    job = claimed(ledger)
    data = body()
    with socket.create_connection(address) as connection:
        connection.sendall(head(job, "Transfer-Encoding: chunked"))
        for start in range(0, len(data), 100_000):
            piece = data[start : start + 100_000]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 201
    assert len(ledger.results.tests(job.submission.key.test_id, ResultQuery())) == 50


def test_many_workers_claim_over_http_and_one_wins(address: tuple[str, int], ledger: Ledger) -> None:
    job = queued(ledger)
    key = job.submission.key
    start = threading.Barrier(8)

    def grab(number: int) -> int:
        start.wait()
        return requests.post(
            f"http://{address[0]}:{address[1]}/worker/v1/runs/{key.test_id}/attempts/{key.attempt}/claim",
            json={"claim": f"claim-{number}", "worker": f"node-{number}"},
            headers={"Authorization": f"Bearer {job.token}"},
            timeout=60,
        ).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(grab, range(8))) == [200] + [409] * 7


def test_many_results_at_once_are_one(address: tuple[str, int], ledger: Ledger) -> None:
    job = claimed(ledger)
    with ThreadPoolExecutor(6) as pool:
        assert {answer.status_code for answer in pool.map(lambda _: post(address, job), range(6))} == {201}
    assert len(ledger.results.tests(job.submission.key.test_id, ResultQuery())) == 50


def raw(address: tuple[str, int], request: bytes) -> bytes:
    """Say these bytes; return all that is answered until the server closes, or is silent for a second."""
    said = b""
    with socket.create_connection(address) as connection:
        connection.sendall(request)
        connection.settimeout(1.0)
        with contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                said += data
    return said


INNER = b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "heads",
    [
        b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(INNER),
        b"Content-Length: +0\r\n\r\n",
        b"Content-Length: 0x0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        b"X-Is: one\n two\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_request_in_a_request_is_answered_once_and_the_connection_closed(
    address: tuple[str, int], heads: bytes
) -> None:
    # what a proxy in front might read otherwise than this server is answered by an error, and nothing behind it is read
    answered = raw(address, b"POST /v1/runs HTTP/1.1\r\nHost: x\r\n" + heads + INNER)
    assert answered.count(b"HTTP/1.") == 1 and b"openapi" not in answered
    assert answered.split(b" ", 2)[1][:1] in (b"4", b"5"), answered[:80]


def test_a_body_in_pieces_is_no_larger_than_one_at_once(address: tuple[str, int]) -> None:
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    start = b"POST /update-test-status/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    start += b"Transfer-Encoding: chunked\r\n\r\n"
    assert raw(address, start + piece * 4 + b"0\r\n\r\n").split(b" ", 2)[1] == b"413"


def test_a_compressed_body_is_not_unpacked(address: tuple[str, int]) -> None:
    bomb = gzip.compress(b'{"a": ' + b" " * 50_000_000 + b"1}")
    answer = requests.post(
        f"http://{address[0]}:{address[1]}/update-test-status/",
        data=bomb,
        headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 400 and "is compressed" in answer.json()["error"]
