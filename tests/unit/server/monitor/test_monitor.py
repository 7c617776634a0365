"""The monitor between the real ledger and a real gear server: whatever is lost, the run goes on or ends."""

from __future__ import annotations

import threading

from refstack_worker.contract.states import RunState
from refstack_worker.errors import LedgerError
from refstack_worker.server.domain.attempts import Release
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.monitor.liveness import HOLD_LIMITS, Clocks, Liveness
from refstack_worker.server.monitor.monitor import Monitor
from refstack_worker.server.services import shard_results
from refstack_worker.server.services.schedules import ScheduleService
from tests.support.ledgers import new_run
from tests.support.monitors import EVERY_TIME, Site
from tests.support.schedules import schedule
from tests.support.split_runs import ALPHA, BETA, held, post, split


def test_submits_what_is_recorded(site):
    run = site.ledger.runs.add(new_run())
    assert site.monitor.look() == ""
    assert set(site.jobs()) == {f"{run.test_id}:1"}


def test_each_round_says_that_the_monitor_lives_also_when_the_queue_is_away(site):
    site.server.shutdown()
    stop, rounds = threading.Event(), []

    def alive():
        rounds.append(1)
        if len(rounds) == 3:
            stop.set()

    site.monitor.run(stop, alive)
    assert len(rounds) == 3


def test_silent_worker_is_replaced_by_the_next_attempt(site, secrets):
    run = site.ledger.runs.add(new_run())
    site.monitor.look()
    proof = site.claim(run.test_id, secrets)
    site.clock.forward(site.settings.rules.heartbeat_limit - 1)
    site.monitor.look()
    assert site.ledger.runs.get(run.test_id).attempt == 1
    site.ledger.attempts.heartbeat(proof, "claim-node-1")
    site.clock.forward(site.settings.rules.heartbeat_limit - 1)
    site.monitor.look()
    assert site.ledger.runs.get(run.test_id).attempt == 1
    site.clock.forward(2)
    site.monitor.look()
    ended = site.ledger.runs.get(run.test_id)
    assert (ended.state, ended.attempt) == (RunState.QUEUED, 2)
    assert f"{run.test_id}:2" in site.jobs()
    assert "node-1 sent no heartbeat" in site.said(run.test_id)


def test_nobody_is_given_up_while_this_side_was_deaf(site, secrets):
    steady = [0.0]
    limit = site.settings.rules.heartbeat_limit
    liveness = Liveness(limit, lambda: True, Clocks(lambda: steady[0], site.clock))
    monitor = Monitor(site.ledger, site.client, EVERY_TIME, liveness)
    run = site.ledger.runs.add(new_run())
    monitor.look()
    proof = site.claim(run.test_id, secrets)
    steady[0] += limit
    site.clock.forward(limit + 3600)
    monitor.look()
    assert site.ledger.runs.get(run.test_id).attempt == 1, "the clock was set, and the worker not heard since"
    site.ledger.attempts.heartbeat(proof, "claim-node-1")
    steady[0] += limit + 1
    site.clock.forward(limit + 1)
    monitor.look()
    assert site.ledger.runs.get(run.test_id).attempt == 2


def test_ledger_that_was_away_excuses_the_workers(site, secrets, monkeypatch):
    steady = [0.0]
    limit = site.settings.rules.heartbeat_limit
    monitor = Monitor(
        site.ledger, site.client, EVERY_TIME, Liveness(limit, lambda: True, Clocks(lambda: steady[0], site.clock))
    )
    run = site.ledger.runs.add(new_run())
    monitor.look()
    site.claim(run.test_id, secrets)
    steady[0] += limit + 1
    site.clock.forward(limit + 1)
    with monkeypatch.context() as patch:
        patch.setattr(site.ledger.deadlines, "silent", away)
        assert "away" in monitor.look()
    monitor.look()
    assert site.ledger.runs.get(run.test_id).attempt == 1
    steady[0] += limit
    site.clock.forward(limit)
    monitor.look()
    assert site.ledger.runs.get(run.test_id).attempt == 2


