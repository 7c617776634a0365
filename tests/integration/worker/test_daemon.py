"""The daemon on a real queue, from the job to a clean node: each way in which a run may go."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import gearman_functions, keys
from tests.integration.worker.conftest import PASSWORD, VERSION, Node
from tests.support.processes import Gearmand, below, eventually, files_with
from tests.support.standin_server import Attempt
from tests.support.wheel_files import make_lock, make_version, make_wheel
from tests.support.worker_parts import gone

FUNCTION = gearman_functions.for_version(VERSION)


def clean(node: Node) -> None:
    """Wait until nothing of any run is left, and the queue has no job that is not complete."""
    eventually("the node is clean", node.is_clean)
    eventually("the job is complete", lambda: node.queue_status()[FUNCTION][:2] == (0, 0))


def running(node: Node, attempt: Attempt) -> None:
    eventually("it runs", lambda: attempt.state == "running" and node.pids)


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


# --- bad input


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
    assert "rests" in program.text()
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


def test_an_unknown_setting_ends_the_start_and_names_the_line(node: Node) -> None:
    node.configure(node={**node_section(node), "slot": 3})
    done = node.command("run")
    assert done.returncode == 3
    line = next(number for number, text in enumerate(node.config.read_text().splitlines(), 1) if "slot" in text)
    assert f"{node.config}:{line}: node.slot is not a setting" in done.stderr


# --- secrets


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


# --- the node's own life


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
    agents = [pid for pid in below(program.pid) if b"sandbox.agent" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    program.kill()
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    node.start()
    clean(node)
    assert all(gone(pid) for pid in node.pids)
    assert files_with(PASSWORD, node.folder) == []


def test_a_second_worker_on_the_same_folder_is_refused(node: Node) -> None:
    node.start()
    done = node.command("run")
    assert done.returncode == 3 and "in use by another worker" in done.stderr


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


def test_a_resting_slot_wakes_when_the_missing_package_arrives(node: Node) -> None:
    node.start()
    lock = make_version(node.folder / "locks", "46.4.0")
    function = gearman_functions.for_version("46.4.0")
    eventually("it is offered", lambda: function in node.ask()["functions"])
    saved = lock.read_bytes()
    lock.write_bytes(saved.replace(b"shared_one-1.0", b"shared_no-1.0"))
    attempt = node.submit(95, "pass", tempest_version="46.4.0")
    eventually("the slot rests", lambda: "rests for" in node.log())
    lock.write_bytes(saved)
    again = node.submit(95, "pass", attempt=2, tempest_version="46.4.0")
    eventually("it goes on", lambda: again.results or attempt.results)


def test_a_reload_with_a_wrong_file_keeps_the_old_settings(node: Node) -> None:
    node.start()
    before = node.config.read_text()
    node.config.write_text(before + "\n[nonsense]\nx = 1\n")
    check = node.command("config", "check")
    assert check.returncode == 3 and "nonsense" in check.stderr
    os.kill(node.programs[0].pid, signal.SIGHUP)
    eventually("it is refused", lambda: "the old settings and keys stay in effect" in node.log())
    attempt = node.submit(96, "pass")
    eventually("the result is there", lambda: attempt.results)


def test_a_reload_notices_new_keys(node: Node) -> None:
    node.start()
    keys.generate_pair("seal", node.folder / "fleet.key", node.folder / "fleet.pub")
    assert node.command("config", "check").returncode == 0
    os.kill(node.programs[0].pid, signal.SIGHUP)
    # systemd is not here to start it again, so it only says what to do
    eventually("it is said", lambda: "the keys changed; restart the worker" in node.log())


def test_gearmand_going_and_coming_back_is_in_the_log(node: Node, gearmand: Gearmand) -> None:
    node.start()
    server = f"gearman server 127.0.0.1:{node.port}"
    eventually("it is connected", lambda: f"{server}: connected" in node.log())
    gearmand.kill()
    try:
        eventually("it is missed", lambda: f"{server}: not connected; this node gets no runs from it" in node.log())
    finally:
        gearmand.start()
    eventually("it is back", lambda: node.log().count(f"{server}: connected") == 2)


def test_a_disk_without_room_takes_no_run_and_says_so(node: Node) -> None:
    program = node.start(limits={"min_free_mb": 10**7})
    attempt = node.submit(92, "pass")
    status = node.ask()
    assert not status["accepting"] and "MiB free, limits.min_free_mb is 10000000; free up space" in status["problem"]
    assert "takes no runs" in program.text()
    assert node.command("health").returncode == 1
    assert not attempt.claims and node.queue_status()[FUNCTION][0] == 1
    program.end()
    node.start()
    eventually("another node, or this one later, does it", lambda: attempt.results)


def test_a_version_that_is_installed_or_removed_shows_without_a_restart(node: Node) -> None:
    node.start()
    more = gearman_functions.for_version("46.3.0")
    assert more not in node.ask()["functions"]
    lock = make_version(node.folder / "locks", "46.3.0")
    eventually("it is offered", lambda: node.queue_status().get(more, (0, 0, 0))[2] == 1)
    attempt = node.submit(93, "pass", tempest_version="46.3.0")
    eventually("it runs", lambda: attempt.results)
    lock.unlink()
    eventually("it is gone", lambda: node.queue_status()[more][2] == 0)
    assert node.queue_status()[FUNCTION][2] == 1


def test_a_version_that_is_removed_while_a_run_goes_on_does_not_disturb_it(node: Node) -> None:
    node.start()
    attempt = node.submit(94, "wait")
    running(node, attempt)
    lock = next((node.folder / "locks" / VERSION).glob("pylock*"))
    text = lock.read_text()
    lock.unlink()
    eventually("it is noticed", lambda: node.ask()["functions"] == [])
    assert node.queue_status()[FUNCTION] == (1, 1, 1), "unregistering now would give the job to another"
    Path(f"{node.mark}.go").touch()
    eventually("the result is there", lambda: attempt.results)
    eventually("the function goes afterwards", lambda: node.queue_status()[FUNCTION][2] == 0)
    lock.write_text(text)
    assert attempt.claims == 1


def test_tags_and_releases_are_functions_too(node: Node) -> None:
    node.start(node={**node_section(node), "tags": ["eu"]})
    wanted = {FUNCTION, f"{FUNCTION}:eu", "refstack:openstack:2026.1", "refstack:openstack:2026.1:eu"}
    assert wanted == set(node.ask()["functions"])
    attempt = node.submit(
        95, "pass", function="refstack:openstack:2026.1:eu", tempest_version="", openstack_release="2026.1"
    )
    eventually("the result is there", lambda: attempt.results)


def test_what_the_node_says_of_itself_can_only_be_read_by_the_server(node: Node) -> None:
    node.start()
    eventually("it spoke", lambda: node.server.nodes)
    from refstack_worker.contract import keys

    said = sealing.open_node_message(
        node.server.nodes[0],
        keys.load_sign_private(node.folder / "sign.key"),
        keys.load_seal_public(node.folder / "fleet.pub"),
    )
    assert b'"versions": ["47.0.0"]' in said and b'"state": "ready"' in said
    node.command("pause")
    eventually("the pause is told", lambda: len(node.server.nodes) > 1)


# --- the server is not there


def test_a_result_that_cannot_be_posted_waits_in_the_spool(node: Node) -> None:
    node.start()
    node.server.refuse_results = True
    attempt = node.submit(101, "pass")
    eventually("it is in the spool", lambda: node.ask()["spool"]["entries"] == 1)
    eventually("the slot is free again", lambda: not node.ask()["slots"][0]["busy"])
    listed = node.command("spool", "list", "-f", "json").stdout
    assert '"101:1"' in listed and '"result"' in listed
    beats = len(attempt.beats)
    eventually("the server goes on hearing of it", lambda: len(attempt.beats) > beats + 3)
    assert files_with(PASSWORD, node.folder / "node" / "state") == []
    assert files_with(attempt.secret, node.folder / "node" / "state") == []
    assert node.command("spool", "flush", "--wait", "20").returncode == 1
    node.server.refuse_results = False
    assert node.command("spool", "flush").stdout.endswith(" sent, 0 left\n")
    assert attempt.results == [b"\xb3 the stream of 101"]
    clean(node)
    assert list((node.folder / "node" / "state" / "spool").iterdir()) == []


def test_the_spool_survives_kill_9(node: Node) -> None:
    program = node.start()
    node.server.refuse_results = True
    attempt = node.submit(102, "pass")
    eventually("it is in the spool", lambda: node.ask()["spool"]["entries"] == 1)
    program.kill()
    node.server.refuse_results = False
    node.start()
    eventually("it is posted", lambda: attempt.results)
    eventually("the spool is empty", lambda: node.ask()["spool"]["entries"] == 0)
    clean(node)


def test_a_spooled_result_of_a_superseded_attempt_is_let_go(node: Node) -> None:
    node.start()
    node.server.refuse_results = True
    attempt = node.submit(103, "pass")
    eventually("it is in the spool", lambda: node.ask()["spool"]["entries"] == 1)
    attempt.superseded = True
    eventually("the spool is empty", lambda: node.ask()["spool"]["entries"] == 0)
    assert not attempt.results


def test_a_failure_that_cannot_be_told_is_told_later(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.start()
    attempt = node.submit(104, "stubborn")
    running(node, attempt)
    attempt.order = "cancel"
    eventually("it is noticed", lambda: "the server cancelled the attempt" in node.log())
    node.server.down = True
    eventually("the last word is in the spool", lambda: node.ask()["spool"]["entries"] == 1, 40)
    node.server.down = False
    eventually("it is told", lambda: attempt.state == "cancelled")
    eventually("the spool is empty", lambda: node.ask()["spool"]["entries"] == 0)


def test_a_spool_that_cannot_be_written_does_not_lose_the_result(node: Node) -> None:
    node.start(spool={"limit_mb": 1, "folder": str(node.folder / "spool"), "first_retry": 0.3})
    (node.folder / "spool" / "ballast").mkdir()
    (node.folder / "spool" / "ballast" / "file").write_bytes(b"x" * (2 << 20))
    node.server.refuse_results = True
    attempt = node.submit(105, "pass")
    eventually("it goes on from the run's folder", lambda: "posting it from the run's folder" in node.log())
    node.server.refuse_results = False
    eventually("the result is there", lambda: attempt.results)
    clean(node)


def node_section(node: Node) -> dict[str, str]:
    base = node.folder / "node"
    return {"name": "node-1", "state_folder": str(base / "state"), "runtime_folder": str(base / "run")}
