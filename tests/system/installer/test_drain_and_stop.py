"""What becomes of a run whose worker is drained, stopped, or stands still: real units, gearmand, Tempest and a cloud.

And of the queue's own services when they stand still. One booted machine with the queue and two workers, each a unit of
its own, on one store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.clouds import SLOW_TESTS, TESTS, cloud_in
from tests.support.installer_nodes import TEMPEST, Site
from tests.support.machines import Machine
from tests.support.mirror import Mirror
from tests.system.packages.node import Node

FIRST, SECOND = "refstack-worker", "refstack-second"
LIMIT = 10
"""Seconds of silence after which the queue gives a run to another worker; in service a minute."""
WAITING = 10
LONG_TESTS = [f"tempest.api.object_storage.test_{name}" for name in ("container_services", "object_services")]
"""Half a minute of tests: time to do something while they run, and to run them a second time."""
SECOND_SETTINGS = f"""
[node]
name = "{SECOND}"
state_folder = "/var/lib/{SECOND}"
runtime_folder = "/run/{SECOND}"
[run]
environments = "/var/cache/{SECOND}/environments"
folder = "/run/{SECOND}/runs"
"""


@pytest.fixture(scope="module")
def node(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Mirror(site.repository) as mirror, Machine() as machine:
        made = Node(machine, mirror, site.repository)
        made.add_source()
        made.install("refstack-worker", "refstack-queue", f"refstack-tempest-{TEMPEST}", "gearman-job-server")
        made.set_up_queue()
        machine.sh(
            f"echo 'HEARTBEAT_LIMIT = {LIMIT}' >> /etc/refstack/refstack.cfg\n"
            "systemctl restart refstack-queue-api refstack-queue-monitor"
        )
        made.set_up_worker(f'[node]\nname = "{FIRST}"\n')
        add_second_worker(machine)
        machine.wait("the worker", lambda: TEMPEST in made.status()["versions"], 60)
        machine.sh("systemctl start refstack-env-warm")
        yield made


@pytest.fixture(scope="module")
def conf(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with cloud_in(node.machine, tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture(autouse=True)
def only_the_first(node: Node) -> None:
    """Each test begins with the first worker at work and the second one down."""
    node.machine.sh(f"systemctl stop {SECOND}; systemctl reset-failed {FIRST}; systemctl start {FIRST}")
    node.machine.wait("the first worker is idle", lambda: is_idle(node), 60)


def add_second_worker(machine: Machine) -> None:
    """Make a second worker's unit out of the first one's: the same but for its name and its folders."""
    text = machine.read(f"/lib/systemd/system/{FIRST}.service")
    for kind in ("State", "Runtime"):
        text = text.replace(f"{kind}Directory={FIRST}", f"{kind}Directory={SECOND}")
    text = text.replace(f"CacheDirectory={FIRST}", f"CacheDirectory={FIRST} {SECOND}")
    text = text.replace("/usr/bin/refstack-worker run", f"/usr/bin/refstack-worker --config /etc/{SECOND}.toml run")
    machine.write(f"/etc/systemd/system/{SECOND}.service", text)
    site = machine.read("/etc/refstack-worker/conf.d/site.toml").partition("[node]")[0]
    machine.write(f"/etc/{SECOND}.toml", site + SECOND_SETTINGS)
    machine.sh("systemctl daemon-reload")


def is_idle(node: Node) -> bool:
    done = node.machine.run("refstack-worker", "health", check=False)
    return done.returncode == 0 and not any(slot["busy"] for slot in node.status()["slots"])


def shown(node: Node, unit: str, *names: str) -> list[str]:
    """Return properties of a unit, in the order asked for."""
    out = node.machine.run("systemctl", "show", *(f"-p{name}" for name in names), unit).stdout
    found = dict(line.split("=", 1) for line in out.splitlines())
    return [found[name] for name in names]


def results(node: Node, test_id: int) -> list[int]:
    """Return the attempt of every result that the ledger has of a run."""
    with closing(sqlite3.connect(node.machine.path / "var/lib/refstack/refstack.sqlite")) as ledger:
        rows = ledger.execute("SELECT attempt FROM queue_result WHERE test_id = ?", (test_id,)).fetchall()
    return [attempt for (attempt,) in rows]


def workers(node: Node, test_id: int) -> list[str]:
    """Return who had each attempt."""
    return [attempt["worker"] for attempt in node.run(test_id)["attempts"]]


def runs_at_work(node: Node) -> list[str]:
    """Return the units of runs that live."""
    words = ("--no-legend", "--plain", "--state=active,activating,deactivating", "refstack-run@*")
    return [line.split()[0] for line in node.machine.run("systemctl", "list-units", *words).stdout.splitlines()]


def test_drain_ends_the_run_and_takes_none_of_those_that_wait(node: Node, conf: dict[str, Any]) -> None:
    at_hand = node.trigger(conf, TEMPEST, LONG_TESTS)
    node.wait_state(at_hand, ("running",))
    waiting = [node.trigger(conf, TEMPEST, TESTS[:1]) for _ in range(WAITING)]

    node.machine.run("refstack-worker", "drain")

    ended = node.run(at_hand)
    assert (ended["state"], ended["attempt"], ended["counts"]["failed"]) == ("finished", 1, 0), ended
    for test_id in waiting:
        found = node.run(test_id)
        assert (found["state"], found["attempt"], found["worker"] or "") == ("queued", 1, ""), found
    active = lambda: shown(node, FIRST, "ActiveState")[0]  # noqa: E731
    node.machine.wait("the unit is down", lambda: active() == "inactive", 30)
    assert shown(node, FIRST, "Result", "NRestarts", "SubState") == ["success", "0", "dead"]

    node.machine.sh(f"systemctl start {FIRST}")
    assert node.wait_state(waiting[0], ("finished",))["attempt"] == 1, "those that waited could have been taken"
    for test_id in waiting[1:]:
        node.queue("run", "cancel", str(test_id), "--wait", "-f", "json", check=False)


def test_stop_hands_the_run_to_another_worker(node: Node, conf: dict[str, Any]) -> None:
    test_id = node.trigger(conf, TEMPEST, LONG_TESTS)
    assert node.wait_state(test_id, ("running",))["worker"] == FIRST
    node.machine.sh(f"systemctl start {SECOND}")

    node.machine.sh(f"systemctl stop {FIRST}")

    assert shown(node, FIRST, "ActiveState", "Result") == ["inactive", "success"]
    ended = node.wait_state(test_id, ("finished", "failed", "cancelled"), 300)
    assert (ended["state"], ended["attempt"], ended["worker"]) == ("finished", 2, SECOND), ended
    assert (ended["counts"]["failed"], ended["counts"]["passed"] > 10) == (0, True), ended
    first, second = node.run(test_id)["attempts"]
    assert (first["worker"], second["worker"]) == (FIRST, SECOND)
    assert first["outcome"] == "released", first
    assert results(node, test_id) == [2]


def test_a_worker_that_stands_still_loses_its_run_to_another_once(node: Node, conf: dict[str, Any]) -> None:
    machine = node.machine
    test_id = node.trigger(conf, TEMPEST, SLOW_TESTS)
    assert node.wait_state(test_id, ("running",))["worker"] == FIRST
    machine.sh(f"systemctl start {SECOND}")
    pid, restarts = shown(node, FIRST, "MainPID", "NRestarts")

    machine.run("python3", "-c", f"import os, signal; os.kill({pid}, signal.SIGSTOP)")

    machine.wait("the second worker has it", lambda: workers(node, test_id) == [FIRST, SECOND], LIMIT + 30)
    assert "sent no heartbeat" in node.run(test_id)["attempts"][0]["note"], node.run(test_id)["attempts"]
    machine.wait("the watchdog restarts the first", lambda: shown(node, FIRST, "NRestarts")[0] > restarts, 180)
    machine.wait("it is at work again", lambda: shown(node, FIRST, "ActiveState")[0] == "active", 60)
    ended = node.wait_state(test_id, ("finished", "failed", "cancelled"), 600)
    assert (ended["state"], ended["attempt"], ended["worker"]) == ("finished", 2, SECOND), ended
    machine.wait("nothing of either attempt runs", lambda: not runs_at_work(node), 120)
    assert results(node, test_id) == [2], "a run has one result, also when two workers ran it"
    assert len(node.run(test_id)["attempts"]) == 2


@pytest.mark.parametrize("unit", ["refstack-queue-api", "refstack-queue-monitor"])
def test_a_service_of_the_queue_is_locked_down_and_started_anew_when_it_hangs(node: Node, unit: str) -> None:
    machine = node.machine
    said = machine.sh(f"systemd-analyze security --no-pager {unit} | tail -1", check=False)
    assert float(said.split(":")[1].split()[0]) <= 2.0, said
    assert shown(node, unit, "Type", "ActiveState") == ["notify", "active"]
    drop_in = f"/etc/systemd/system/{unit}.service.d/watchdog.conf"
    machine.write(drop_in, "[Service]\nWatchdogSec=8\nRestartSec=1\n")
    machine.sh(f"systemctl daemon-reload; systemctl restart {unit}")
    pid, restarts = shown(node, unit, "MainPID", "NRestarts")

    machine.run("python3", "-c", f"import os, signal; os.kill({pid}, signal.SIGSTOP)")

    machine.wait("the watchdog notices", lambda: shown(node, unit, "NRestarts")[0] > restarts, 180)
    machine.wait("it is ready again", lambda: shown(node, unit, "ActiveState") == ["active"], 60)
    assert shown(node, unit, "MainPID")[0] not in (pid, "0")
    machine.sh(f"rm {drop_in}; systemctl daemon-reload; systemctl restart {unit}")


def test_a_queue_that_is_well_is_left_alone(node: Node) -> None:
    """With a watchdog of seconds, the services stay the same while several limits pass and runs are asked for."""
    machine = node.machine
    units = ("refstack-queue-api", "refstack-queue-monitor")
    for unit in units:
        machine.write(f"/etc/systemd/system/{unit}.service.d/watchdog.conf", "[Service]\nWatchdogSec=4\n")
    machine.sh(f"systemctl daemon-reload; systemctl restart {' '.join(units)}")
    before = [shown(node, unit, "MainPID", "NRestarts") for unit in units]
    beats = {unit: {stamp(node, unit)} for unit in units}

    def several() -> bool:
        for unit in units:
            beats[unit].add(stamp(node, unit))
        return all(len(found) >= 8 for found in beats.values())

    machine.wait("they tell that they live", several, 60)
    assert [shown(node, unit, "MainPID", "NRestarts") for unit in units] == before
    for unit in units:
        machine.sh(f"rm /etc/systemd/system/{unit}.service.d/watchdog.conf")
    machine.sh(f"systemctl daemon-reload; systemctl restart {' '.join(units)}")


def stamp(node: Node, unit: str) -> str:
    """Return when systemd last heard that a service lives."""
    return shown(node, unit, "WatchdogTimestampMonotonic")[0]
