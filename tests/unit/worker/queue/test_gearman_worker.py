"""A slot's side of the queue, against gear's own servers: several of them, restarted, frozen."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import gear
import pytest

from refstack_worker import gearman
from refstack_worker.worker.queue import gearman_worker
from refstack_worker.worker.queue.gearman_worker import Interrupted, SlotQueue
from tests.support.worker_parts import eventually


@pytest.fixture
def servers() -> Iterator[list[gearman.Server]]:
    made = [gearman.Server(0), gearman.Server(0)]
    yield made
    for server in made:
        server.shutdown()


def address(server: gearman.Server) -> gearman.Address:
    return gearman.Address("127.0.0.1", server.port)


@contextmanager
def slot(*addresses: gearman.Address, may_take: Any = lambda: True) -> Iterator[SlotQueue]:
    made = SlotQueue("node:0", ["f"], may_take)
    made.connect(addresses)
    try:
        yield made
    finally:
        made.shutdown()


def submit(at: gearman.Address, unique: str, function: str = "f") -> None:
    client = gearman.Client("test")
    gearman.add_servers(client, [at])
    client.waitForServer()
    client.submitJob(gear.Job(function.encode(), b"x", unique.encode()), background=True)
    client.shutdown()


def take(queue: SlotQueue) -> list[Any]:
    """Take jobs in a thread, one after the other without completing them, and return the growing list."""
    taken: list[Any] = []

    def work() -> None:
        try:
            taken.append(queue.next_job())
        except Interrupted as error:
            taken.append(error)

    threading.Thread(target=work, daemon=True).start()
    return taken


def waiting(server: gearman.Server) -> int:
    return sum(not job.running for job in list(server.jobs.values()))


def test_of_two_servers_only_one_gives_a_job_to_one_slot(servers: list[gearman.Server]) -> None:
    one, two = map(address, servers)
    submit(one, "1:1")
    submit(two, "2:1")
    with slot(one, two) as queue:
        eventually(lambda: len(queue.connected()) == 2)
        taken = take(queue)
        (first,) = eventually(lambda: taken)
        assert waiting(servers[0]) + waiting(servers[1]) == 1, "the other job stays for a worker that is free"
        queue.done(first)
        taken = take(queue)
        (second,) = eventually(lambda: taken)
        assert {first.unique, second.unique} == {b"1:1", b"2:1"}


def test_a_job_that_comes_while_both_sleep_is_taken_from_either(servers: list[gearman.Server]) -> None:
    with slot(*map(address, servers)) as queue:
        eventually(lambda: len(queue.connected()) == 2)
        for number, server in enumerate([*servers, *servers]):
            taken = take(queue)
            eventually(lambda: all(c.state == "SLEEP" for c in queue.active_connections))
            submit(address(server), f"{number}:1")
            (job,) = eventually(lambda taken=taken: taken)
            assert job.unique == f"{number}:1".encode()
            queue.done(job)
        eventually(lambda: not servers[0].jobs and not servers[1].jobs)


def test_no_job_is_asked_for_while_the_gate_is_shut(servers: list[gearman.Server]) -> None:
    open_now = threading.Event()
    with slot(address(servers[0]), may_take=open_now.is_set) as queue:
        eventually(queue.connected)
        taken = take(queue)
        submit(address(servers[0]), "1:1")
        queue.tick()
        # the server answers a submit before it counts the job
        assert eventually(lambda: waiting(servers[0]) == 1) and not taken
        open_now.set()
        queue.tick()
        eventually(lambda: taken)


def test_the_wait_can_be_ended(servers: list[gearman.Server]) -> None:
    with slot(address(servers[0])) as queue:
        taken = take(queue)
        eventually(lambda: queue.waiting_for_jobs)
        queue.stop_waiting()
        (ended,) = eventually(lambda: taken)
        assert isinstance(ended, Interrupted)


def test_functions_go_only_between_jobs(servers: list[gearman.Server]) -> None:
    server = servers[0]

    def registered() -> set[bytes]:
        return {name for connection in server.active_connections for name in connection.functions}

    with slot(address(server)) as queue:
        eventually(lambda: registered() == {b"f"})
        submit(address(server), "1:1")
        taken = take(queue)
        (job,) = eventually(lambda: taken)
        queue.offer(["g"])
        queue.tick()
        assert registered() == {b"f"} and not waiting(server)
        queue.done(job)
        taken = take(queue)
        eventually(lambda: registered() == {b"g"})
        submit(address(server), "2:1", "g")
        (job,) = eventually(lambda: taken)
        assert job.name == "g"


def test_a_function_that_comes_is_registered_at_once_while_it_waits(servers: list[gearman.Server]) -> None:
    with slot(address(servers[0])) as queue:
        taken = take(queue)
        eventually(lambda: queue.active_connections and queue.active_connections[0].state == "SLEEP")
        submit(address(servers[0]), "1:1", "new")
        queue.offer(["f", "new"])
        (job,) = eventually(lambda: taken)
        assert job.unique == b"1:1"


def test_the_end_of_a_job_whose_server_went_is_no_error(servers: list[gearman.Server]) -> None:
    server = gearman.Server(0)
    with slot(address(server)) as queue:
        submit(address(server), "1:1")
        taken = take(queue)
        (job,) = eventually(lambda: taken)
        server.shutdown()
        eventually(lambda: not queue.connected())
        queue.done(job)


SERVER = """
import sys, time
from refstack_worker import gearman
server = gearman.Server(0)
print(server.port, flush=True)
sys.stdin.read()
"""


def test_a_frozen_server_does_not_keep_the_slot_from_the_others(
    servers: list[gearman.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gearman_worker, "GRAB_SECONDS", 0.3)
    frozen = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    try:
        assert frozen.stdout is not None
        port = int(frozen.stdout.readline())
        with slot(gearman.Address("127.0.0.1", port), address(servers[0])) as queue:
            eventually(lambda: len(queue.connected()) == 2)
            frozen.send_signal(signal.SIGSTOP)
            for number in range(3):
                taken = take(queue)
                submit(address(servers[0]), f"{number}:1")
                deadline = time.monotonic() + 20
                while not taken and time.monotonic() < deadline:
                    queue.tick()
                    time.sleep(0.05)
                assert taken[0].unique == f"{number}:1".encode()
                queue.done(taken[0])
            frozen.send_signal(signal.SIGCONT)
    finally:
        frozen.kill()
        frozen.communicate()


def test_error_of_the_queue_costs_no_connection_and_no_traceback(servers, caplog) -> None:
    at = address(servers[0])
    with slot(at) as queue:
        taken = take(queue)
        eventually(lambda: at_work(servers[0]))
        (connection,) = at_work(servers[0])
        servers[0].sendError(connection, b"JOB_NOT_FOUND", b"Job given in work result not found")
        submit(at, "1:1")
        eventually(lambda: taken)
        assert at_work(servers[0]) == [connection]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def at_work(server: gearman.Server) -> list[Any]:
    """The connections of the workers that a server knows."""
    return [connection for connection in server.active_connections if connection.functions]


GRAB_JOB_UNIQ, JOB_ASSIGN_UNIQ = 30, 31


def received(listener: socket.socket) -> socket.socket:
    """Accept a worker and return its connection when it asks for a job."""
    connection, _ = listener.accept()
    connection.settimeout(20)
    received = b""
    while struct.pack("!4sii", b"\0REQ", GRAB_JOB_UNIQ, 0) not in received:
        data = connection.recv(4096)
        assert data, "it went away without asking"
        received += data
    return connection


def serve(listener: socket.socket, given: list[socket.socket]) -> None:
    """Give a job to each that asks, as gearmand does again when one is gone: gear may close one that it just made."""
    job = b"\0".join((b"H:1", b"f", b"1:1", b"x"))
    with suppress(OSError):  # the listener was closed, or no worker comes any more
        while True:
            with suppress(AssertionError, ConnectionError):
                given.append(received(listener))
                given[-1].sendall(struct.pack("!4sii", b"\0RES", JOB_ASSIGN_UNIQ, len(job)) + job)


def test_a_server_that_goes_away_as_it_is_asked_costs_neither_the_slot_nor_a_job() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as opened:
        listener.settimeout(20)
        with slot(gearman.Address("127.0.0.1", listener.getsockname()[1])) as queue:
            opened.enter_context(listener.accept()[0])
            eventually(queue.connected)
            # nothing can be sent any more, as when the server was killed a moment ago, and no one has noticed
            queue.active_connections[0].conn.shutdown(socket.SHUT_WR)
            taken, given = take(queue), []
            threading.Thread(target=serve, args=(listener, given), daemon=True).start()
            (assigned,) = eventually(lambda: taken)
            for connection in given:
                opened.enter_context(connection)
            assert assigned.unique == b"1:1"
