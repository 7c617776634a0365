"""The queue client between the real ledger and a real gear server: what is recorded gets queued once, sealed."""

from __future__ import annotations

import socket
import time

import gear
import pytest

from refstack_worker import gearman
from refstack_worker.contract import envelope, keys
from refstack_worker.contract.states import RunState
from refstack_worker.errors import KeyFileError
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.ledger.ledger import Store
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


def other_client(store, *addresses):
    settings = make_settings(store.settings.keys.sign.parent.parent, GEARMAN_SERVER=[str(one) for one in addresses])
    return QueueClient(settings, timeout=0.3)


def test_recorded_run_becomes_one_sealed_job(store, client, server, settings):
    run = store.add_run(new_run(spec=RunSpec(tempest_version="47.0.0", concurrency=3, timeout=600, tag="eu")))
    assert client.submit_pending(store) == 1
    assert client.submit_pending(store) == 0, "what the queue has is not given to it again"
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
    (attempt,) = store.attempts(run.test_id)
    assert attempt.server == f"127.0.0.1:{server.port}"
    assert attempt.handle == job.handle.decode()


def test_release_runs_go_to_the_function_of_the_release(store, client, server):
    store.add_run(new_run(spec=RunSpec(openstack_release="2025.1")))
    client.submit_pending(store)
    assert [job.binary_name for job in queue_of(server, client)] == [b"refstack:openstack:2025.1"]


def test_priority_is_the_jobs_precedence(store, client, server):
    for priority in (-1, 0, 1):
        store.add_run(new_run(spec=RunSpec(tempest_version="47.0.0", priority=priority)))
    client.submit_pending(store)
    queue_of(server, client)
    assert [len(queue) for queue in (server.low_queue, server.normal_queue, server.high_queue)] == [1, 1, 1]


def test_more_runs_than_go_under_one_lease(store, client, server):
    for _ in range(120):
        store.add_run(new_run())
    assert client.submit_pending(store) == 120
    assert len({job.binary_unique for job in queue_of(server, client)}) == 120


def test_queue_that_is_down_costs_no_attempt(store, server, client):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = other_client(store, f"127.0.0.1:{taken.getsockname()[1]}")
        run = store.add_run(new_run())
        assert away.submit_pending(store) == 0
    waiting = store.run(run.test_id)
    assert (waiting.state, waiting.attempt) == (RunState.QUEUED, 1)
    assert "waits for the queue" in store.attempts(run.test_id)[0].note
    assert client.submit_pending(store) == 1
    assert store.run(run.test_id).attempt == 1


def test_a_queue_that_is_down_is_said_once_and_not_for_each_run(store, server, caplog):
    port = server.port
    client = other_client(store, f"127.0.0.1:{port}")
    server.shutdown()
    for _ in range(3):
        store.add_run(new_run())
    for _ in range(4):
        client.submit_pending(store)
    (said,) = [record.getMessage() for record in caplog.records if record.name.endswith("queue.client")]
    assert f"127.0.0.1:{port}: cannot be reached" in said
    back = gearman.Server(port=port, host="127.0.0.1")
    try:
        taken = []
        # one that the server does not answer in its first moments is submitted again as the next attempt
        assert eventually(lambda: taken.append(client.submit_pending(store)) or sum(taken) == 3)
    finally:
        client.close()
        back.shutdown()
    assert caplog.records[-1].getMessage() == "the queue takes runs again"


def test_first_server_down_the_second_takes_it(store, server, client):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        both = other_client(store, f"127.0.0.1:{taken.getsockname()[1]}", f"127.0.0.1:{server.port}")
        run = store.add_run(new_run())
        assert both.submit_pending(store) == 1
        both.close()
    assert store.attempts(run.test_id)[0].server == f"127.0.0.1:{server.port}"


def test_server_at_which_a_node_waits_is_preferred(store, server):
    second = gearman.Server(port=0, host="127.0.0.1")
    worker = gear.Worker("node")
    both = other_client(store, f"127.0.0.1:{server.port}", f"127.0.0.1:{second.port}")
    try:
        worker.addServer("127.0.0.1", second.port)
        worker.waitForServer(5)
        worker.registerFunction(FUNCTION)
        while not both.functions().get(FUNCTION):
            pass
        run = store.add_run(new_run())
        assert both.submit_pending(store) == 1
        assert store.attempts(run.test_id)[0].server == f"127.0.0.1:{second.port}"
        assert [(one.name, one.functions) for one in both.workers()] == [("node", (FUNCTION,))]
    finally:
        both.close()
        worker.shutdown()
        second.shutdown()


def test_uncertain_submit_spends_the_attempt_number(store, server, client):
    with listener(lambda connection: connection.recv(65536)) as address:
        uncertain = other_client(store, address)
        run = store.add_run(new_run())
        assert uncertain.submit_pending(store) == 0
    assert (store.run(run.test_id).state, store.run(run.test_id).attempt) == (RunState.QUEUED, 2)
    assert client.submit_pending(store) == 1
    assert [job.binary_unique for job in queue_of(server, client)] == [f"{run.test_id}:2".encode()]


