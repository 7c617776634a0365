"""Runs that are split: the whole follows from its parts, and nothing of a part is counted twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from refstack_worker.contract.console import Batch, TestLine
from refstack_worker.contract.execute_test import NOTHING_ON_CLOUD
from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import StateError
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.guidelines import Choice, StoredGuideline
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.domain.runs import SHARD, SPLIT, RunQuery
from refstack_worker.server.domain.shards import ShardPlan
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.notify.messages import Composer
from refstack_worker.server.services import shard_results
from tests.support.ledgers import CONF, Clock, beat, texts
from tests.support.notifications import subscribe
from tests.support.split_runs import ALPHA, BETA, PLANS, finished, held, look, part, post, rows, split


class TestOneRun:
    def test_lists_and_counts_show_one_run(self, ledger: Ledger) -> None:
        run = split(ledger)
        assert [one.test_id for one in ledger.runs.find(RunQuery())] == [run]
        assert ledger.queue.count_states() == {"queued": 1}
        assert [row["test_id"] for row in ledger.runs.changed_since(0)] == [run]
        assert ledger.runs.get(run).kind == SPLIT
        assert ledger.runs.get(part(ledger, run, 1)).kind == SHARD
        # what nodes are needed for are the parts
        assert [row["runs"] for row in ledger.queue.waiting()] == [2]

    def test_only_its_parts_go_to_the_queue_each_with_its_own_tests(self, ledger: Ledger) -> None:
        run = split(ledger)
        taken = ledger.submissions.next()
        assert sorted(one.key.test_id for one in taken) == [part(ledger, run, 1), part(ledger, run, 2)]
        assert sorted(one.spec.testcases.names for one in taken if one.spec.testcases) == [(ALPHA,), (BETA,)]

    def test_it_is_as_far_as_its_parts(self, ledger: Ledger, clock: Clock) -> None:
        run = split(ledger)
        first = held(ledger, run, 1, "node-1")
        clock.forward(1.0)
        look(ledger)
        assert (ledger.runs.get(run).state, ledger.runs.get(run).worker) == (RunState.CLAIMED, "node-1")
        second = held(ledger, run, 2, "node-2")
        for job, done in ((first, 1), (second, 1)):
            ledger.attempts.report(job.proof, Report(RunState.RUNNING))
            ledger.attempts.heartbeat(job.proof, job.claim_id, Progress(2, done, done, 0, 0, 7, "t"))
        look(ledger)
        seen = ledger.runs.get(run)
        assert (seen.state, seen.worker, seen.started_at) == (RunState.RUNNING, "node-1, node-2", clock() - 1.0)
        assert [one.test_id for one in ledger.runs.find(RunQuery(worker="node-2"))] == [run]
        assert (seen.progress.total, seen.progress.done, seen.progress.seconds_left) == (4, 2, 7)

    def test_its_messages_and_console_are_those_of_its_parts(self, ledger: Ledger) -> None:
        run = split(ledger)
        jobs = [held(ledger, run, number, f"node-{number}") for number in (1, 2)]
        for _ in range(2):
            for job in jobs:
                done = ledger.console.page(job.submission.key.test_id, -1, 100).lines
                line = TestLine(1.0, f"{ALPHA}.test_1", "passed", 1.0)
                ledger.console.add(job.proof, job.claim_id, Batch(len(done), (line,), 0))
            look(ledger)
            look(ledger)
        assert [line["number"] for line in ledger.console.page(run, -1, 100).lines] == [0, 1, 2, 3]
        assert [text for text in texts(ledger, run) if text.startswith("shard")] == [
            "shard 1: claimed: attempt 1 by node-1 with Tempest 47.0.0",
            "shard 2: claimed: attempt 1 by node-2 with Tempest 47.0.0",
        ]


class TestResult:
    def test_one_result_of_all_parts(self, ledger: Ledger, tmp_path: Path) -> None:
        run = finished(ledger, tmp_path)
        seen = ledger.runs.get(run)
        assert (seen.state, seen.counts.passed, seen.worker) == (RunState.FINISHED, 3, "node-1, node-2")
        names = [one.name for one in ledger.results.tests(run, ResultQuery())]
        assert names == [f"{ALPHA}.test_1", f"{ALPHA}.test_2", f"{BETA}.test_1"]
        assert rows(ledger) == {run: 3}
        assert set(rows(ledger, queue_tables.result_chunk)) == {run}
        result = ledger.results.get(run)
        assert (result["passed"], result["summary"]["cpid"], result["summary"]["counts"]["passed"]) == (3, "c1", 3)
        assert b"".join(ledger.results.stream(run)).count(b"test_1") >= 2
        assert ledger.shards.going_on() == []

    def test_not_before_the_last_part(self, ledger: Ledger, tmp_path: Path) -> None:
        run = split(ledger)
        post(ledger, held(ledger, run, 1, "node-1"), tmp_path, f"{ALPHA}.test_1")
        look(ledger)
        assert ledger.runs.get(run).state is RunState.RUNNING

    def test_merged_again_it_changes_nothing(self, ledger: Ledger, tmp_path: Path) -> None:
        run = finished(ledger, tmp_path)
        before = ledger.results.get(run), ledger.runs.get(run)
        assert not shard_results.merge(ledger, run)
        assert (ledger.results.get(run), ledger.runs.get(run)) == before

    def test_cut_off_before_its_end_it_is_merged_again(
        self, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_args: object) -> None:
            raise OSError("power off")

        with monkeypatch.context() as patch:
            patch.setattr(type(ledger.shards), "_forget_results", broken)
            with pytest.raises(OSError, match="power off"):
                finished(ledger, tmp_path)
        (run,) = ledger.shards.going_on()
        assert set(rows(ledger)) == {part(ledger, run, 1), part(ledger, run, 2)}
        look(ledger)
        assert ledger.runs.get(run).state is RunState.FINISHED
        assert rows(ledger) == {run: 3}

    def test_a_node_that_posts_again_is_answered_as_before(self, ledger: Ledger, tmp_path: Path) -> None:
        run = split(ledger)
        jobs = [held(ledger, run, number, f"node-{number}") for number in (1, 2)]
        for job, name in zip(jobs, (ALPHA, BETA)):
            post(ledger, job, tmp_path, f"{name}.test_1")
        look(ledger)
        post(ledger, jobs[1], tmp_path, f"{BETA}.test_1")
        assert rows(ledger) == {run: 2}

    def test_durations_and_history_count_it_once(self, ledger: Ledger, tmp_path: Path) -> None:
        run = split(ledger)
        post(ledger, held(ledger, run, 1, "node-1"), tmp_path, f"{ALPHA}.test_1")
        assert ledger.durations.of_cloud(None) == {}
        post(ledger, held(ledger, run, 2, "node-2"), tmp_path, f"{BETA}.test_1")
        look(ledger)
        assert set(ledger.durations.of_cloud(None)) == {f"{ALPHA}.test_1", f"{BETA}.test_1"}
        assert ledger.statistics.totals().runs == {"passed": 1}
        assert ledger.statistics.totals().tests["passed"] == 2


class TestPartsThatEndOtherwise:
    def test_a_lost_part_is_tried_again_alone(self, ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
        run = split(ledger)
        post(ledger, held(ledger, run, 1, "node-1"), tmp_path, f"{ALPHA}.test_1")
        held(ledger, run, 2, "node-2")
        clock.forward(61.0)
        for silent in ledger.deadlines.silent():
            assert ledger.deadlines.lose_silent(silent.key, "silent")
        look(ledger)
        assert ledger.runs.get(run).state is RunState.RUNNING
        assert [one.attempt for one in ledger.shards.of_run(run)] == [1, 2]
        post(ledger, held(ledger, run, 2, "node-3"), tmp_path, f"{BETA}.test_1")
        look(ledger)
        assert ledger.runs.get(run).state is RunState.FINISHED
        assert ledger.runs.get(run).counts.passed == 2

    def test_a_part_without_a_result_ends_all(self, ledger: Ledger) -> None:
        run = split(ledger)
        first, second = (held(ledger, run, number, f"node-{number}") for number in (1, 2))
        ledger.attempts.report(first.proof, Report(RunState.FAILED, "the cloud rejects the password", "cloud"))
        look(ledger)
        seen = ledger.runs.get(run)
        assert (seen.state, seen.reason) == (RunState.FAILED, "cloud")
        assert seen.message == "shard 1 ended: failed: the cloud rejects the password"
        assert beat(ledger, second, second.claim_id) is HeartbeatReply.CANCEL

    def test_what_no_test_of_can_run_is_skipped(self, ledger: Ledger, tmp_path: Path) -> None:
        known = "tempest.api.compute.test_quotas.QuotasTestJSON"
        run = split(ledger, (PLANS[0], ShardPlan((known,), 3, CONF)))
        post(ledger, held(ledger, run, 1, "node-1"), tmp_path, f"{ALPHA}.test_1")
        job = held(ledger, run, 2, "node-2")
        ledger.attempts.report(job.proof, Report(RunState.FAILED, f"{NOTHING_ON_CLOUD}: no compute service", "cloud"))
        look(ledger)
        seen = ledger.runs.get(run)
        assert (seen.state, seen.counts.passed, seen.counts.skipped) == (RunState.FINISHED, 1, 3)
        skipped = ledger.results.tests(run, ResultQuery("skipped"))
        assert all(one.name.startswith(known) and "no compute service" in one.reason for one in skipped)

    def test_none_of_all_tests_can_run(self, ledger: Ledger) -> None:
        run = split(ledger)
        for number in (1, 2):
            job = held(ledger, run, number, f"node-{number}")
            ledger.attempts.report(job.proof, Report(RunState.FAILED, f"{NOTHING_ON_CLOUD}: nothing", "cloud"))
        look(ledger)
        assert (ledger.runs.get(run).state, ledger.runs.get(run).reason) == (RunState.FAILED, "cloud")

    def test_the_time_limit_is_that_of_the_whole(self, ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
        run = split(ledger, [PLANS[0], replace(PLANS[1], is_last=True)])
        job = held(ledger, run, 1, "node-1")
        look(ledger)
        limit = ledger.settings.rules.run_timeout
        clock.forward(limit - 100.0)
        post(ledger, job, tmp_path, f"{ALPHA}.test_1")
        look(ledger)
        last = held(ledger, run, 2, "node-1")
        assert ledger.runs.get(part(ledger, run, 2)).spec.timeout == 100
        clock.forward(101.0 + ledger.settings.rules.run_grace)
        for one in ledger.deadlines.overdue():
            ledger.deadlines.expire(one)
        look(ledger)
        assert (ledger.runs.get(run).state, ledger.runs.get(run).reason) == (RunState.FAILED, "timeout")
        assert beat(ledger, last, last.claim_id) is HeartbeatReply.STOP


class TestNodesThatLie:
    @pytest.mark.parametrize("said", [f"{BETA}.test_1", f"setUpClass ({BETA})"])
    def test_a_node_speaks_for_no_test_of_another_shard(self, ledger: Ledger, tmp_path: Path, said: str) -> None:
        run = split(ledger)
        post(ledger, held(ledger, run, 1, "node-1"), tmp_path, f"{ALPHA}.test_1", said, status="fail")
        post(ledger, held(ledger, run, 2, "node-2"), tmp_path, f"{BETA}.test_1")
        look(ledger)
        found = ledger.runs.get(run)
        assert (found.state, found.reason) == (RunState.FAILED, "shards")
        assert f"shard 1 has a result of {said}, which is a test of shard 2" in found.message

    def test_a_node_speaks_for_no_test_of_another_shard_by_a_former_name(self, ledger: Ledger, tmp_path: Path) -> None:
        known = {f"{BETA}.test_1": {"aliases": ["old.place.Beta.test_1"]}, f"{ALPHA}.test_1": {}}
        text = {
            "metadata": {"id": "2099.01", "schema": "2.0"},
            "platforms": {"P": {"components": [{"name": "c"}]}},
            "components": {"c": {"capabilities": {"required": [{"name": "k"}]}}},
            "capabilities": {"k": {"tests": known}},
        }
        guideline = ledger.guidelines.add(json.dumps(text), StoredGuideline(0, "", "", "", "op"))
        run = split(ledger)
        ledger.guidelines.choose(run, Choice(guideline.id, "P"))
        post(ledger, held(ledger, run, 1, "node-1"), tmp_path, f"{ALPHA}.test_1", "old.place.Beta.test_1")
        post(ledger, held(ledger, run, 2, "node-2"), tmp_path, f"{BETA}.test_1", status="fail")
        look(ledger)
        verdict = ledger.guidelines.verdict(run)
        assert verdict is not None and (verdict.passed, verdict.count()) == (False, (1, 2))
        assert {one.name for one in ledger.results.tests(run, ResultQuery())} == {f"{ALPHA}.test_1", f"{BETA}.test_1"}
        assert b"old.place" not in b"".join(ledger.results.stream(run))
        assert [text for text in texts(ledger, run) if "left out" in text] == [
            "shard 1: left out of the result, because its tests do not include them: old.place.Beta.test_1"
        ]

    def test_shards_have_together_no_more_than_one_run(self, ledger: Ledger, tmp_path: Path) -> None:
        run = split(ledger)
        for number, name in enumerate((ALPHA, BETA), 1):
            post(ledger, held(ledger, run, number, f"node-{number}"), tmp_path, f"{name}.test_1")
        with ledger.database.writing() as connection:
            connection.execute(update(queue_tables.result).values(size=300 << 20))
        look(ledger)
        assert "together they have 600 MiB" in ledger.runs.get(run).message

    def test_what_belongs_to_no_shard_is_no_lie(self, ledger: Ledger, tmp_path: Path) -> None:
        run = split(ledger)
        post(ledger, held(ledger, run, 1, "node-1"), tmp_path, f"{ALPHA}.test_1", "process-returncode")
        post(ledger, held(ledger, run, 2, "node-2"), tmp_path, f"{BETA}.test_1", "setUpModule (a.test_x)")
        look(ledger)
        assert ledger.runs.get(run).state is RunState.FINISHED


class TestRemoval:
    def test_its_parts_go_with_it(self, ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
        run = finished(ledger, tmp_path)
        before = ledger.statistics.totals()
        clock.forward(100.0)
        assert ledger.retention.count(clock()) == 1
        assert ledger.retention.prune(clock()) == 1
        assert rows(ledger) == rows(ledger, queue_tables.run) == rows(ledger, queue_tables.result) == {}
        assert ledger.shards.of_run(run) == []
        assert ledger.statistics.totals() == before

    def test_not_while_a_node_still_stops(self, ledger: Ledger) -> None:
        run = split(ledger)
        jobs = [held(ledger, run, number, f"node-{number}") for number in (1, 2)]
        ledger.attempts.report(jobs[0].proof, Report(RunState.FAILED, "no", "cloud"))
        look(ledger)
        with pytest.raises(StateError, match="still being stopped"):
            ledger.retention.delete(run)
        ledger.attempts.report(jobs[1].proof, Report(RunState.CANCELLED))
        ledger.retention.delete(run)
        assert rows(ledger, queue_tables.run) == {}


def test_a_restored_backup_submits_no_split_run(ledger: Ledger) -> None:
    run = split(ledger)
    ledger.restoring.settle()
    assert ledger.runs.get(run).attempt == 1
    assert sorted(one.key.test_id for one in ledger.submissions.next()) == [
        part(ledger, run, 1),
        part(ledger, run, 2),
    ]


def test_its_end_is_announced_once(ledger: Ledger, tmp_path: Path) -> None:
    number = subscribe(ledger).id
    run = finished(ledger, tmp_path)
    ledger.deliveries.fan_out(Composer(ledger))
    assert [one.body["data"]["run"]["test_id"] for one in ledger.deliveries.take(9)] == [run]
    assert len(ledger.deliveries.of(number)) == 1
