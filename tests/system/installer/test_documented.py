"""The commands of ``docs/installer.md`` work as they stand there, on bare booted Debian 12 and 13."""

from __future__ import annotations

import os

import pytest

from tests.support import installer_nodes as nodes
from tests.support.documented import script
from tests.support.installer_nodes import ANSWERS, INSTALLER, Node, Site

pytestmark = pytest.mark.skipif(not os.environ.get("REFSTACK_TEST_FULL"), reason="tests/run full runs it")


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_commands_of_the_page(site: Site, suite: str) -> None:
    if suite != "bookworm" and not nodes.python_of(suite):
        pytest.skip(f"a Tempest package for {suite} needs its Python {nodes.PYTHONS[suite]} here to be locked with")
    made, *commands = script("installer.md", "installer").splitlines()
    assert made.startswith("tools/onefile refstack-install "), "what a node of the tests is given was made with it"
    with Node(site, suite) as node:
        node.machine.sh(f"cp {INSTALLER} /usr/local/bin/refstack-install; cp {ANSWERS} /root/node.toml")
        done = [node.machine.run("sh", "-c", f"cd /root; {command}", check=False) for command in commands]
        assert [command.split()[1] for command in commands] == ["plan", "apply", "verify", "remove"]
        # plan tells by its status that changes are pending
        assert [one.returncode for one in done] == [2, 0, 0, 0], [one.stderr for one in done]
