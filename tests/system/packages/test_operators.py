"""What operators ran into on a node and a server from packages, on booted Debian 12 and 13: each fault stays fixed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.clouds import SLOW_TESTS, TESTS, cloud_in
from tests.system.packages.conftest import FIRST
from tests.system.packages.node import TOKEN_FILE, URL, Node

TEMPEST = f"refstack-tempest-{FIRST}"
WRONG = "/etc/refstack-worker/conf.d/wrong.toml"
LEDGER = ("/var/lib/refstack/refstack.sqlite", "/etc/refstack/keys/sign.key")
ENDED = ("finished", "failed", "cancelled")

pytestmark = pytest.mark.skipif(not os.environ.get("REFSTACK_TEST_FULL"), reason="tests/run full runs it")


@pytest.fixture
def node(bare_machine: Node) -> Node:
    made = bare_machine
    made.install("refstack-worker", "refstack-queue", TEMPEST, "gearman-job-server")
    made.set_up_queue()
    made.set_up_worker()
    made.machine.wait("the worker", lambda: FIRST in made.status()["versions"], 60)
    return made


def test_what_operators_ran_into(node: Node, tmp_path: Path) -> None:
    systemd_knows_every_key(node)
    who_may_not_ask_is_told_so(node)
    a_wrong_file_is_not_loaded(node)
    a_pause_survives(node)
    the_journal_tells_of_gearmand(node)
    health_tests_keys_and_writing(node)
    with cloud_in(node.machine, tmp_path) as conf:
        a_column_that_is_not_there_is_named(node, conf)
        a_package_that_is_removed_during_a_run_leaves_the_store(node, conf)
    a_purge_keeps_ledger_and_keys_unless_told_otherwise(node)


def systemd_knows_every_key(node: Node) -> None:
    units = node.machine.sh("ls /usr/lib/systemd/system/refstack-*")
    said = node.machine.run("systemd-analyze", "verify", "--man=no", *units.split(), check=False)
    assert [line for line in said.stderr.splitlines() if "refstack" in line] == []


def who_may_not_ask_is_told_so(node: Node) -> None:
    done = node.machine.run("runuser", "-u", "nobody", "--", "refstack-worker", "status", check=False)
    assert done.returncode != 0 and "ermission denied" in done.stderr, done
    assert "fault of this program" not in done.stderr, done.stderr


def a_wrong_file_is_not_loaded(node: Node) -> None:
    before = node.status()["pid"]
    node.machine.write(WRONG, "[node]\nslot = 3\n")
    done = node.machine.run("systemctl", "reload", "refstack-worker", check=False)
    assert done.returncode != 0
    assert "node.slot is not a setting" in node.machine.journal("refstack-worker")
    assert node.status()["pid"] == before, "status answers although the file is wrong"
    node.machine.sh(f"rm {WRONG}; systemctl reload refstack-worker")


def a_pause_survives(node: Node) -> None:
    node.machine.run("refstack-worker", "pause")
    for how in (
        "systemctl restart refstack-worker",
        "systemctl kill -s USR2 --kill-whom=main refstack-worker; sleep 7",
    ):
        node.machine.sh(how)
        node.machine.wait("it is back and pauses", lambda: state_of(node) == "paused", 60)
    node.machine.run("refstack-worker", "resume")
    node.machine.wait("it takes runs", lambda: state_of(node) == "ready", 30)


def state_of(node: Node) -> str:
    done = node.machine.run("refstack-worker", "status", "-f", "json", check=False)
    return str(json.loads(done.stdout)["state"]) if done.returncode == 0 else ""


def the_journal_tells_of_gearmand(node: Node) -> None:
    units = ("refstack-worker", "refstack-queue-monitor")
    before = {unit: node.machine.journal(unit) for unit in units}

    def new(unit: str) -> str:
        return node.machine.journal(unit).removeprefix(before[unit])

    node.machine.sh("systemctl stop gearman-job-server")
    node.machine.wait("the worker misses it", lambda: "not connected; this node gets no runs" in new(units[0]), 60)
    node.machine.wait("the monitor misses it", lambda: "does not respond" in new(units[1]), 60)
    node.machine.sh("systemctl start gearman-job-server")
    node.machine.wait("the worker has it", lambda: ": connected" in new(units[0]), 90)
    node.machine.wait("the monitor has it", lambda: "responds again" in new(units[1]), 90)
    node.machine.wait("all is well", lambda: health(node) == "ok", 60)


def health(node: Node) -> str:
    ask = f"import urllib.request; print(urllib.request.urlopen('{URL}/health').read().decode())"
    done = node.machine.run("python3", "-c", ask, check=False)
    return str(json.loads(done.stdout)["status"]) if done.returncode == 0 else ""


def health_tests_keys_and_writing(node: Node) -> None:
    for path in LEDGER:
        owner = node.machine.run("stat", "-c", "%U:%G", path).stdout.strip()
        node.machine.sh(f"chown root:root {path}; chmod 600 {path}; systemctl restart refstack-queue-api")
        node.machine.wait(f"{path} is missed", lambda: health(node) == "", 30)
        assert node.machine.run("refstack-queue", "doctor", check=False).returncode != 0, path
        node.machine.sh(f"chown {owner} {path}; systemctl restart refstack-queue-api refstack-queue-monitor")
        node.machine.wait("all is well", lambda: health(node) == "ok", 60)


def a_column_that_is_not_there_is_named(node: Node, conf: dict[str, Any]) -> None:
    node.machine.write("root/conf.json", json.dumps(conf), 0o600)
    words = ("run", "create", "--tempest-version", FIRST, "--conf-json", "@/root/conf.json", "--testcases", TESTS[0])
    env = {"REFSTACK_URL": URL, "REFSTACK_TOKEN_FILE": TOKEN_FILE}
    done = node.machine.run("refstack-queue", *words, "-c", "id", "-f", "value", check=False, env=env)
    assert done.returncode == 2 and "the command itself was carried out" in done.stderr, done
    [started] = node.queue("run", "list", "-f", "json")
    assert node.wait_state(started["Id"], ENDED, 120)["state"] == "finished", started


def a_package_that_is_removed_during_a_run_leaves_the_store(node: Node, conf: dict[str, Any]) -> None:
    running = node.trigger(conf, FIRST, SLOW_TESTS)
    node.wait_state(running, ("running",))
    node.machine.sh(f"apt-get -y purge {TEMPEST}")
    waiting = node.trigger(conf, FIRST, TESTS[:1])
    ended = node.wait_state(running, ENDED, 600)
    assert (ended["state"], ended["attempt"], ended["counts"]["failed"]) == ("finished", 1, 0), ended
    node.machine.wait("its entries have left the store", lambda: entries(node) == [], 90)
    assert node.run(waiting)["state"] == "queued"
    node.install(TEMPEST)
    ended = node.wait_state(waiting, ENDED, 120)
    assert (ended["state"], ended["attempt"]) == ("finished", 1), ended


def entries(node: Node) -> list[Any]:
    said = node.machine.run("refstack-worker", "env", "list", "--entries", "-f", "json", check=False).stdout
    return list(json.loads(said)) if said.strip() else []


def a_purge_keeps_ledger_and_keys_unless_told_otherwise(node: Node) -> None:
    said = node.machine.sh("apt-get -y purge refstack-queue")
    assert "left: /var/lib/refstack/refstack.sqlite" in said
    assert all(node.machine.exists(path) for path in LEDGER)
    node.install("refstack-queue")
    node.machine.sh("echo 'refstack-queue refstack-queue/remove-data boolean true' | debconf-set-selections")
    assert "removing the ledger" in node.machine.sh("apt-get -y purge refstack-queue")
    assert not any(node.machine.exists(path) for path in LEDGER)
