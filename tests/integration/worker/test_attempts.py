"""What becomes of an attempt on a real node: how it ends, and what is left of it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from refstack_worker.contract import gearman_functions
from tests.integration.worker.conftest import PASSWORD, VERSION, Node
from tests.support.node_states import FUNCTION, clean, node_section, running
from tests.support.process_table import below, files_with
from tests.support.processes import eventually
from tests.support.wheel_files import make_lock, make_wheel
from tests.support.worker_parts import gone


def test_a_run_goes_all_the_way(node: Node) -> None:
    node.start()
    attempt = node.submit(11, "pass")
    eventually("the result is there", lambda: attempt.results)
    assert attempt.results == [b"\xb3 the stream of 11"]
    clean(node)
    assert [state for state, _, _ in attempt.states] == ["building", "running", "posting"]
    assert attempt.claims == 1
    assert node.ask()["ended"] == {"posted": 1}


def test_the_console_of_a_run_reaches_the_server_once_in_order_and_without_secrets(node: Node) -> None:
    node.start()
    secret = {"standin": {"mode": "wait", "mark": str(node.mark), "secret": PASSWORD}}
    attempt = node.submit(20, "wait", conf_json={**secret, "identity": {"admin_password": PASSWORD}})
    running(node, attempt)
    eventually("it arrives while the run goes on", lambda: len(attempt.console) == 3)
    Path(f"{node.mark}.go").touch()
    eventually("the result is there", lambda: attempt.results)
    clean(node)
    assert [(line["event"], line.get("status")) for line in attempt.console] == [
        ("test", "started"), ("request", 200), ("test", "passed"),
    ]  # fmt: skip
    assert attempt.console[1]["path"] == "/v3?k=***" and attempt.console[1]["request_id"] == "req-1"


def test_a_result_counts_as_posted_though_heartbeats_are_answered_before_its_sender(node: Node) -> None:
    node.start()
    attempt = node.submit(19, "pass")
    attempt.beats_before_thanks = 3
    eventually("the result is there", lambda: attempt.results)
    clean(node)
    assert node.ask()["ended"] == {"posted": 1}
    assert not [message for message in attempt.messages if "clean-up" in message]


def test_progress_is_in_the_heartbeats_and_in_status(node: Node) -> None:
    node.start()
    attempt = node.submit(12, "wait")
    running(node, attempt)
    eventually("progress arrives", lambda: attempt.beats and attempt.beats[-1]["progress"]["done"] == 1)
    (slot,) = node.ask()["slots"]
    assert (slot["test_id"], slot["attempt"], slot["state"]) == (12, 1, "running")
    assert slot["progress"]["total"] == 4
    assert "test 12 attempt 1, Tempest 47.0.0, running" in node.command("status").stdout
    Path(f"{node.mark}.go").touch()
    eventually("the result is there", lambda: attempt.results)


def test_a_cancel_ends_everything_within_five_seconds(node: Node) -> None:
    node.start()
    attempt = node.submit(13, "stubborn")
    running(node, attempt)
    eventually("its daemons are up", lambda: len(node.pids) == 4)
    pids = node.pids
    began = time.monotonic()
    attempt.order = "cancel"
    eventually("the last process is gone", lambda: all(gone(pid) for pid in pids), 5.0)
    took = time.monotonic() - began
    eventually("it is reported", lambda: attempt.state == "cancelled")
    clean(node)
    # the heartbeat of production comes every 2 s, here every 0.2 s
    assert took + 2.0 < 5.0
    eventually("the cloud was cleaned", lambda: "clean-up: 3 leftovers removed" in attempt.messages)
    assert any(message.endswith("-13-1") for message in attempt.messages if "3 things" in message)
    assert not attempt.results and not attempt.released


def test_a_cancel_while_the_environment_is_made_ends_that_too(node: Node) -> None:
    slow = f"""
import os, sys, time
def main():
    if sys.argv[1] == "init":
        os.makedirs(os.path.join(sys.argv[-1], "etc"))
        return
    open({str(node.mark)!r}, "a").write(f"{{os.getpid()}}\\n")
    time.sleep(600)
