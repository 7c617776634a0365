"""Keys of a node in service, while it is busy: rotations lose no attempt, and a revoked node opens nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.clouds import TESTS, cloud_in
from tests.system.packages.conftest import FIRST
from tests.system.packages.node import Node

RUNS = 12
KEYS = "/etc/refstack/keys"

pytestmark = pytest.mark.skipif(not os.environ.get("REFSTACK_TEST_FULL"), reason="tests/run full runs it")


@pytest.fixture
def busy(bare_machine: Node) -> Node:
    """A node with two slots and the server beside it."""
    node = bare_machine
    node.install("refstack-worker", "refstack-queue", f"refstack-tempest-{FIRST}", "gearman-job-server")
    node.set_up_queue()
    node.set_up_worker("[node]\nslots = 2\n")
    node.machine.wait("the worker", lambda: FIRST in node.status()["versions"], 60)
    return node


def test_rotations_under_load_lose_no_attempt_and_a_revoked_node_opens_nothing(busy: Node, tmp_path: Path) -> None:
    with cloud_in(busy.machine, tmp_path) as conf:
        runs = [busy.trigger(conf, FIRST, TESTS[:1]) for _ in range(RUNS)]
        busy.wait_state(runs[0], ("running", "posting", "finished"))
        rotate_the_fleets_key(busy)
        enrol(busy)
        busy.machine.sh("refstack-worker enrol --rotate && systemctl reload refstack-worker")
        runs += [busy.trigger(conf, FIRST, TESTS[:1]) for _ in range(2)]
        ended = [busy.wait_state(run, ("finished", "failed", "cancelled"), 600) for run in runs]
        assert [(run["state"], run["attempt"]) for run in ended] == [("finished", 1)] * len(runs), ended
        a_revoked_node_opens_nothing(busy, conf)


def a_revoked_node_opens_nothing(node: Node, conf: dict[str, Any]) -> None:
    """Runs are sealed to the fleet's key too, so that is rotated on the server; the node's own is revoked."""
    node.machine.sh(f"refstack-queue keys rotate fleet {KEYS}")
    node.queue("worker", "revoke", node.machine.name, "-f", "json")
    node.machine.wait("the node pauses by itself", lambda: node.status()["state"] == "paused", 60)
    node.machine.run("refstack-worker", "resume")  # as someone who has the machine would
    after = node.trigger(conf, FIRST, TESTS[:1])
    node.machine.wait("it cannot open the run", lambda: "payload: sealed for" in journal(node), 60)
    run = node.run(after)
    assert (run["state"], run["worker"]) == ("queued", ""), run


def rotate_the_fleets_key(node: Node) -> None:
    """As docs/worker.md says: in a copy, to the nodes first, to the server when every node has it."""
    node.machine.sh(
        f"cp -a {KEYS} /root/new-keys\n"
        "refstack-queue keys rotate fleet /root/new-keys\n"
        "install -m 600 /root/new-keys/fleet.key /etc/refstack-worker/fleet.key\n"
        "systemctl reload refstack-worker\n"
    )
    new = node.machine.read("etc/refstack-worker/fleet.key").splitlines()
    assert len(new) == 2, "the old one stays for the runs that are under way"
    node.machine.wait("both keys are loaded", lambda: len(fleet_keys(node)) == 2, 120)
    node.machine.sh(f"cp /root/new-keys/fleet.pub {KEYS}/fleet.pub && cp /root/new-keys/fleet.key {KEYS}/fleet.key")


def enrol(node: Node) -> None:
    token = node.queue_admin("worker", "enrol", node.machine.name, "-f", "value", "-c", "token").strip()
    node.machine.write("root/enrolment", token + "\n", 0o600)
    node.machine.sh("refstack-worker enrol --token-file /root/enrolment && systemctl reload refstack-worker")


def fleet_keys(node: Node) -> list[str]:
    done = node.machine.run("refstack-worker", "status", "-f", "value", "-c", "keys", check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("fleet:")]
    return lines[0].removeprefix("fleet:").split() if lines else []


def journal(node: Node) -> str:
    return node.machine.journal("refstack-worker")
