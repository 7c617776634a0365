"""Two nodes from packages, with different Tempest plugins: each run goes to a node that has what it needs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clouds import TESTS, cloud_in
from tests.support.machines import Machine
from tests.support.tempests import locked, package
from tests.system.packages.conftest import FIRST, booted
from tests.system.packages.node import Node

KEYSTONE = "keystone-tempest-plugin==0.22.0"
BARBICAN = "barbican-tempest-plugin==4.6.0"
DESIGNATE = "designate-tempest-plugin==0.30.0"
HEAT = "heat-tempest-plugin==3.0.0"
"""No node has this one."""

PLAIN = f"refstack-tempest-{FIRST}"
KEYSTONE_TESTS = ["keystone_tempest_plugin.tests.api.identity.v3.test_service_providers"]
"""They need nothing but a Keystone."""
DNS_TEST = "designate_tempest_plugin.tests.api.v2.test_zones.ZonesTest.test_create_zones"
"""Skipped, because the cloud has no DNS; without the plugin there is no such test."""

ENDED = ("finished", "failed", "cancelled")
QUEUE_PORTS = (8000, 4730)
FORWARDER = "/lib/systemd/systemd-socket-proxyd"

pytestmark = pytest.mark.skipif(not os.environ.get("REFSTACK_TEST_FULL"), reason="tests/run full runs it")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Packages of two sets of plugins for one Tempest version."""
    out = tmp_path_factory.mktemp("plugins")
    for plugins in ((KEYSTONE,), (BARBICAN, DESIGNATE)):
        [folder] = locked(FIRST, plugins=plugins).iterdir()
        done = package("build-package", folder, "--format", "deb", "--out", out)
        assert done.returncode == 0, done.stderr
    return sorted(out.glob("*.deb"))


@pytest.fixture
def nodes(repository: Path, packages: list[Path], publish, tmp_path: Path) -> Iterator[tuple[Node, Node]]:  # type: ignore[no-untyped-def]
    """Two machines: one for the queue, the plain version and a plugin; one with two other plugins alone."""
    own = publish(Path(shutil.copytree(repository, tmp_path / "own")), packages)
    with booted(own, "bookworm") as first, booted(own, "bookworm") as second:
        first.machine.connect(second.machine)
        first.install("refstack-worker", "refstack-queue", PLAIN, f"{PLAIN}-keystone", "gearman-job-server")
        second.install("refstack-worker", f"{PLAIN}-barbican-designate")
        first.set_up_queue()
        share_keys(first, second)
        yield first, second


def test_each_run_goes_to_a_node_that_has_its_plugins(nodes: tuple[Node, Node], tmp_path: Path) -> None:
    first, second = nodes
    with cloud_in(first.machine, tmp_path) as conf:
        forward(second.machine, first.machine, (*QUEUE_PORTS, *ports_of_cloud(tmp_path)))
        start(second, [f"{FIRST} with barbican-tempest-plugin 4.6.0, designate-tempest-plugin 0.30.0"])
        one_of_its_plugins_is_enough(first, second, conf)
        plain = first.trigger(conf, FIRST, TESTS[:1])
        keystone = first.trigger(conf, FIRST, KEYSTONE_TESTS, (KEYSTONE,))
        heat = first.trigger(conf, FIRST, TESTS[:1], (HEAT,))
        of_both = first.trigger(conf, FIRST, TESTS[:1], (KEYSTONE, DESIGNATE))
        waits(first, plain, FIRST)
        waits(first, keystone, f"{FIRST} with keystone-tempest-plugin 0.22.0")
        start(first, [FIRST, f"{FIRST} with keystone-tempest-plugin 0.22.0"])
        ends_on(first, first, plain)
        counts = ends_on(first, first, keystone)
        assert counts["passed"] > 5 and counts["failed"] == 0, counts
        assert sum(second.status()["ended"].values()) == 1, "it took the run for its plugin, and no other"
        what = f"{FIRST} with designate-tempest-plugin 0.30.0, keystone-tempest-plugin 0.22.0"
        waits(first, of_both, what)
        waits(first, heat, f"{FIRST} with heat-tempest-plugin 3.0.0")
        what_is_missing_is_known_before(first, conf)
        for test_id in (heat, of_both):
            first.queue("run", "cancel", str(test_id), "-f", "json")
            assert first.run(test_id)["state"] == "cancelled"


def one_of_its_plugins_is_enough(queue: Node, node: Node, conf: dict[str, Any]) -> None:
    counts = ends_on(queue, node, queue.trigger(conf, FIRST, [TESTS[0], DNS_TEST], (DESIGNATE,)))
    assert counts == {"passed": 1, "failed": 0, "skipped": 1}


def what_is_missing_is_known_before(queue: Node, conf: dict[str, Any]) -> None:
    found = queue.create(conf, FIRST, TESTS[:1], (HEAT,), "--check")
    [warning] = found["warnings"]
    assert warning.startswith(f"No available node runs Tempest {FIRST} with heat-tempest-plugin 3.0.0."), warning
    assert f"{FIRST},keystone-tempest-plugin=0.22.0" in warning, "it names what there is"
    assert queue.create(conf, FIRST, TESTS[:1], (BARBICAN,), "--check")["warnings"] == []


def ends_on(queue: Node, node: Node, test_id: int) -> dict[str, int]:
    """Return the counts of a run, which has to end well, at once, and on this node."""
    run = queue.wait_state(test_id, ENDED, 300)
    assert (run["state"], run["worker"], run["attempt"]) == ("finished", node.machine.name, 1), run
    return dict(run["counts"])


def waits(queue: Node, test_id: int, what: str) -> None:
    """The run says what no node has, and waits."""
    said = f"waiting: no node serves {what}"
    queue.machine.wait(said, lambda: said in [one["message"] for one in queue.run(test_id)["messages"]], 60)
    run = queue.run(test_id)
    assert (run["state"], run["worker"]) == ("queued", ""), run


def start(node: Node, versions: list[str]) -> None:
    """Start a worker and wait until it serves exactly these; its lists name what is installed and nothing else."""
    node.set_up_worker()
    node.machine.wait(f"{versions} offered", lambda: sorted(node.status()["versions"]) == versions, 60)
    listed = json.loads(node.machine.run("refstack-worker", "versions", "-f", "json").stdout)
    assert [one["Problem"] for one in listed] == [""] * len(versions), listed
    installed = node.machine.sh(f"dpkg-query -W -f '${{Package}}\\n' '{PLAIN}*'").split()
    assert sorted(f"refstack-tempest-{one['Name']}" for one in listed) == sorted(installed)


def share_keys(queue: Node, node: Node) -> None:
    """Put the fleet's keys where a node is set up from."""
    for name in ("fleet.key", "sign.pub"):
        path = f"etc/refstack/keys/{name}"
        node.machine.write(path, queue.machine.read(path), 0o600)


def ports_of_cloud(folder: Path) -> list[int]:
    cloud = json.loads((folder / "cloud" / "cloud.json").read_text())
    return [cloud[service]["port"] for service in ("keystone", "swift")]


def forward(near: Machine, far: Machine, ports: tuple[int, ...]) -> None:
    """Let one machine find on its loopback what the other one has there: a tunnel as in docs/tls.md, without TLS."""
    for port in ports:
        ends = ((far, far.address, "127.0.0.1"), (near, "127.0.0.1", far.address))
        for machine, listen, to in ends:
            listening = f"--socket-property=ListenStream={listen}:{port}"
            machine.run("systemd-run", f"--unit=forward-{port}", listening, FORWARDER, f"{to}:{port}")
