"""The queue client between the real ledger and a real gear server: what is recorded gets queued once, sealed."""

from __future__ import annotations

import base64
import socket
import time
from types import SimpleNamespace

import gear
import pytest
from nacl.public import PrivateKey
from sqlalchemy import insert

from refstack_worker import gearman
from refstack_worker.contract import envelope, keys
from refstack_worker.contract.states import RunState
from refstack_worker.errors import KeyFileError
from refstack_worker.server.db import node_key_tables
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue import connection
from refstack_worker.server.queue.client import QueueClient
from tests.support.ledgers import CONF, PASSWORD, make_settings, new_run
from tests.support.worker_parts import eventually
from tests.unit.server.queue.test_connection import listener

FUNCTION = "refstack:tempest:47.0.0"


@pytest.fixture
def server():
    running = gearman.Server(port=0, host="127.0.0.1")
    yield running
    running.shutdown()


@pytest.fixture
def settings(tmp_path, server):
    return make_settings(tmp_path, GEARMAN_SERVER=f"127.0.0.1:{server.port}")


@pytest.fixture
def client(settings):
    made = QueueClient(settings, timeout=2)
    yield made
    made.close()


def queue_of(server, client):
    client.functions()  # gear's server answers a submit before it has queued the job
    return server.getQueue()


def other_client(ledger, *addresses):
    settings = make_settings(ledger.settings.keys.sign.parent.parent, GEARMAN_SERVER=[str(one) for one in addresses])
    return QueueClient(settings, timeout=0.3)


def test_recorded_run_becomes_one_sealed_job(ledger, client, server, settings):
    run = ledger.runs.add(new_run(spec=RunSpec(tempest_version="47.0.0", concurrency=3, timeout=600, tag="eu")))
    assert client.submit_pending(ledger) == 1
    assert client.submit_pending(ledger) == 0, "what the queue has is not given to it again"
    (job,) = queue_of(server, client)
    assert job.binary_name.decode() == f"{FUNCTION}:eu"
    assert job.binary_unique == f"{run.test_id}:1".encode()
    assert PASSWORD.encode() not in job.arguments
    folder = settings.keys.sign.parent
    opener = envelope.Opener(keys.load_seal_private(folder / "fleet.key"), keys.load_sign_public(folder / "sign.pub"))
    payload = opener.open(job.arguments)
    assert payload.conf_json == CONF
    assert (payload.test_id, payload.attempt, payload.callback) == (run.test_id, 1, settings.web.address)
    assert (payload.tempest_version, payload.concurrency, payload.timeout) == ("47.0.0", 3, 600)
    (attempt,) = ledger.attempts.of_run(run.test_id)
    assert attempt.server == f"127.0.0.1:{server.port}"
    assert attempt.handle == job.handle.decode()


def test_a_run_submitted_later_is_sealed_to_enrolled_nodes_too(ledger, client, server, settings):
    """What the API cannot submit at once (a pause, an outage, a new attempt) was sealed to the fleet's key alone."""
    own = PrivateKey.generate()
    public = bytes(own.public_key)
    with ledger.database.writing() as database:
        row = {"id": keys.key_id(public), "node": "node-1", "public": base64.b64encode(public).decode()}
        database.execute(insert(node_key_tables.node_key).values({**row, "enrolled_at": ledger.clock()}))
    ledger.runs.add(new_run(spec=RunSpec(tempest_version="47.0.0")))
    client.submit_pending(ledger)
    (job,) = queue_of(server, client)
    servers = keys.load_sign_public(settings.keys.sign.parent / "sign.pub")
    opener = envelope.Opener(keys.Keyring(((keys.key_id(public), own),)), servers)
    assert opener.open(job.arguments).conf_json == CONF


def test_release_runs_go_to_the_function_of_the_release(ledger, client, server):
    ledger.runs.add(new_run(spec=RunSpec(openstack_release="2025.1")))
    client.submit_pending(ledger)
    assert [job.binary_name for job in queue_of(server, client)] == [b"refstack:openstack:2025.1"]


def test_priority_is_the_jobs_precedence(ledger, client, server):
    for priority in (-1, 0, 1):
        ledger.runs.add(new_run(spec=RunSpec(tempest_version="47.0.0", priority=priority)))
    client.submit_pending(ledger)
    queue_of(server, client)
    assert [len(queue) for queue in (server.low_queue, server.normal_queue, server.high_queue)] == [1, 1, 1]