def test_second_outage_of_the_api_excuses_as_the_first_did(site, secrets):
    steady, answers = [0.0], [True]
    limit = site.settings.rules.heartbeat_limit
    liveness = Liveness(limit, lambda: answers[0], Clocks(lambda: steady[0], site.clock))
    monitor = Monitor(site.ledger, site.client, EVERY_TIME, liveness)

    def forward(seconds):
        steady[0] += seconds
        site.clock.forward(seconds)
        monitor.look()

    run = site.ledger.runs.add(new_run())
    monitor.look()
    proof = site.claim(run.test_id, secrets)
    for _ in range(2):
        answers[0] = False
        forward(limit + 1)
        answers[0] = True
        site.ledger.attempts.heartbeat(proof, "claim-node-1")
        forward(1)
        for _ in range(HOLD_LIMITS + 1):
            site.ledger.attempts.heartbeat(proof, "claim-node-1")
            forward(limit - 1)
        assert site.ledger.runs.get(run.test_id).attempt == 1


def away():
    raise LedgerError("the database is away")


def test_attempts_end_at_the_limit(site, secrets):
    run = site.ledger.runs.add(new_run())
    for _ in range(site.settings.rules.attempt_limit):
        site.monitor.look()
        site.claim(run.test_id, secrets)
        site.clock.forward(site.settings.rules.heartbeat_limit + 1)
    site.monitor.look()
    ended = site.ledger.runs.get(run.test_id)
    assert (ended.state, ended.reason, ended.attempt) == (RunState.FAILED, "lost", 3)
    site.monitor.look()
    assert f"{run.test_id}:4" not in site.jobs()


def test_cancel_nobody_confirms_ends_cancelled(site, secrets):
    run = site.ledger.runs.add(new_run())
    site.monitor.look()
    site.claim(run.test_id, secrets)
    site.ledger.runs.cancel(run.test_id, "vendor")
    site.monitor.look()
    assert site.ledger.runs.get(run.test_id).state is RunState.CANCELLING
    site.clock.forward(site.settings.rules.cancel_limit + 1)
    site.monitor.look()
    assert site.ledger.runs.get(run.test_id).state is RunState.CANCELLED


def test_silent_worker_of_a_run_being_cancelled_gives_no_new_attempt(tmp_path, clock, secrets):
    site = Site(tmp_path, clock, CANCEL_LIMIT=80000)
    try:
        run = site.ledger.runs.add(new_run())
        site.monitor.look()
        site.claim(run.test_id, secrets)
        site.ledger.runs.cancel(run.test_id, "vendor")
        site.clock.forward(site.settings.rules.heartbeat_limit + 1)
        site.monitor.look()
        assert (site.ledger.runs.get(run.test_id).state, site.ledger.runs.get(run.test_id).attempt) == (
            RunState.CANCELLED,
            1,
        )
    finally:
        site.close()


def test_run_beyond_its_time_fails(site, secrets):
    run = site.ledger.runs.add(new_run())
    site.monitor.look()
    proof = site.claim(run.test_id, secrets)
    rules = site.settings.rules
    for _ in range(int((rules.run_timeout + rules.run_grace) / 50) + 2):
        site.clock.forward(50)
        site.ledger.attempts.heartbeat(proof, "claim-node-1")
    site.monitor.look()
    ended = site.ledger.runs.get(run.test_id)
    assert (ended.state, ended.reason) == (RunState.FAILED, "timeout")


def test_run_that_nobody_takes_is_told_why_once_and_ends(site):
    run = site.ledger.runs.add(new_run())
    site.monitor.look()
    site.clock.forward(11)
    site.monitor.look()
    Monitor(site.ledger, site.client, EVERY_TIME).look()
    assert site.said(run.test_id).count("no node serves 47.0.0") == 1
    site.clock.forward(site.settings.rules.queue_timeout)
    site.monitor.look()
    ended = site.ledger.runs.get(run.test_id)
    assert (ended.state, ended.reason) == (RunState.FAILED, "queue-timeout")
    assert site.jobs() == {}, "its job is taken out of the queue"


def test_run_that_nobody_takes_is_told_which_plugins_it_needs_however_many(site):
    plugins = {f"{name}-tempest-plugin": "3.0.0" for name in ("designate", "heat", "keystone")}
    run = site.ledger.runs.add(new_run(spec=RunSpec("47.0.0", plugins=plugins)))
    assert "heat" not in run.spec.function, "a digest stands for them"
    site.monitor.look()
    site.clock.forward(11)
    site.monitor.look()
    named = ", ".join(f"{name} {version}" for name, version in plugins.items())
    assert f"waiting: no node serves 47.0.0 with {named}" in site.said(run.test_id)


def test_paused_queue_gets_nothing_until_it_is_resumed(site):
    site.ledger.queue.pause("operator")
    run = site.ledger.runs.add(new_run())
    site.monitor.look()
    assert site.jobs() == {}
    site.ledger.queue.resume("operator")
    site.monitor.look()
    assert set(site.jobs()) == {f"{run.test_id}:1"}