"""
    folder = node.folder / "locks" / "46.0.0"
    points = "[console_scripts]\ntempest = tempest.main:main\n"
    files = {"tempest/__init__.py": "", "tempest/main.py": slow}
    make_lock(folder, "46.0.0", [make_wheel(folder / "wheels", "tempest", "46.0.0", files, entry_points=points)])
    node.start()
    attempt = node.submit(18, "pass", tempest_version="46.0.0")
    eventually("Tempest lists its tests", lambda: attempt.state == "building" and node.pids)
    attempt.order = "cancel"
    eventually("it is gone", lambda: all(gone(pid) for pid in node.pids), 5.0)
    eventually("it is reported", lambda: attempt.state == "cancelled")
    eventually("the node is clean", node.is_clean)
    assert gearman_functions.for_version("46.0.0") in node.ask()["functions"], "that proves nothing against the version"


def test_a_superseded_attempt_ends_and_says_nothing_more(node: Node) -> None:
    node.start()
    attempt = node.submit(14, "stubborn")
    running(node, attempt)
    said = len(attempt.states)
    attempt.superseded = True
    clean(node)
    assert all(gone(pid) for pid in node.pids)
    assert len(attempt.states) == said and not attempt.results and not attempt.released


def test_a_run_that_takes_too_long_fails_with_that_reason(node: Node) -> None:
    node.start(limits={"max_timeout": 1, "min_free_mb": 1})
    # the worker's own limit comes 15 s after the run's, which this run does not keep
    attempt = node.submit(15, "stubborn")
    eventually("it failed", lambda: attempt.state == "failed", 40)
    assert attempt.states[-1][1] == "timeout"
    clean(node)
    assert all(gone(pid) for pid in node.pids)


def test_the_runs_time_limit_does_not_end_the_clean_up(node: Node) -> None:
    node.start(limits={"max_timeout": 1, "min_free_mb": 1})
    attempt = node.submit(71, "leaves-much")
    eventually("it failed", lambda: attempt.state == "failed", 40)
    eventually("the cloud is clean", lambda: any("3 things" in said for said in attempt.messages), 60)
    clean(node)


@pytest.mark.parametrize(
    ("mode", "ended", "reason"),
    [
        ("cloud", "failed", "cloud"),
        ("killed", "released", "killed by signal 9"),
        ("server", "released", "cannot be used"),
    ],
)
def test_how_the_program_ends_is_how_the_run_ends(node: Node, mode: str, ended: str, reason: str) -> None:
    node.start()
    attempt = node.submit(16, mode)
    eventually("it ended", lambda: attempt.released if ended == "released" else attempt.state == ended)
    assert reason in (attempt.released or " ".join(attempt.states[-1]))
    clean(node)


def test_a_run_whose_processes_are_always_killed_fails_in_the_end(node: Node) -> None:
    node.start()
    attempt = node.submit(17, "killed", attempt=3)
    eventually("it failed", lambda: attempt.state == "failed")
    assert attempt.states[-1][1] == "killed"


def test_two_slots_work_side_by_side(node: Node) -> None:
    node.start(node={**node_section(node), "slots": 2})
    one, two, three = (node.submit(number, "wait") for number in (21, 22, 23))
    eventually("two of them run", lambda: sum(a.state == "running" for a in (one, two, three)) == 2)
    assert [slot["busy"] for slot in node.ask()["slots"]] == [True, True]
    assert sum(a.claims for a in (one, two, three)) == 2
    Path(f"{node.mark}.go").touch()
    for attempt in (one, two, three):
        eventually("the result is there", lambda attempt=attempt: attempt.results)
    clean(node)


def test_a_tampered_payload_is_dropped_and_the_slot_rests(node: Node) -> None:
    program = node.start()
    made = node.payload(31, 1, "pass")
    known = node.server.expect(31, 1, made.secret)
    envelope = bytearray(node.sealer.seal(made))
    envelope[-5] = ord("A") if envelope[-5] != ord("A") else ord("B")
    node.submit_bytes(FUNCTION, made, bytes(envelope))
    clean(node)
    eventually("it is in the log", lambda: "the seal is broken" in program.text())
    assert known.claims == 0
    assert "pauses for" in program.text()
    assert node.ask()["last_errors"][0]["reason"] == "seal"


def test_a_foreign_callback_is_never_called(node: Node) -> None:
    program = node.start()
    other = node.server.url.replace("127.0.0.1", "localhost")
    attempt = node.submit(32, "pass", callback=other)
    eventually("it is dropped", lambda: "is not in server.urls" in program.text())
    clean(node)
    assert attempt.claims == 0
    assert not [call for call in node.server.calls if "/runs/" in call]


def test_an_unknown_tempest_version_ends_with_a_reason(node: Node) -> None:
    node.start()
    attempt = node.submit(33, "pass", function=FUNCTION, tempest_version="99.0.0")
    eventually("it failed", lambda: attempt.state == "failed")
    assert attempt.states[-1][1] == "version-unavailable"
    assert "99.0.0" in attempt.states[-1][2] and "refstack-tempest-99.0.0" in attempt.states[-1][2]
    clean(node)


def test_a_version_that_went_meanwhile_is_given_back(node: Node) -> None:
    node.start()
    node.command("pause")
    attempt = node.submit(34, "pass")
    for lock in (node.folder / "locks" / VERSION).glob("pylock*"):
        lock.unlink()
    eventually("the function goes", lambda: node.queue_status()[FUNCTION][2] == 0)
    assert node.queue_status()[FUNCTION][0] == 1, "the job stays for a node that can"
    assert not attempt.claims


def test_a_truncated_wheel_fails_the_run_by_its_name(node: Node) -> None:
    wheel = next((node.folder / "locks" / VERSION / "wheels").glob("shared_one*"))
    wheel.write_bytes(wheel.read_bytes()[:-20])
    node.start()
    attempt = node.submit(35, "pass")
    eventually("it ended", lambda: attempt.state == "failed" or attempt.released)
    assert wheel.name in (attempt.released or attempt.states[-1][2])
    clean(node)


def test_secrets_are_nowhere_but_in_the_runs_own_files_while_it_runs(node: Node) -> None:
    node.start()
    attempt = node.submit(41, "stubborn")
    running(node, attempt)
    base = node.folder / "node"
    for secret in (PASSWORD, attempt.secret):
        found = files_with(secret, base)
        assert found, "the run has it in its own files"
        assert all((base / "runs") in path.parents and path.stat().st_mode & 0o077 == 0 for path in found)
        for pid in [node.programs[0].pid, *below(node.programs[0].pid)]:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
                assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
                assert secret.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    attempt.order = "cancel"
    clean(node)
    for secret in (PASSWORD, attempt.secret):
        assert files_with(secret, node.folder) == []
        assert secret not in str(attempt.states) + str(attempt.messages) + str(node.ask())