def test_unusable_keys_cost_nothing(store, client, settings):
    run = store.add_run(new_run())
    settings.keys.fleet.rename(settings.keys.fleet.with_suffix(".away"))
    with pytest.raises(KeyFileError):
        client.submit_pending(store)
    settings.keys.fleet.with_suffix(".away").rename(settings.keys.fleet)
    assert client.submit_pending(store) == 1
    assert store.run(run.test_id).attempt == 1


def test_rotated_key_is_used_without_a_restart(store, client, server, settings):
    store.add_run(new_run())
    client.submit_pending(store)
    folder = settings.keys.sign.parent
    fresh = keys.generate_pair("seal", folder / "fleet.key", folder / "fleet.pub")
    store.add_run(new_run())
    client.submit_pending(store)
    first, second = queue_of(server, client)
    assert fresh.encode() not in first.arguments
    assert second.arguments.split(b".")[1] == fresh.encode()


def test_run_of_which_no_payload_can_be_made_fails_and_the_others_go_on(store, client, server):
    folder = store.settings.keys.sign.parent.parent
    address = f"127.0.0.1:{server.port}"
    wrong = QueueClient(make_settings(folder, GEARMAN_SERVER=address, APP_ADDRESS=f"http://{'a' * 600}"))
    run = store.add_run(new_run())
    assert wrong.submit_pending(store) == 0
    wrong.close()
    ended = store.run(run.test_id)
    assert (ended.state, ended.reason) == (RunState.FAILED, "payload")
    assert "callback" in ended.message
    store.add_run(new_run())
    assert client.submit_pending(store) == 1


def test_cancelled_job_leaves_the_queue(store, server, settings):
    client = QueueClient(settings)
    client.functions()
    run = store.add_run(new_run())
    client.submit_pending(store)
    assert len(queue_of(server, client)) == 1
    store.cancel(run.test_id, "somebody")
    client.withdraw(store)
    assert queue_of(server, client) == []
    assert store.jobs_to_withdraw() == []
    client.close()


def test_handle_from_before_a_restart_takes_nobody_elses_job_out(settings):
    store = Store.open(settings, time.time)
    store.upgrade()
    port = settings.queue.servers[0].port
    client = QueueClient(settings)
    old = store.add_run(new_run())
    client.submit_pending(store)
    client.close()
    server = gearman.Server(port=0, host="127.0.0.1")
    moved = make_settings(settings.keys.sign.parent.parent, GEARMAN_SERVER=f"127.0.0.1:{server.port}")
    fresh = QueueClient(moved)
    try:
        new = store.add_run(new_run())
        fresh.submit_pending(store)
        assert store.attempts(new.test_id)[0].handle == store.attempts(old.test_id)[0].handle
        # the old job's server, as the ledger has it, is now the fresh one
        fresh._links[f"127.0.0.1:{port}"] = fresh._links[f"127.0.0.1:{server.port}"]
        store.cancel(old.test_id, "somebody")
        fresh.withdraw(store)
        assert len(store.jobs_to_withdraw()) == 1, "left to whoever has been connected for longer"
        fresh.withdraw(store, is_last=True)
        assert store.jobs_to_withdraw() == []
        assert [job.binary_unique for job in queue_of(server, fresh)] == [f"{new.test_id}:1".encode()]
    finally:
        fresh.close()
        store.close()
        server.shutdown()


def test_lost_jobs_are_those_that_the_queue_does_not_have(store, client, server, clock):
    _kept, gone = store.add_run(new_run()), store.add_run(new_run())
    client.submit_pending(store)
    job = next(job for job in queue_of(server, client) if job.binary_unique == f"{gone.test_id}:1".encode())
    clock.forward(60)
    assert client.whereabouts(store.waiting_jobs()).lost == []
    server._removeJob(job)
    assert [job.key.test_id for job in client.whereabouts(store.waiting_jobs()).lost] == [gone.test_id]


def test_server_that_cannot_be_asked_has_lost_nothing_but_one_that_was_removed_has(store, tmp_path, clock):
    running = gearman.Server(port=0, host="127.0.0.1")
    address = f"127.0.0.1:{running.port}"
    client = other_client(store, address)
    store.add_run(new_run())
    assert client.submit_pending(store) == 1
    client.close()
    running.shutdown()
    clock.forward(60)
    assert client.whereabouts(store.waiting_jobs()).lost == []
    assert len(other_client(store, "127.0.0.1:9").whereabouts(store.waiting_jobs()).lost) == 1


def test_says_who_serves(store, client, server):
    assert client.problem("refstack:tempest:33.0.0:eu") == "no node serves 33.0.0 with the tag eu"
    assert "waits for the queue" in other_client(store, "127.0.0.1:9").problem(FUNCTION)
