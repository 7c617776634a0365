"""New runs reach the queue without a second look at the ledger, and none is lost or doubled when that fails."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import gear
import pytest

from refstack_worker import gearman
from refstack_worker.config.server import ServerSettings
from refstack_worker.contract import attempt_token, envelope, keys
from refstack_worker.contract.states import RunState
from refstack_worker.server.domain.attempts import Claim, Proof
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.submissions import LEASE_SECONDS
from refstack_worker.server.queue.client import QueueClient
from refstack_worker.server.queue.submitter import MAX_HANDED, Submitter
from tests.support.ledgers import CONF, Clock, make_settings, new_run
from tests.support.worker_parts import eventually


@pytest.fixture
def server() -> Iterator[gear.Server]:
    running = gearman.Server(port=0, host="127.0.0.1")
    yield running
    running.shutdown()


@pytest.fixture
def settings(tmp_path: Path, server: gear.Server) -> ServerSettings:
    return make_settings(tmp_path, GEARMAN_SERVER=f"127.0.0.1:{server.port}")


@pytest.fixture
def client(settings: ServerSettings) -> Iterator[QueueClient]:
    made = QueueClient(settings, timeout=2)
    yield made
    made.close()


class Silent(Submitter):
    """Has no thread: what it was handed stays with it until the test lets it work."""

    def _wake(self) -> None:
        pass

    def work(self, client: QueueClient) -> None:
        self._round(client)


def jobs_of(server: gear.Server) -> list[str]:
    return [job.binary_unique.decode() for job in server.getQueue()]


def test_a_new_run_is_queued_with_what_its_node_needs(
    ledger: Ledger, client: QueueClient, server: gear.Server, settings: ServerSettings
) -> None:
    Submitter(ledger, client)
    run = ledger.runs.add(new_run())
    eventually(lambda: jobs_of(server) == [f"{run.test_id}:1"])
    (job,) = server.getQueue()
    files = settings.keys
    opener = envelope.Opener(
        keys.load_seal_private(files.fleet.with_suffix(".key")), keys.load_sign_public(files.sign.with_suffix(".pub"))
    )
    payload = opener.open(bytes(job.arguments))
    assert (payload.test_id, payload.attempt, payload.conf_json) == (run.test_id, 1, CONF)
    assert payload.timeout == settings.rules.run_timeout
    proof = Proof(run.test_id, payload.secret, 1, attempt_token.mark("c"))
    assert ledger.attempts.claim(proof, Claim("c", "node-1", "47.0.0")).granted
    eventually(lambda: ledger.attempts.of_run(run.test_id)[0].submitted_at)


def test_nobody_else_submits_what_is_handed_over(ledger: Ledger, client: QueueClient, server: gear.Server) -> None:
    submitter = Silent(ledger, client)
    run = ledger.runs.add(new_run())
    assert client.submit_pending(ledger) == 0
    submitter.work(client)
    client.functions()
    assert jobs_of(server) == [f"{run.test_id}:1"]
    assert client.submit_pending(ledger) == 0


def test_what_a_dead_process_was_handed_gets_the_next_attempt(
    ledger: Ledger, client: QueueClient, clock: Clock
) -> None:
    Silent(ledger, client)
    run = ledger.runs.add(new_run())
    clock.forward(LEASE_SECONDS + 1)
    assert [key.test_id for key in ledger.submissions.expire_leases()] == [run.test_id]
    assert client.submit_pending(ledger) == 1
    assert ledger.runs.get(run.test_id).attempt == 2


def test_while_the_queue_is_away_runs_wait_in_the_ledger(
    ledger: Ledger, client: QueueClient, server: gear.Server
) -> None:
    submitter = Silent(ledger, client)
    run = ledger.runs.add(new_run())
    server.shutdown()
    submitter.work(client)
    assert [one.key.test_id for one in ledger.submissions.next()] == [run.test_id]
    assert ledger.runs.get(run.test_id).attempt == 1


def test_while_the_queue_is_paused_nothing_is_handed_over(ledger: Ledger, client: QueueClient) -> None:
    Silent(ledger, client)
    ledger.queue.pause("operator")
    run = ledger.runs.add(new_run())
    ledger.queue.resume("operator")
    assert [one.key.test_id for one in ledger.submissions.next()] == [run.test_id]


def test_what_is_too_much_at_once_waits_for_its_turn_in_the_ledger(ledger: Ledger, client: QueueClient) -> None:
    Silent(ledger, client)
    runs = [ledger.runs.add(new_run()).test_id for _ in range(MAX_HANDED + 2)]
    assert [one.key.test_id for one in ledger.submissions.next()] == runs[MAX_HANDED:]


def test_without_keys_runs_are_recorded_all_the_same(
    ledger: Ledger, client: QueueClient, settings: ServerSettings
) -> None:
    Silent(ledger, client)
    shutil.move(settings.keys.sign, settings.keys.sign.with_suffix(".gone"))
    run = ledger.runs.add(new_run())
    assert run.state is RunState.QUEUED
    assert [one.key.test_id for one in ledger.submissions.next()] == [run.test_id]


def test_the_same_idempotency_key_is_submitted_once(ledger: Ledger, client: QueueClient, server: gear.Server) -> None:
    submitter = Silent(ledger, client)
    first, second = (ledger.runs.add(new_run(created_by="me", idempotency_key="k")) for _ in range(2))
    submitter.work(client)
    client.functions()
    assert first.test_id == second.test_id and jobs_of(server) == [f"{first.test_id}:1"]
