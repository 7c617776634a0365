"""Jobs that the queue loses are submitted again, each as late as is sure."""

from __future__ import annotations

from refstack_worker import gearman
from refstack_worker.contract import gearman_functions
from refstack_worker.server.monitor.liveness import Clocks, Liveness
from refstack_worker.server.monitor.monitor import UNCLAIMED_SECONDS, Monitor
from tests.support.ledgers import new_run
from tests.support.monitors import EVERY_TIME


def test_job_that_the_queue_lost_is_submitted_again(site):
    run = site.ledger.runs.add(new_run())
    site.monitor.look()
    site.restart_queue()
    site.monitor.look()
    assert site.ledger.runs.get(run.test_id).attempt == 1, "younger than the grace: it may be on its way"
    site.clock.forward(11)
    site.monitor.look()
    assert site.ledger.runs.get(run.test_id).attempt == 2
    assert set(site.jobs()) == {f"{run.test_id}:2"}
    assert "the queue no longer has the run" in site.said(run.test_id)


def test_job_that_somebody_keeps_and_nobody_claims_is_submitted_again(site):
    run = site.ledger.runs.add(new_run())
    site.monitor.look()
    thief = gearman.Worker("thief")
    gearman.add_servers(thief, [gearman.Address("127.0.0.1", site.server.port)])
    thief.waitForServer()
    thief.registerFunction(gearman_functions.for_version(run.spec.tempest_version))
    try:
        assert thief.getJob().unique == f"{run.test_id}:1".encode()
        for _ in range(4):
            site.clock.forward(UNCLAIMED_SECONDS / 4)
            site.monitor.look()
            assert site.ledger.runs.get(run.test_id).attempt == 1, "a worker may just be about to claim it"
        site.clock.forward(UNCLAIMED_SECONDS / 4)
        site.monitor.look()
        assert site.ledger.runs.get(run.test_id).attempt == 2
        assert "has not claimed it for 120 s" in site.said(run.test_id)
        assert f"{run.test_id}:2" in site.jobs()
    finally:
        thief.shutdown()


def test_nobody_loses_a_job_that_he_could_not_claim(site):
    answers = [False]
    steady = [0.0]
    clocks = Clocks(steady=lambda: steady[0], wall=lambda: steady[0])
    liveness = Liveness(60.0, lambda: answers[0], clocks)
    monitor = Monitor(site.ledger, site.client, EVERY_TIME, liveness)
    run = site.ledger.runs.add(new_run())
    monitor.look()
    worker = gearman.Worker("worker")
    gearman.add_servers(worker, [gearman.Address("127.0.0.1", site.server.port)])
    worker.waitForServer()
    worker.registerFunction(gearman_functions.for_version(run.spec.tempest_version))

    def forward(seconds):
        for _ in range(int(seconds // 10)):
            site.clock.forward(10)
            steady[0] += 10
            monitor.look()

    try:
        worker.getJob()
        forward(2 * UNCLAIMED_SECONDS)
        assert site.ledger.runs.get(run.test_id).attempt == 1, "the API is down"
        answers[0] = True
        forward(30)
        assert site.ledger.runs.get(run.test_id).attempt == 1, "it has just come back"
        forward(60)
        assert site.ledger.runs.get(run.test_id).attempt == 2
    finally:
        worker.shutdown()


def test_each_loss_is_looked_for_twice_as_late(site):
    run = site.ledger.runs.add(new_run())
    waited = []
    for attempt in range(1, 5):
        site.monitor.look()
        site.restart_queue()
        began = site.clock()
        while site.ledger.runs.get(run.test_id).attempt == attempt:
            site.clock.forward(5)
            site.monitor.look()
        waited.append(site.clock() - began)
    assert waited == [10, 20, 40, 80]


def test_queue_away_and_back(site):
    run = site.ledger.runs.add(new_run())
    port = site.server.port
    site.server.shutdown()
    site.monitor.look()
    assert site.ledger.runs.get(run.test_id).attempt == 1
    site.server = gearman.Server(port=port, host="127.0.0.1")
    for link in site.client._connections.values():
        link._down_until = 0
    site.monitor.look()
    assert set(site.jobs()) == {f"{run.test_id}:1"}
