"""A node in service: upgrades, versions that come and go, removal, purge, downgrade, preseeding."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker import process
from tests.support.clouds import SLOW_TESTS, TESTS, cloud_in
from tests.support.machines import Machine
from tests.support.mirror import Mirror
from tests.system.packages.conftest import FIRST, NEXT, SECOND, Built, pythons
from tests.system.packages.node import Node

SUITES = ("bookworm", "trixie") if os.environ.get("REFSTACK_TEST_FULL") and "py313" in pythons() else ("bookworm",)


@pytest.fixture(params=SUITES)
def node(request: pytest.FixtureRequest, repository: Path, tmp_path: Path) -> Iterator[Node]:
    """A node at work: queue and worker set up, Tempest's first version installed; its repository is its own."""
    own = Path(shutil.copytree(repository, tmp_path / "node-repository"))
    with Mirror(own) as mirror, Machine(request.param) as machine:
        made = Node(machine, mirror, own)
        made.add_source()
        made.install("refstack-worker", "refstack-queue", f"refstack-tempest-{FIRST}", "gearman-job-server")
        made.set_up_queue()
        made.set_up_worker()
        machine.wait("the worker", lambda: FIRST in made.status()["versions"], 30)
        yield made


def test_upgrade_lets_a_running_job_finish(node: Node, built: Built, publish, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = node.status()
    with cloud_in(node.machine, tmp_path) as conf:
        running = node.trigger(conf, FIRST, SLOW_TESTS)
        waiting = node.trigger(conf, FIRST, TESTS[:1])
        node.wait_state(running, ("running",))
        publish(node.repository, built.debs("next"))
        said = node.machine.sh("apt-get update && apt-get -y dist-upgrade")
        assert f"Setting up refstack-worker ({NEXT}-1)" in said
        assert node.run(running)["state"] in ("running", "posting"), (
            "it ended before the upgrade: the test proves nothing"
        )
        now = node.status()
        assert (now["pid"], now["software"]) == (before["pid"], before["software"]), "the old process was ended"
        first = node.wait_state(running, ("finished", "failed", "cancelled"), 600)
        assert (first["state"], first["attempt"], first["counts"]["failed"]) == ("finished", 1, 0), first
        second = node.wait_state(waiting, ("finished", "failed"), 240)
        assert (second["state"], second["attempt"]) == ("finished", 1), second
    after = node.status()
    assert (after["pid"] != before["pid"], after["software"]) == (True, NEXT)
    assert node.machine.run("systemctl", "show", "-P", "NRestarts", "refstack-worker").stdout.strip() == "1"


def test_upgrade_restarts_an_idle_daemon_at_once_and_downgrade_works(node: Node, built: Built, publish) -> None:  # type: ignore[no-untyped-def]
    old = node.status()["software"]
    unit = "/usr/lib/systemd/system/refstack-queue-api.service"  # as if the next version had another unit
    node.machine.sh(f"sed -i s/^WatchdogSec=.*/WatchdogSec=77/ {unit}; systemctl daemon-reload")
    node.machine.sh("systemctl restart refstack-queue-api")
    assert watchdog_of(node) == "WATCHDOG_USEC=77000000"
    version = node.machine.sh("dpkg-query -W -f '${Version}' refstack-worker")
    publish(node.repository, built.debs("next"))
    node.machine.sh("apt-get update && apt-get -y dist-upgrade")
    node.machine.wait("the new software", lambda: software_of(node) == NEXT, 15)
    assert watchdog_of(node) == "WATCHDOG_USEC=120000000", "the API was started again by its old unit"
    names = "refstack-worker python3-refstack-worker refstack-execute-test refstack-queue"
    node.machine.sh(f"apt-get -y --allow-downgrades install {' '.join(f'{n}={version}' for n in names.split())}")
    node.machine.wait("the old software", lambda: software_of(node) == old, 15)


def watchdog_of(node: Node) -> str:
    pid = node.machine.run("systemctl", "show", "-P", "MainPID", "refstack-queue-api").stdout.strip()
    return node.machine.sh(f"tr '\\0' '\\n' < /proc/{pid}/environ | grep WATCHDOG_USEC").strip()


def software_of(node: Node) -> str:
    done = node.machine.run("refstack-worker", "status", "-f", "json", check=False)
    return str(json.loads(done.stdout)["software"]) if done.returncode == 0 else ""


def test_a_version_comes_and_goes_without_a_restart(node: Node) -> None:
    function = f"refstack:tempest:{SECOND}"
    pid = node.status()["pid"]
    node.install(f"refstack-tempest-{SECOND}")
    node.machine.wait("the function at gearmand", lambda: function in gearman_status(node), 10)
    assert SECOND in [row["Version"] for row in versions(node)]
    node.machine.wait("both are warm", lambda: all(row["Warm"] for row in versions(node)), 120)
    assert node.status()["pid"] == pid
    entries = store_entries(node)
    node.machine.sh(f"apt-get -y purge refstack-tempest-{SECOND}")
    node.machine.wait("the function gone", lambda: SECOND not in node.status()["versions"], 10)
    node.machine.wait("its entries gone from the store", lambda: len(store_entries(node)) < len(entries), 60)
    assert FIRST in node.status()["versions"] and node.status()["pid"] == pid


def versions(node: Node) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(node.machine.run("refstack-worker", "versions", "-f", "json").stdout)
    return found


def store_entries(node: Node) -> list[str]:
    return json_lines(node.machine.run("refstack-worker", "env", "list", "--entries", "-f", "json").stdout)


def json_lines(text: str) -> list[str]:
    return [item["Entry"] for item in json.loads(text)]


def gearman_status(node: Node) -> str:
    """Ask gearmand itself."""
    ask = (
        "import socket; s = socket.create_connection(('127.0.0.1', 4730)); s.sendall(b'status\\n'); f = s.makefile(); "
    )
    ask += "print(''.join(iter(f.readline, '.\\n')))"
    return node.machine.run("python3", "-c", ask).stdout


def test_removal_hands_the_job_back_and_purge_leaves_nothing(node: Node, tmp_path: Path) -> None:
    machine = node.machine
    with cloud_in(machine, tmp_path) as conf:
        test_id = node.trigger(conf, FIRST, SLOW_TESTS)
        node.wait_state(test_id, ("running",))
        machine.sh("apt-get -y remove refstack-worker")
        assert node.wait_state(test_id, ("queued",), 30)["attempt"] == 2, "the next attempt waits for another node"
    assert machine.exists("/etc/refstack-worker/conf.d/site.toml") and machine.exists("/etc/refstack-worker/fleet.key")
    machine.sh(
        "mkdir -p /var/lib/refstack-worker/spool/7-1.result && touch /var/lib/refstack-worker/spool/7-1.result/x"
    )
    said = machine.sh("apt-get -y purge refstack-worker")
    assert "never delivered" in said and "7-1.result" in said
    left = machine.sh(
        "find / -xdev -path /proc -prune -o -name '*refstack-worker*' -print; getent passwd refstack-worker || true"
    )
    ours = [line for line in left.splitlines() if "python3" not in line and "/var/lib/dpkg" not in line]
    assert [line for line in ours if not line.startswith(("/var/cache/apt", "/var/log", "/proc", "/sys"))] == []


def test_preseeded_settings_go_into_a_file_of_their_own(bare: Node) -> None:
    machine = bare.machine
    machine.sh("apt-get -y install debconf-utils >/dev/null")
    answers = {
        "gearman-servers": "string q1.example:4730 q2.example",
        "server-urls": "string https://refstack.example.org",
        "slots": "string 3",
        "tags": 'string eu $(touch${IFS}/tmp/x) "quoted"',
    }
    lines = "".join(f"refstack-worker refstack-worker/{name} {value}\n" for name, value in answers.items())
    machine.write("root/preseed", lines)
    machine.sh("debconf-set-selections < /root/preseed")
    said = bare.install("refstack-worker")
    made = machine.read("/etc/refstack-worker/conf.d/50-debconf.toml")
    assert 'servers = ["q1.example:4730", "q2.example"]' in made and "slots = 3" in made and 'tags = ["eu"]' in made
    assert "is left out" in said and not machine.exists("/tmp/x")
    assert machine.sh("dpkg --verify refstack-worker").strip() == "", "a conffile was changed"
    machine.sh("echo 'refstack-worker refstack-worker/slots string 5' | debconf-set-selections")
    machine.sh("sed -i 's/slots = 3/slots = 4/' /etc/refstack-worker/conf.d/50-debconf.toml")
    machine.sh("dpkg-reconfigure -f noninteractive refstack-worker")
    assert "slots = 4" in machine.read("/etc/refstack-worker/conf.d/50-debconf.toml"), "what stands in the file wins"


def test_a_conffile_that_was_edited_survives_an_upgrade(bare: Node, built: Built, publish, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bare.install("refstack-worker")
    bare.machine.sh("echo '# mine' >> /etc/refstack-worker/worker.toml")
    own = Path(shutil.copytree(bare.repository, tmp_path / "own"))
    publish(own, built.debs("next"))
    bare.mirror.sites = {host: own for host in bare.mirror.sites}
    bare.machine.sh("apt-get update && apt-get -y -o Dpkg::Options::=--force-confdef dist-upgrade")
    assert bare.machine.read("/etc/refstack-worker/worker.toml").endswith("# mine\n")
    assert NEXT in bare.machine.sh("dpkg-query -W refstack-worker")


def test_a_stopped_or_drained_worker_stays_down(node: Node) -> None:
    unit = "refstack-worker"
    node.machine.run("refstack-worker", "drain")
    state = node.machine.wait(
        "its end", lambda: unit_state(node, unit) in ("inactive", "failed") and unit_state(node, unit), 60
    )
    assert state == "inactive"
    with pytest.raises(process.ProcessError):
        node.machine.run("refstack-worker", "status")


def unit_state(node: Node, unit: str) -> str:
    return node.machine.run("systemctl", "is-active", unit, check=False).stdout.strip()
