"""Draining, pausing, stopping and killing a node, and what the next start finds."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.integration.worker.conftest import PASSWORD, Node
from tests.support.node_states import FUNCTION, clean, running
from tests.support.process_table import below, command_lines, files_with
from tests.support.processes import eventually
from tests.support.worker_parts import gone


def test_drain_finishes_the_run_and_takes_no_further_one(node: Node) -> None:
    program = node.start()
    first = node.submit(51, "wait")
    running(node, first)
    waiting = [node.submit(number, "pass") for number in range(52, 62)]
    program.process.send_signal(signal.SIGUSR1)
    eventually("it drains", lambda: node.ask()["state"] == "draining")
    Path(f"{node.mark}.go").touch()
    assert program.process.wait(30) == 0
    assert first.results
    assert [attempt.claims for attempt in waiting] == [0] * 10
    assert node.queue_status()[FUNCTION] == (10, 0, 0)
    assert node.is_clean()
    # leave the queue empty for the other tests
    node.start()
    eventually("all are done", lambda: all(attempt.results for attempt in waiting))


def test_the_drain_command_waits_and_says_when_it_is_done(node: Node) -> None:
    program = node.start()
    done = node.command("drain")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "drained: the worker has ended")
    assert program.process.wait(10) == 0


def test_usr2_finishes_and_asks_to_be_started_again(node: Node) -> None:
    program = node.start()
    first = node.submit(63, "wait")
    running(node, first)
    program.process.send_signal(signal.SIGUSR2)
    eventually("it drains", lambda: node.ask()["state"] == "draining")
    Path(f"{node.mark}.go").touch()
    assert program.process.wait(30) == 75
    assert first.results


def test_a_drained_node_stays_away_although_it_is_upgraded_meanwhile(node: Node) -> None:
    program = node.start()
    first = node.submit(64, "wait")
    running(node, first)
    node.ask("drain")
    program.process.send_signal(signal.SIGUSR2)
    Path(f"{node.mark}.go").touch()
    assert program.process.wait(30) == 0
    assert first.results


def test_term_gives_the_run_back_and_leaves_a_clean_node(node: Node) -> None:
    program = node.start()
    attempt = node.submit(71, "stubborn")
    running(node, attempt)
    pids = node.pids
    program.process.terminate()
    assert program.process.wait(30) == 0
    assert "node node-1 is being stopped" in attempt.released
    assert all(gone(pid) for pid in pids)
    assert node.is_clean()
    assert not attempt.results and attempt.state == "running"
    eventually("the job is complete", lambda: node.queue_status()[FUNCTION][:2] == (0, 0))


def test_kill_9_leaves_nothing_and_the_next_start_gives_the_run_back(node: Node) -> None:
    program = node.start()
    attempt = node.submit(81, "stubborn")
    running(node, attempt)
    pids = node.pids
    program.kill()
    eventually("its processes are gone", lambda: all(gone(pid) for pid in pids))
    eventually("its folder is gone", lambda: not list((node.folder / "node" / "runs").iterdir()))
    assert files_with(PASSWORD, node.folder) == []
    node.start()
    eventually("it is given back", lambda: "killed during the run" in attempt.released)
    clean(node)
    assert attempt.claims == 2, "gearmand handed the job out again, and it was refused"
    assert not attempt.results


def test_both_killed_at_once_leaves_work_for_the_next_start(node: Node) -> None:
    program = node.start()
    attempt = node.submit(82, "stubborn")
    running(node, attempt)
    tree, lines = below(program.pid), command_lines()
    # one that has ended meanwhile is in only one of the two
    agents = [pid for pid in tree & set(lines) if "sandbox.agent" in lines[pid]]
    program.kill()
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    node.start()
    clean(node)
    assert all(gone(pid) for pid in node.pids)
    assert files_with(PASSWORD, node.folder) == []


def test_pause_and_resume(node: Node) -> None:
    node.start()
    assert node.command("pause").stdout == "paused\n"
    attempt = node.submit(91, "pass")
    health = node.command("health", "-f", "json")
    assert health.returncode == 0 and '"paused"' in health.stdout
    assert node.queue_status()[FUNCTION][0] == 1 and not attempt.claims
    assert node.command("resume").stdout == "ready\n"
    eventually("the result is there", lambda: attempt.results)


def test_a_pause_survives_a_restart(node: Node) -> None:
    program = node.start()
    node.command("pause")
    program.end()
    node.start()
    attempt = node.submit(94, "pass")
    assert node.ask()["state"] == "paused" and not attempt.claims
    node.command("resume")
    eventually("the result is there", lambda: attempt.results)
