"""From a bare, booted Debian to a node that gearmand knows, and back."""

from __future__ import annotations

import pytest

from tests.support import installer_nodes as nodes
from tests.support.installer_nodes import NODE, TEMPEST, Node, Site, changed, steps


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_bare_machine_becomes_a_node_and_is_bare_again(site: Site, suite: str) -> None:
    if suite != "bookworm" and not nodes.python_of(suite):
        pytest.skip(f"a Tempest package for {suite} needs its Python {nodes.PYTHONS[suite]} here to be locked with")
    with Node(site, suite) as node:
        before = node.picture()
        code, report = node.install("plan")
        assert code == 2, report["error"]
        assert changed(before, node.picture()) == [], "plan changes nothing"

        code, report = node.install("apply")
        assert code == 0, report["error"]
        assert report["changed"] is True
        assert steps(report)["registered"] in ("changed", "unchanged")

        code, report = node.install("verify")
        assert code == 0, report["error"]
        assert steps(report)["selftest"] == "verified"

        code, report = node.install("plan")
        assert (code, report["pending"]) == (0, False), report
        code, report = node.install("apply")
        assert (code, report["changed"]) == (0, False), report

        code, report = node.install("remove")
        assert code == 0, report["error"]
        assert changed(before, node.picture()) == []
        assert not node.machine.exists("/var/lib/systemd/timers/stamp-refstack-store-gc.timer")
        assert list((node.machine.path / "var/cache/apt/archives").glob("*.deb")) == []


def test_new_settings_and_the_status_of_a_node(site: Site) -> None:
    with Node(site) as node:
        assert node.install("apply")[0] == 0
        status = node.machine.run("refstack-worker", "status", "-f", "json").stdout
        assert f'"{NODE}"' in status and TEMPEST in status
        node.answer(node_tags='["eu"]')
        code, report = node.install("apply")
        assert code == 0, report["error"]
        assert (steps(report)["configuration"], steps(report)["unit"]) == ("changed", "changed")
        node.machine.wait(
            "the worker has the tag",
            lambda: '"eu"' in node.machine.run("refstack-worker", "status", "-f", "json", check=False).stdout,
            30,
        )
        assert node.install("plan")[0] == 0
