"""A job is queued, surely not queued, or uncertain: nothing in between, against real servers and broken ones."""

from __future__ import annotations

import contextlib
import socket
import threading

import gear
import pytest

from refstack_worker import gearman
from refstack_worker.errors import QueueError
from refstack_worker.server.queue.connection import Cancelled, GearmanConnection, Job, Outcome

FUNCTION = "refstack:tempest:47.0.0"


@pytest.fixture(params=[gearman.Server, gear.Server], ids=["embedded", "geard"])
def server(request):
    running = request.param(port=0, host="127.0.0.1")
    yield running
    running.shutdown()


@pytest.fixture
def link(server):
    made = GearmanConnection(gearman.Address("127.0.0.1", server.port))
    yield made
    made.close()


@contextlib.contextmanager
def listener(answer):
    """Listen on a free port and let ``answer`` deal with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = sock.accept()
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield gearman.Address("127.0.0.1", sock.getsockname()[1])
        sock.shutdown(socket.SHUT_RDWR)
    thread.join()


def job(unique="1:1", **more):
    return Job(FUNCTION, unique, b"sealed", **more)


def test_submitted_job_is_what_was_given(server, link):
    done = link.submit(Job(FUNCTION, "7:2", b"rsw1.\0binary", gear.PRECEDENCE_HIGH))
    assert done.outcome is Outcome.QUEUED
    assert done.server == f"127.0.0.1:{server.port}"
    assert link.known([("7:2", done.handle)]), "gear's server answers before it has put the job into its queue"
    (queued,) = server.high_queue
    assert (queued.handle.decode(), queued.binary_name.decode(), queued.binary_unique, queued.arguments) == (
        done.handle,
        FUNCTION,
        b"7:2",
        b"rsw1.\0binary",
    )


def test_large_job_arrives_whole(server, link):
    data = bytes(range(256)) * 4096
    assert link.submit(Job(FUNCTION, "1:1", data)).outcome is Outcome.QUEUED
    link.admin(gear.StatusAdminRequest())
    assert server.normal_queue[0].arguments == data


def test_known_and_cancel(server, link):
    first, second = link.submit(job("1:1")), link.submit(job("2:1"))
    pairs = [("1:1", first.handle), ("2:1", second.handle), ("3:1", "H:none:9")]
    assert set(link.known(pairs)) == {"1:1", "2:1"}
    assert link.cancel(first.handle, -10) is Cancelled.OK
    assert link.cancel(first.handle, -10) is Cancelled.UNKNOWN
    assert set(link.known(pairs)) == {"2:1"}


def test_more_questions_than_go_at_once(link):
    pairs = [(f"{number}:1", link.submit(job(f"{number}:1")).handle) for number in range(1, 451)]
    assert set(link.known(pairs)) == {unique for unique, _ in pairs}


def test_handle_of_another_job_does_not_hide_a_lost_one():
    server = gearman.Server(port=0, host="127.0.0.1")
    link = GearmanConnection(gearman.Address("127.0.0.1", server.port))
    lost = link.submit(job("1:1"))
    port = server.port
    server.shutdown()
    server = gearman.Server(port=port, host="127.0.0.1")
    fresh = link.submit(job("2:1"))
    try:
        assert fresh.outcome is Outcome.QUEUED
        assert fresh.handle == lost.handle, "handles start again at 1: the case this test is about"
        assert set(link.known([("1:1", lost.handle), ("2:1", fresh.handle)])) == {"2:1"}
    finally:
        link.close()
        server.shutdown()


def test_status_lines(link):
    link.submit(job())
    assert link.admin(gear.StatusAdminRequest()) == [f"{FUNCTION}\t1\t0\t0"]


def test_nobody_listens_is_not_sent():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        link = GearmanConnection(gearman.Address("127.0.0.1", taken.getsockname()[1]))
        done = link.submit(job())
        assert done.outcome is Outcome.NOT_SENT
        assert "cannot be reached" in done.message
        with pytest.raises(QueueError, match="a moment ago"):
            link.known([("1:1", "H:1")])


def test_closed_after_the_job_is_uncertain():
    with listener(lambda connection: connection.recv(4096)) as address:
        done = GearmanConnection(address).submit(job())
    assert done.outcome is Outcome.UNCERTAIN


def test_silence_after_the_job_is_uncertain():
    with listener(lambda connection: connection.recv(4096) and connection.recv(4096)) as address:
        link = GearmanConnection(address, timeout=0.2)
        assert link.submit(job()).outcome is Outcome.UNCERTAIN


def test_garbage_after_the_job_is_uncertain():
    def answer(connection):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listener(answer) as address:
        assert GearmanConnection(address, timeout=1).submit(job()).outcome is Outcome.UNCERTAIN


def test_error_answer_is_not_sent():
    def answer(connection):
        connection.recv(4096)
        connection.sendall(gear.Packet(b"\0RES", 19, b"QUEUE_ERROR\0disk full").toBinary())
        connection.recv(4096)

    with listener(answer) as address:
        link = GearmanConnection(address)
        done = link.submit(job())
        link.close()
    assert done.outcome is Outcome.NOT_SENT
    assert "disk full" in done.message


def test_server_that_closed_while_idle_spends_no_attempt(link, server):
    assert link.submit(job("1:1")).outcome is Outcome.QUEUED
    port = server.port
    server.shutdown()
    again = type(server)(port=port, host="127.0.0.1")
    try:
        assert link.submit(job("2:1")).outcome is Outcome.QUEUED
    finally:
        link.close()
        again.shutdown()


def test_handle_of_an_older_connection_is_not_cancelled(link, server):
    done = link.submit(job())
    assert link.cancel(done.handle, 60) is Cancelled.UNSURE
    assert set(link.known([("1:1", done.handle)])) == {"1:1"}


def test_handle_cannot_smuggle_a_command(link):
    with pytest.raises(QueueError):
        link.cancel("H:1\nshutdown", 0)
