"""The main job from packages: a bare Debian, the project's repository, a run against a real Keystone and Swift."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clouds import TESTS, cloud_in
from tests.support.machines import Machine
from tests.support.mirror import Mirror
from tests.system.packages.conftest import FIRST, SECOND, pythons
from tests.system.packages.node import Node

OURS = (
    "refstack-worker.service",
    "refstack-run.socket",
    "refstack-queue-api.service",
    "refstack-queue-monitor.service",
)


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_from_bare_debian_to_a_finished_run(suite: str, repository: Path, tmp_path: Path) -> None:
    if suite == "trixie" and "py313" not in pythons():
        pytest.skip("no Python 3.13 on this machine to lock Tempest for Debian 13 with")
    with Mirror(repository) as mirror, Machine(suite) as machine:
        node = Node(machine, mirror, repository)
        node.add_source()
        said = node.install("refstack-worker", "refstack-queue", f"refstack-tempest-{FIRST}", "gearman-job-server")
        nothing_is_started(node)
        assert machine.read("usr/share/doc/python3-refstack-worker/worker.md").startswith("# The worker")
        assert "installed but not started, because it is not configured yet. Next steps:" in said
        assert "runuser -u refstack-queue -- refstack-queue keys generate /etc/refstack/keys" in said
        node.set_up_queue()
        node.set_up_worker()
        with cloud_in(machine, tmp_path) as conf:
            run = node.wait_state(node.trigger(conf, FIRST, TESTS), ("finished", "failed"), 240)
            assert (run["state"], run["counts"]) == ("finished", {"passed": 4, "failed": 0, "skipped": 0}), run
            two_versions_side_by_side(node, conf)
        assert mirror.refused == [], "a package index was asked for something"
        assert machine.run("refstack-worker", "status", "-f", "value", "-c", "runner").stdout.strip() == "systemd"


def nothing_is_started(node: Node) -> None:
    for unit in OURS:
        assert node.machine.run("systemctl", "is-active", unit, check=False).stdout.strip() == "inactive", unit
        enabled = node.machine.run("systemctl", "is-enabled", unit, check=False).stdout.strip()
        assert enabled == "disabled", f"{unit} is {enabled}"


def two_versions_side_by_side(node: Node, conf: dict[str, object]) -> None:
    node.install(f"refstack-tempest-{SECOND}")
    node.machine.wait(f"{SECOND} offered", lambda: SECOND in node.status()["versions"], 10)
    runs = [node.trigger(conf, version, TESTS[:1]) for version in (FIRST, SECOND)]
    for test_id, version in zip(runs, (FIRST, SECOND)):
        run = node.wait_state(test_id, ("finished", "failed"), 240)
        assert (run["state"], run["tempest_version"]) == ("finished", version), run


def test_apt_shows_what_a_version_is_good_for(bare: Node) -> None:
    shown = bare.machine.sh(f"apt-cache show refstack-tempest-{FIRST}; apt show refstack-tempest-{SECOND} 2>/dev/null")
    for text in (f"Refstack-Tempest: {FIRST}", "Refstack-Interpreters: cpython-3.11", "Refstack-Tests: 1575",
                 f"Refstack-Tempest: {SECOND}", "Refstack-Openstack-Releases: 202"):  # fmt: skip
        assert text in shown
    worker = bare.machine.sh("apt show refstack-worker 2>/dev/null")
    assert "Refstack-Drives-Tempest: 24.0.0 and newer" in worker
    assert "Depends: python3.11" in shown and "refstack-execute-test (>= 0.1.0~)" in shown


def test_the_script_stands_alone(bare: Node) -> None:
    bare.install("refstack-execute-test")
    names = bare.machine.sh("dpkg-query -W -f '${Package}\\n'").split()
    assert "python3-refstack-worker" not in names and "python3-requests" in names
    assert "usage: execute_test" in bare.machine.sh("execute_test --help")
