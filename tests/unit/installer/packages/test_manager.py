"""What the package managers have in common: waiting for the lock, and explaining failures."""

from __future__ import annotations

import pytest
from refstack_install.errors import StepError
from refstack_install.packages import manager
from refstack_install.packages.apt import Apt
from refstack_install.packages.manager import explained, same_version
from refstack_install.system import Completed

from tests.support.node_machine import NodeMachine

LOCKED = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 42 (apt)"


@pytest.mark.parametrize(
    ("installed", "requested", "same"),
    [
        ("1.2.3-1", "1.2.3-1", True),
        ("1.2.3-1", "1.2.3", True),
        ("1:1.2.3-1", "1.2.3", True),
        ("1:1.2.3-1", "1.2.3-1", True),
        ("1.2.3~dev5-1", "1.2.3", False),
        ("1.2.30-1", "1.2.3", False),
        ("", "1.2.3", False),
    ],
)
def test_a_requested_version_may_omit_epoch_and_revision(installed: str, requested: str, same: bool) -> None:
    assert same_version(installed, requested) is same


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (LOCKED, "another package manager is running"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "free space"),
        ("W: GPG error: x InRelease: EXPKEYSIG 0123456789ABCDEF", "not signed with the expected key"),
        ("E: Unable to locate package x", "does not have this package"),
        ("Error: Failed to download metadata for repo 'refstack': Cannot download repomd.xml", "cannot be reached"),
        ("E: something else", "check its output above"),
    ],
)
def test_failures_say_what_to_do(error: str, todo: str) -> None:
    failure = explained("installing x", Completed(("apt-get",), 100, "", error))
    assert failure.what == "installing x failed (apt-get: status 100)"
    assert error in failure.why
    assert todo in failure.todo


def test_the_lock_is_waited_for(machine: NodeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "LOCK_POLL_SECONDS", 0.0)
    outcomes = iter([machine.failed(LOCKED, 100), machine.failed(LOCKED, 100), machine.succeeded("done")])
    apt = Apt(machine.context().system, 60)
    monkeypatch.setattr(type(apt.system), "package_manager", lambda self, argv, **extra: next(outcomes))
    assert apt.work(["apt-get", "install", "x"], "installing x").out == "done"


def test_the_wait_for_the_lock_ends(machine: NodeMachine) -> None:
    machine.faults = {"apt-get": machine.failed(LOCKED, 100)}
    with pytest.raises(StepError, match="raise packages.lock_timeout"):
        Apt(machine.context().system, 0).work(["apt-get", "install", "x"], "installing x")
