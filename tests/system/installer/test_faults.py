"""Faults at every step, on a booted machine: message, exit status, the node as before, and a re-run that completes."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.installer_nodes import INSTALLER, Node, Site, changed, steps

JOURNAL = "./var/lib/refstack-install/"


@dataclass(frozen=True)
class Fault:
    """How to make a step fail, how to repair it, and the message that the fault must give."""

    step: str
    break_it: Callable[[Node], Any]
    repair: Callable[[Node], Any]
    message: str
    exit_code: int = 5


def no_repository(node: Node) -> None:
    node.machine.sh("mv /etc/apt/apt.conf.d/00proxy /root/00proxy")


def a_repository_again(node: Node) -> None:
    node.machine.sh("mv /root/00proxy /etc/apt/apt.conf.d/00proxy")


def a_foreign_key(node: Node) -> None:
    """Another key in the file, trusted because no fingerprint is given: apt has to notice."""
    node.machine.sh("cp /usr/share/keyrings/debian-archive-keyring.gpg /root/foreign.gpg")
    node.answer(repository_key='"/root/foreign.gpg"', repository_fingerprint='""')


def a_wrong_fingerprint(node: Node) -> None:
    node.answer(repository_fingerprint=f'"{"0" * 40}"')


def answers_again(node: Node) -> None:
    node.answer()


def a_full_disk(node: Node) -> None:
    node.machine.sh("mount -t tmpfs -o size=3M tmpfs /var/cache/apt/archives; mkdir /var/cache/apt/archives/partial")


def a_disk_with_room(node: Node) -> None:
    node.machine.sh("umount /var/cache/apt/archives")


HOLD = """
import fcntl, os, time
file = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print(os.getpid(), flush=True)
time.sleep(3600)
"""


def a_held_lock(node: Node) -> None:
    """Hold dpkg's lock as another apt would."""
    holder = node.machine.start("python3", "-c", HOLD, stdout=subprocess.PIPE)
    node.machine.write("/root/holder", holder.stdout.readline())
    node.answer(packages_lock_timeout="1")


def a_free_lock(node: Node) -> None:
    kill(node, int(node.machine.read("/root/holder")), signal.SIGKILL)
    node.answer()


def a_broken_configuration(node: Node) -> None:
    node.machine.sh("mkdir -p /etc/refstack-worker/conf.d/50-refstack-install.toml/in-the-way")


def no_broken_configuration(node: Node) -> None:
    node.machine.sh("rm -r /etc/refstack-worker/conf.d/50-refstack-install.toml")


def a_version_that_does_not_exist(node: Node) -> None:
    node.answer(tempest_versions='["1.2.3"]')


def a_store_that_cannot_be_written(node: Node) -> None:
    # what the package's arrival set going is ended first: it would lose its store in its middle
    node.machine.sh(
        "systemctl stop refstack-env-warm; mkdir -p /var/cache/refstack-worker\n"
        "mount -t tmpfs -o size=4M tmpfs /var/cache/refstack-worker"
    )


def a_store_with_room(node: Node) -> None:
    # the worker was started meanwhile: it sees the small file system until it restarts
    node.machine.sh("umount -l /var/cache/refstack-worker; systemctl restart refstack-worker")


DROP_IN = "/etc/systemd/system/refstack-worker.service.d/broken.conf"


def a_worker_that_does_not_start(node: Node) -> None:
    node.machine.write(DROP_IN, "[Service]\nExecStart=\nExecStart=/bin/false\nRestart=no\n")


def a_worker_that_starts(node: Node) -> None:
    node.machine.sh(f"rm -r {DROP_IN.rpartition('/')[0]}; systemctl daemon-reload")


def no_gearmand(node: Node) -> None:
    node.stop_gearmand()


def gearmand_again(node: Node) -> None:
    node.start_gearmand()