def test_submitter_that_died_leaves_an_attempt_that_is_not_reused(site):
    run = site.ledger.runs.add(new_run())
    (taken,) = site.ledger.submissions.next()
    site.ledger.submissions.sealed([(taken, "0" * 64)])
    site.monitor.look()
    assert site.jobs() == {}, "its lease still runs"
    site.clock.forward(61)
    site.monitor.look()
    assert set(site.jobs()) == {f"{run.test_id}:2"}


def test_two_monitors_at_once_do_each_thing_once(site, secrets):
    runs = [site.ledger.runs.add(new_run()).test_id for _ in range(30)]
    other = Monitor(site.ledger, site.client, EVERY_TIME)
    both_look(site.monitor, other)
    assert set(site.jobs()) == {f"{test_id}:1" for test_id in runs}
    for test_id in runs[:10]:
        site.claim(test_id, secrets)
    for test_id in runs[:10]:
        site.server._removeJob(site.jobs()[f"{test_id}:1"])
    for test_id in runs[10:20]:
        site.server._removeJob(site.jobs()[f"{test_id}:1"])
    site.clock.forward(site.settings.rules.heartbeat_limit + 1)
    both_look(site.monitor, other)
    both_look(site.monitor, other)
    assert set(site.jobs()) == {f"{test_id}:2" for test_id in runs[:20]} | {f"{test_id}:1" for test_id in runs[20:]}


def test_finding_for_a_run_that_moved_on_changes_nothing(site, secrets):
    run = site.ledger.runs.add(new_run())
    site.monitor.look()
    (job,) = site.ledger.submissions.waiting(older_than=-1)
    site.claim(run.test_id, secrets)
    assert not site.ledger.attempts.requeue(job.key, Release.QUEUE_LOST, "lost")
    assert site.ledger.runs.get(run.test_id).state is RunState.CLAIMED


def test_trouble_of_one_step_stops_no_other(site, monkeypatch, caplog):
    run = site.ledger.runs.add(new_run())
    monkeypatch.setattr(site.ledger.deadlines, "silent", lambda: 1 / 0)
    assert "ZeroDivisionError" in site.monitor.look()
    assert set(site.jobs()) == {f"{run.test_id}:1"}


def test_loop_ends_when_told(site):
    stop = threading.Event()
    thread = threading.Thread(target=site.monitor.run, args=(stop,))
    thread.start()
    run = site.ledger.runs.add(new_run())
    while f"{run.test_id}:1" not in site.jobs():
        pass
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def both_look(*monitors):
    threads = [threading.Thread(target=monitor.look) for monitor in monitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_merge_that_takes_long_holds_up_no_round(site, tmp_path, monkeypatch):
    run = split(site.ledger)
    for number, name in enumerate((ALPHA, BETA), 1):
        post(site.ledger, held(site.ledger, run, number, f"node-{number}"), tmp_path, f"{name}.test_1")
    go_on, merge = threading.Event(), shard_results.merge
    monkeypatch.setattr(shard_results, "merge", lambda *given: go_on.wait(30) and merge(*given))
    for _ in range(2):
        assert site.monitor.look() == ""
    assert site.ledger.runs.get(run).state is RunState.POSTING
    go_on.set()
    assert site.monitor.merges.wait(30)
    assert site.ledger.runs.get(run).state is RunState.FINISHED


def test_a_merge_that_fails_is_tried_again(site, tmp_path, monkeypatch):
    run = split(site.ledger)
    for number, name in enumerate((ALPHA, BETA), 1):
        post(site.ledger, held(site.ledger, run, number, f"node-{number}"), tmp_path, f"{name}.test_1")
    with monkeypatch.context() as patched:
        patched.setattr(shard_results, "merge", lambda *given: 1 // 0)
        site.monitor.look()
        assert site.monitor.merges.wait(30)
    site.monitor.look()
    assert site.monitor.merges.wait(30)
    assert site.ledger.runs.get(run).state is RunState.FINISHED


def test_runs_that_are_slow_to_start_hold_up_no_round(site, monkeypatch):
    one = schedule(site.ledger)
    site.clock.time = site.ledger.schedules.get(one.id).next_at
    go_on, start = threading.Event(), ScheduleService.start
    monkeypatch.setattr(ScheduleService, "start", lambda *given: go_on.wait(30) and start(*given))
    assert site.monitor.look() == ""
    go_on.set()
    assert site.monitor.starts.wait(30)
    assert site.ledger.schedules.get(one.id).last_test_id is not None
