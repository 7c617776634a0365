"""The Ansible role with a real ansible-playbook against a booted machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.builder.repository.publish import Publisher
from refstack_worker.builder.repository.repository import Repository
from tests.support.machines import cache
from tests.system.installer.nodes import NEXT, TOP, Node, Site, changed, installer, next_packages

ANSIBLE = "ansible-core>=2.15,<2.22"
SSH = """#!{python}
# Stands in for ssh: what Ansible would run over the network runs on the machine, through its process 1.
import os, sys
words = sys.argv[1:]
at = words.index("node-1")
command = " ".join(words[at + 1:])
leader = open("{folder}/leader").read().strip()
os.execvp("nsenter", ["nsenter", "-t", leader, "-m", "-u", "-i", "-p", "-n", "-C", "-r", "-w", "--", "env", "-i",
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "sh", "-c", command])
"""


@pytest.fixture(scope="module")
def ansible() -> Path:
    """ansible-playbook in a virtualenv of its own, kept in the cache."""
    folder = cache() / "ansible"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", ANSIBLE], check=True)
        (folder / "complete").touch()
    return folder / "bin"


class Playbook:
    """The playbooks of ``installer/ansible`` on one node."""

    def __init__(self, folder: Path, ansible: Path, node: Node) -> None:
        self.folder, self._ansible, self._node = folder, ansible, node
        (folder / "leader").write_text(str(node.machine._leader))
        ssh = folder / "ssh"
        ssh.write_text(SSH.format(python=sys.executable, folder=folder))
        ssh.chmod(0o755)
        (folder / "refstack-install").write_bytes(installer())

    def run(self, *words: str, **answers: dict[str, Any]) -> dict[str, int]:
        """Play ``site.yml`` and return the counts of the recap."""
        node, site = self._node, self._node.site
        base = {
            "repository": {"url": "http://packages.refstack.test", "key": "/root/archive.asc",
                           "fingerprint": site.fingerprint},
            "tempest": {"versions": ["47.0.0"]}, "gearman": {"servers": [node.gearman]},
            "server": {"urls": [node.url]}, "node": {"name": "node-1"}, **answers,
        }  # fmt: skip
        variables = {
            "refstack_base_answers": base, "refstack_answers": base,
            "refstack_installer": str(self.folder / "refstack-install"),
            "refstack_fleet_key": (site.folder / "seal.key").read_text(),
            "refstack_server_keys": (site.folder / "sign.pub").read_text(),
            "ansible_ssh_executable": str(self.folder / "ssh"), "ansible_python_interpreter": "/usr/bin/python3",
        }  # fmt: skip
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"refstack_nodes": {"hosts": {"node-1": {}}, "vars": variables}}))
        inventory.rename(self.folder / "inventory.yml")
        playbook = next((word for word in words if word.endswith(".yml")), "site.yml")
        options = [word for word in words if not word.endswith(".yml")]
        environment = {
            **os.environ, "ANSIBLE_SSH_TRANSFER_METHOD": "piped", "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(self.folder / "home"), "ANSIBLE_BECOME": "false", "ANSIBLE_LOCALHOST_WARNING": "false",
        }  # fmt: skip
        argv = [self._ansible / "ansible-playbook", "-i", self.folder / "inventory.yml", *options]
        argv += [TOP / "installer" / "ansible" / playbook]
        argv += ["-e", "ansible_become=false"]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, cwd=self.folder)
        self.said = done.stdout + done.stderr
        recap = re.search(r"^node-1\s*: (.*)$", done.stdout, re.M)
        assert recap, self.said
        return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", recap.group(1))}


@pytest.fixture
def node(site: Site) -> Iterator[Node]:
    with Node(site) as made:
        yield made


def test_the_role(tmp_path: Path, ansible: Path, node: Node) -> None:
    before = node.picture()
    play = Playbook(tmp_path, ansible, node)

    told = play.run("--check", "--diff")
    assert told["failed"] == 0, play.said
    assert told["changed"] == 1
    assert "+++ after: refstack-worker" in play.said
    assert changed(before, node.picture()) == [], "check mode changes nothing"
    assert not node.machine.exists("/var/lib/refstack-install")

    told = play.run()
    assert told["failed"] == 0, play.said
    assert told["changed"] == 1

    told = play.run()
    assert told["failed"] == 0, play.said
    assert told["changed"] == 0

    told = play.run("--check", "--diff", node={"name": "node-1", "tags": ["eu"]})
    assert told["changed"] == 1
    assert '+tags = ["eu"]' in play.said
    assert (node.site.folder / "seal.key").read_text().split()[1] not in play.said

    told = play.run("-e", "refstack_state=verified", "-e", "refstack_drain=true")
    assert told["failed"] == 0, play.said
    assert told["changed"] == 0

    told = play.run("-e", "refstack_state=absent")
    assert told["failed"] == 0, play.said
    assert told["changed"] == 1
    assert changed(before, node.picture()) == []
    assert play.run("-e", "refstack_state=absent")["changed"] == 0


@pytest.fixture
def own_site(site: Site, tmp_path: Path) -> Site:
    """A site whose repository a test may change."""
    shutil.copytree(site.folder, tmp_path / "site", ignore=shutil.ignore_patterns("gnupg"))
    return Site(tmp_path / "site", site.fingerprint)


def test_an_upgrade_drains_first_changes_and_proves_itself(own_site: Site, tmp_path: Path, ansible: Path) -> None:
    with Node(own_site) as node:
        play = Playbook(tmp_path, ansible, node)
        assert play.run()["failed"] == 0, play.said
        old = version(node)
        assert old != NEXT
        Publisher(Repository(own_site.repository), key=own_site.fingerprint).publish(next_packages())

        told = play.run("upgrade.yml", "-e", f"refstack_version={NEXT}", "--check")
        assert (told["failed"], told["changed"], version(node)) == (0, 1, old), play.said

        told = play.run("upgrade.yml", "-e", "refstack_version=9.9.9")
        assert told["failed"] == 1 and "the repository does not have this package" in play.said, play.said
        assert version(node) == old, "a node that could not be upgraded takes runs again"

        told = play.run("upgrade.yml", "-e", f"refstack_version={NEXT}")
        assert told["failed"] == 0, play.said
        assert told["changed"] == 2, "drained and changed; the proof changes nothing"
        tasks = re.findall(r"^TASK \[refstack_node : (.*?)\]", play.said, re.M)
        assert tasks.index("Let the runs of this node end") < tasks.index("Make this machine a node"), tasks
        assert tasks[-1] == "Prove it with a self-test run"
        assert version(node) == NEXT
        said = node.machine.journal("refstack-worker").splitlines()
        lives = [line.split(":")[0] for line in said if line.startswith(("ready", "ended"))]
        assert lives == ["ready", "ended", "ready", "ended", "ready"]
        assert node.install("plan", "--set", f"packages.version={NEXT}")[0] == 0

        told = play.run("upgrade.yml", "-e", f"refstack_version={NEXT}")
        assert (told["failed"], told["changed"]) == (0, 0), play.said


def version(node: Node) -> str:
    """Return the software that the running worker is."""
    return str(json.loads(node.machine.run("refstack-worker", "status", "-f", "json").stdout)["software"])