FAULTS = {
    "gearmand refused": Fault("preflight", no_gearmand, gearmand_again, "does not answer", 4),
    "wrong fingerprint": Fault("repository", a_wrong_fingerprint, answers_again, "not 0000000", 3),
    "repository unreachable": Fault("repository", no_repository, a_repository_again, "cannot be reached"),
    "wrong key": Fault("repository", a_foreign_key, answers_again, "not signed with the expected key"),
    "disk full": Fault("packages", a_full_disk, a_disk_with_room, "free space"),
    "apt lock held": Fault("packages", a_held_lock, a_free_lock, "another package manager is running"),
    "configuration in the way": Fault(
        "configuration", a_broken_configuration, no_broken_configuration, "50-refstack-install.toml"
    ),
    "no such version": Fault(
        "tempest", a_version_that_does_not_exist, answers_again, "the repository does not have refstack-tempest-1.2.3"
    ),
    "worker does not start": Fault("unit", a_worker_that_does_not_start, a_worker_that_starts, "does not start"),
    "no room for the store": Fault(
        "warm", a_store_that_cannot_be_written, a_store_with_room, "cannot fill the environment store"
    ),
}
"""In the order of the steps: one machine goes through all of them."""


@pytest.fixture(scope="module")
def node(site: Site) -> Iterator[Node]:
    with Node(site) as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_reported_and_undone(node: Node, fault: Fault) -> None:
    """Each fault meets the node as far as the earlier ones let it come; the step it hits is undone."""
    fault.break_it(node)
    try:
        before = node.picture()
        code, report = node.install("apply")
        after = node.picture()
    finally:
        fault.repair(node)
    assert code == fault.exit_code, report
    assert report["error"]["step"] == fault.step
    assert fault.message in report["error"]["message"], report["error"]["message"]
    done = [name for name, state in steps(report).items() if state == "changed"]
    if not done:
        assert [name for name in changed(before, after) if not name.startswith(JOURNAL)] == []


def test_after_all_the_faults_a_rerun_completes(node: Node) -> None:
    code, report = node.install("apply")
    assert code == 0, report["error"]
    assert node.install("plan")[0] == 0
    code, report = node.install("verify")
    assert code == 0, report["error"]


@pytest.mark.parametrize(
    ("when", "signum"),
    [
        ("/var/lib/apt/lists/partial", signal.SIGKILL),
        ("/usr/share/doc/python3-cliff", signal.SIGKILL),
        ("/usr/share/refstack-tempest", signal.SIGKILL),
        ("/var/cache/refstack-worker/store", signal.SIGKILL),
        ("/usr/share/doc/python3-cliff", signal.SIGTERM),
    ],
)
def test_killed_halfway(site: Site, when: str, signum: signal.Signals) -> None:
    """The installer is killed in the middle of a step; the next apply makes a complete node."""
    with Node(site) as node:
        before = node.picture()
        process = node.machine.start(
            "python3", INSTALLER, "apply", "--json", "--answers", "/root/answers.toml", stdout=-1
        )
        node.machine.wait(f"{when} is there", lambda: node.machine.exists(when), 120)
        _signal_installer(node, signum)
        out, _ = process.communicate(timeout=120)
        if signum == signal.SIGTERM:
            assert b'"exit_code": 130' in out
        code, report = node.install("apply")
        assert code == 0, report["error"]
        assert node.install("plan")[0] == 0
        code, report = node.install("remove")
        assert code == 0, report["error"]
        assert changed(before, node.picture()) == []


def _signal_installer(node: Node, signum: signal.Signals) -> None:
    """Signal the installer alone, not the package manager that it started."""
    wanted = f"python3 {INSTALLER} apply"
    script = "for p in /proc/[0-9]*; do echo ${p#/proc/} $(tr '\\0' ' ' < $p/cmdline 2>/dev/null); done"
    found = [line.split()[0] for line in node.machine.sh(script).splitlines() if f" {wanted}" in line]
    assert found
    for pid in found:
        kill(node, int(pid), signum)


def kill(node: Node, pid: int, signum: signal.Signals) -> None:
    """Signal a process of the machine, by its id there."""
    node.machine.run("python3", "-c", f"import os; os.kill({pid}, {int(signum)})", check=False)
