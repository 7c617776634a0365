"""The Ansible collection with a real ansible-playbook against a booted machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.builder.repository.publish import Publisher
from refstack_worker.builder.repository.repository import Repository
from tests.support.installer_nodes import NEXT, TOP, Node, Site, changed, installer, next_packages
from tests.support.machines import cache

ANSIBLE = ("ansible-core>=2.15,<2.22", "ansible-lint>=25")
SETTINGS = "/etc/refstack-worker/conf.d/50-refstack-install.toml"
APPLY = "Make this machine a node, or remove everything"
SSH = """#!{python}
# Stands in for ssh: runs commands on the machine through its process 1 instead of the network.
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
    """Ansible's programs in a virtualenv of their own, kept in the cache."""
    folder = cache() / "ansible-lint"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *ANSIBLE], check=True)
        (folder / "complete").touch()
    return folder / "bin"


@pytest.fixture(scope="module")
def collections(ansible: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection, built with the installer in it as for Galaxy, and installed."""
    folder = tmp_path_factory.mktemp("collections")
    source = folder / "source"
    shutil.copytree(TOP / "installer" / "ansible", source)
    (source / "roles" / "refstack_node" / "files" / "refstack-install").write_bytes(installer())
    galaxy = [ansible / "ansible-galaxy", "collection"]
    environment = environment_for(folder)
    subprocess.run([*galaxy, "build", source, "--output-path", folder], check=True, env=environment)
    [archive] = folder.glob("refstack-worker-*.tar.gz")
    subprocess.run([*galaxy, "install", archive, "-p", folder, "--offline"], check=True, env=environment)
    return folder


def environment_for(folder: Path) -> dict[str, str]:
    return {
        **os.environ, "ANSIBLE_SSH_TRANSFER_METHOD": "piped", "ANSIBLE_NOCOLOR": "1", "NO_COLOR": "1",
        "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "ANSIBLE_BECOME": "false", "ANSIBLE_LOCALHOST_WARNING": "false",
    }  # fmt: skip


class Playbook:
    """The playbooks of the collection on one node."""

    def __init__(self, folder: Path, ansible: Path, collections: Path, node: Node) -> None:
        self.folder, self._ansible, self._collections, self._node = folder, ansible, collections, node
        self.host_answers: dict[str, dict[str, Any]] = {}
        (folder / "leader").write_text(str(node.machine._leader))
        ssh = folder / "ssh"
        ssh.write_text(SSH.format(python=sys.executable, folder=folder))
        ssh.chmod(0o755)

    def run(self, playbook: str, *options: str) -> dict[str, int]:
        """Run a playbook and return the counts of the recap."""
        argv = [self._ansible / "ansible-playbook", "-i", self._inventory(), *options, f"refstack.worker.{playbook}"]
        argv += ["-e", "ansible_become=false"]
        environment = environment_for(self._collections)
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, cwd=self.folder)
        self.output = done.stdout + done.stderr
        recap = re.search(r"^node-1\s*: (.*)$", done.stdout, re.M)
        assert recap, self.output
        return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", recap.group(1))}

    def _inventory(self) -> Path:
        node, site = self._node, self._node.site
        variables = {
            "refstack_node_answers": {
                "repository": {"url": "http://packages.refstack.test", "key": "/root/archive.asc",
                               "fingerprint": [site.fingerprint]},
                "tempest": {"versions": ["47.0.0"]}, "gearman": {"servers": [node.gearman]},
                "server": {"urls": [node.url]}, "node": {"name": "node-1"}, **self.answers,
            },
            "refstack_node_fleet_key": (site.folder / "seal.key").read_text(),
            "refstack_node_server_keys": (site.folder / "sign.pub").read_text(),
            "ansible_ssh_executable": str(self.folder / "ssh"), "ansible_python_interpreter": "/usr/bin/python3",
        }  # fmt: skip
        host = {"refstack_node_host_answers": self.host_answers}
        inventory = {"refstack_nodes": {"hosts": {"node-1": host}, "vars": variables}}
        (self.folder / "inventory.yml").write_text(json.dumps(inventory))
        return self.folder / "inventory.yml"

    answers: Mapping[str, Any] = {}
    """Sections that differ from the others' answers."""


@pytest.fixture
def node(site: Site) -> Iterator[Node]:
    with Node(site) as made:
        yield made


def test_the_collection_is_clean_for_ansible_lint(ansible: Path, collections: Path) -> None:
    environment = environment_for(collections)
    environment["PATH"] = f"{ansible}:{environment['PATH']}"
    folder = collections / "ansible_collections" / "refstack" / "worker"
    lint = [ansible / "ansible-lint", "--offline", "--profile", "production", "--strict"]
    done = subprocess.run(lint, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_role(tmp_path: Path, ansible: Path, collections: Path, node: Node) -> None:
    before = node.picture()
    play = Playbook(tmp_path, ansible, collections, node)

    recap = play.run("site", "--check", "--diff")
    assert recap["failed"] == 0, play.output
    assert recap["changed"] == 1
    assert "+++ after: refstack-worker" in play.output
    assert changed(before, node.picture()) == [], "check mode changes nothing"
    assert not node.machine.exists("/var/lib/refstack-install")

    recap = play.run("site")
    assert recap["failed"] == 0, play.output
    assert recap["changed"] == 1

    recap = play.run("site")
    assert recap["failed"] == 0, play.output
    assert recap["changed"] == 0

    play.host_answers = {"node": {"tags": ["eu"]}}
    recap = play.run("site", "--check", "--diff")
    assert recap["changed"] == 1
    assert '+tags = ["eu"]' in play.output
    assert (node.site.folder / "seal.key").read_text().split()[1] not in play.output
    play.host_answers = {}

    recap = play.run("site", "-e", "refstack_node_state=verified", "-e", "refstack_node_drain=true")
    assert recap["failed"] == 0, play.output
    assert recap["changed"] == 0

    recap = play.run("site", "-e", "refstack_node_state=absent")
    assert recap["failed"] == 0, play.output
    assert recap["changed"] == 1
    assert changed(before, node.picture()) == []
    assert play.run("site", "-e", "refstack_node_state=absent")["changed"] == 0


@pytest.fixture
def own_site(site: Site, tmp_path: Path) -> Site:
    """A site whose repository a test may change."""
    shutil.copytree(site.folder, tmp_path / "site", ignore=shutil.ignore_patterns("gnupg"))
    return Site(tmp_path / "site", site.fingerprint)


def test_an_upgrade_drains_first_changes_and_proves_itself(
    own_site: Site, tmp_path: Path, ansible: Path, collections: Path
) -> None:
    with Node(own_site) as node:
        play = Playbook(tmp_path, ansible, collections, node)
        play.host_answers = {"node": {"slots": 3, "tags": ["eu"]}}
        assert play.run("site")["failed"] == 0, play.output
        old, settings = version(node), node.machine.read(SETTINGS)
        assert old != NEXT
        assert "slots = 3" in settings
        Publisher(Repository(own_site.repository), key=own_site.fingerprint).publish(next_packages())

        assert play.run("upgrade")["failed"] == 1 and "set the version" in play.output, play.output

        recap = play.run("upgrade", "-e", f"refstack_node_version={NEXT}", "--check")
        assert (recap["failed"], recap["changed"], version(node)) == (0, 1, old), play.output

        recap = play.run("upgrade", "-e", "refstack_node_version=9.9.9")
        assert recap["failed"] == 1 and "does not have refstack-worker 9.9.9" in play.output, play.output
        assert version(node) == old
        assert lives(node) == ["ready"], "it was refused before the node was drained"

        recap = play.run("upgrade", "-e", f"refstack_node_version={NEXT}")
        assert recap["failed"] == 0, play.output
        assert recap["changed"] == 2, "drained and changed; the proof changes nothing"
        tasks = re.findall(r"^TASK \[refstack.worker.refstack_node : (.*?)\]", play.output, re.M)
        assert tasks.index("Let the runs of this node end") < tasks.index(APPLY), tasks
        assert tasks[-1] == "Prove the node with a self-test run"
        assert version(node) == NEXT
        assert node.machine.read(SETTINGS) == settings, "slots and tags of the host survive"
        assert lives(node) == ["ready", "ended", "ready"]
        assert node.install("plan", "--set", f"packages.version={NEXT}", "--set", "node.slots=3", "--set",
                            "node.tags=eu")[0] == 0  # fmt: skip

        recap = play.run("upgrade", "-e", f"refstack_node_version={NEXT}")
        assert (recap["failed"], recap["changed"]) == (0, 0), play.output


def lives(node: Node) -> list[str]:
    """Return when the worker became ready and when it ended, in order."""
    lines = node.machine.journal("refstack-worker").splitlines()
    return [line.split(":")[0] for line in lines if line.startswith(("ready", "ended"))]


def version(node: Node) -> str:
    """Return the version of the running worker."""
    return str(json.loads(node.machine.run("refstack-worker", "status", "-f", "json").stdout)["software"])