def test_more_runs_than_go_under_one_lease(ledger, client, server):
    for _ in range(120):
        ledger.runs.add(new_run())
    assert client.submit_pending(ledger) == 120
    assert len({job.binary_unique for job in queue_of(server, client)}) == 120


def test_queue_that_is_down_costs_no_attempt(ledger, server, client):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = other_client(ledger, f"127.0.0.1:{taken.getsockname()[1]}")
        run = ledger.runs.add(new_run())
        assert away.submit_pending(ledger) == 0
    waiting = ledger.runs.get(run.test_id)
    assert (waiting.state, waiting.attempt) == (RunState.QUEUED, 1)
    assert "waiting for the queue" in ledger.attempts.of_run(run.test_id)[0].note
    assert client.submit_pending(ledger) == 1
    assert ledger.runs.get(run.test_id).attempt == 1


def test_a_queue_that_is_down_is_said_once_and_not_for_each_run(ledger, server, caplog):
    port = server.port
    client = other_client(ledger, f"127.0.0.1:{port}")
    server.shutdown()
    for _ in range(3):
        ledger.runs.add(new_run())
    for _ in range(4):
        client.submit_pending(ledger)
    (said,) = [record.getMessage() for record in caplog.records if record.name.endswith("queue.client")]
    assert f"127.0.0.1:{port}: cannot be reached" in said
    back = gearman.Server(port=port, host="127.0.0.1")
    try:
        taken = []
        # one that the server does not answer in its first moments is submitted again as the next attempt
        assert eventually(lambda: taken.append(client.submit_pending(ledger)) or sum(taken) == 3)
    finally:
        client.close()
        back.shutdown()
    assert caplog.records[-1].getMessage() == "the queue accepts runs again"


def test_first_server_down_the_second_takes_it(ledger, server, client):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        both = other_client(ledger, f"127.0.0.1:{taken.getsockname()[1]}", f"127.0.0.1:{server.port}")
        run = ledger.runs.add(new_run())
        assert both.submit_pending(ledger) == 1
        both.close()
    assert ledger.attempts.of_run(run.test_id)[0].server == f"127.0.0.1:{server.port}"


def test_server_at_which_a_node_waits_is_preferred(ledger, server):
    second = gearman.Server(port=0, host="127.0.0.1")
    worker = gear.Worker("node")
    both = other_client(ledger, f"127.0.0.1:{server.port}", f"127.0.0.1:{second.port}")
    try:
        worker.addServer("127.0.0.1", second.port)
        worker.waitForServer(5)
        worker.registerFunction(FUNCTION)
        while not both.functions().get(FUNCTION):
            pass
        run = ledger.runs.add(new_run())
        assert both.submit_pending(ledger) == 1
        assert ledger.attempts.of_run(run.test_id)[0].server == f"127.0.0.1:{second.port}"
        assert [(one.name, one.functions) for one in both.workers()] == [("node", (FUNCTION,))]
    finally:
        both.close()
        worker.shutdown()
        second.shutdown()


def test_uncertain_submit_spends_the_attempt_number(ledger, server, client):
    with listener(lambda connection: connection.recv(65536)) as address:
        uncertain = other_client(ledger, address)
        run = ledger.runs.add(new_run())
        assert uncertain.submit_pending(ledger) == 0
    assert (ledger.runs.get(run.test_id).state, ledger.runs.get(run.test_id).attempt) == (RunState.QUEUED, 2)
    assert client.submit_pending(ledger) == 1
    assert [job.binary_unique for job in queue_of(server, client)] == [f"{run.test_id}:2".encode()]


def test_unusable_keys_cost_nothing(ledger, client, settings):
    run = ledger.runs.add(new_run())
    settings.keys.fleet.rename(settings.keys.fleet.with_suffix(".away"))
    with pytest.raises(KeyFileError):
        client.submit_pending(ledger)
    settings.keys.fleet.with_suffix(".away").rename(settings.keys.fleet)
    assert client.submit_pending(ledger) == 1
    assert ledger.runs.get(run.test_id).attempt == 1


def test_rotated_key_is_used_without_a_restart(ledger, client, server, settings):
    ledger.runs.add(new_run())
    client.submit_pending(ledger)
    folder = settings.keys.sign.parent
    fresh = keys.generate_pair("seal", folder / "fleet.key", folder / "fleet.pub")
    ledger.runs.add(new_run())
    client.submit_pending(ledger)
    first, second = queue_of(server, client)
    assert fresh.encode() not in first.arguments
    assert second.arguments.split(b".")[1] == fresh.encode()


def test_run_of_which_no_payload_can_be_made_fails_and_the_others_go_on(ledger, client, server):
    folder = ledger.settings.keys.sign.parent.parent
    address = f"127.0.0.1:{server.port}"
    wrong = QueueClient(make_settings(folder, GEARMAN_SERVER=address, APP_ADDRESS=f"http://{'a' * 600}"))
    run = ledger.runs.add(new_run())
    assert wrong.submit_pending(ledger) == 0
    wrong.close()
    ended = ledger.runs.get(run.test_id)
    assert (ended.state, ended.reason) == (RunState.FAILED, "payload")
    assert "callback" in ended.message
    ledger.runs.add(new_run())
    assert client.submit_pending(ledger) == 1


def test_cancelled_job_leaves_the_queue(ledger, server, settings, monkeypatch):
    monkeypatch.setattr(connection, "CLOCK_MARGIN", 0.0)
    client = QueueClient(settings)
    client.functions()
    run = ledger.runs.add(new_run())
    client.submit_pending(ledger)
    assert len(queue_of(server, client)) == 1
    ledger.runs.cancel(run.test_id, "somebody")
    client.withdraw(ledger)
    assert queue_of(server, client) == []
    assert ledger.submissions.to_withdraw() == []
    client.close()


@pytest.mark.parametrize("skew", [0, -3600])
def test_handle_from_before_a_restart_takes_nobody_elses_job_out(settings, monkeypatch, skew):
    """Also on a machine whose clock is behind the database's (M2): there a new connection looked older than the job."""
    machine = SimpleNamespace(time=lambda: time.time() + skew, monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr(connection, "time", machine)
    ledger = Ledger(settings, time.time)
    ledger.upgrade()
    port = settings.queue.servers[0].port
    client = QueueClient(settings)
    old = ledger.runs.add(new_run())
    client.submit_pending(ledger)
    client.close()
    server = gearman.Server(port=0, host="127.0.0.1")
    moved = make_settings(settings.keys.sign.parent.parent, GEARMAN_SERVER=f"127.0.0.1:{server.port}")
    fresh = QueueClient(moved)
    try:
        new = ledger.runs.add(new_run())
        fresh.submit_pending(ledger)
        assert ledger.attempts.of_run(new.test_id)[0].handle == ledger.attempts.of_run(old.test_id)[0].handle
        # the old job's server, as the ledger has it, is now the fresh one
        fresh._connections[f"127.0.0.1:{port}"] = fresh._connections[f"127.0.0.1:{server.port}"]
        ledger.runs.cancel(old.test_id, "somebody")
        fresh.withdraw(ledger)
        assert len(ledger.submissions.to_withdraw()) == 1, "left to the client that has been connected for longer"
        fresh.withdraw(ledger, is_last=True)
        assert ledger.submissions.to_withdraw() == []
        assert [job.binary_unique for job in queue_of(server, fresh)] == [f"{new.test_id}:1".encode()]
    finally:
        fresh.close()
        ledger.close()
        server.shutdown()


def test_lost_jobs_are_those_that_the_queue_does_not_have(ledger, client, server, clock):
    _kept, gone = ledger.runs.add(new_run()), ledger.runs.add(new_run())
    client.submit_pending(ledger)
    job = next(job for job in queue_of(server, client) if job.binary_unique == f"{gone.test_id}:1".encode())
    clock.forward(60)
    assert client.whereabouts(ledger.submissions.waiting()).lost == []
    server._removeJob(job)
    assert [job.key.test_id for job in client.whereabouts(ledger.submissions.waiting()).lost] == [gone.test_id]


def test_server_that_cannot_be_asked_has_lost_nothing_but_one_that_was_removed_has(ledger, tmp_path, clock):
    running = gearman.Server(port=0, host="127.0.0.1")
    address = f"127.0.0.1:{running.port}"
    client = other_client(ledger, address)
    ledger.runs.add(new_run())
    assert client.submit_pending(ledger) == 1
    client.close()
    running.shutdown()
    clock.forward(60)
    assert client.whereabouts(ledger.submissions.waiting()).lost == []
    assert len(other_client(ledger, "127.0.0.1:9").whereabouts(ledger.submissions.waiting()).lost) == 1
