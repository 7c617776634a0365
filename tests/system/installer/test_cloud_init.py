"""The example for cloud-init, by the real cloud-init: a machine becomes a node at its first boot."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installer_nodes import INSTALLER, TOP, Node, Site, installer
from tests.support.mirror import SITE

EXAMPLE = TOP / "installer" / "cloud-init" / "user-data.example.yml"
SEED = "/var/lib/cloud/seed/nocloud"
FETCH = '#!/bin/sh\nset -eu\ninstall -m 600 /root/fleet.key "$1"\ninstall -m 644 /root/server.pub "$2"\n'
"""Stands for the secret store's command, which is the site's own."""
MACHINE = """
# what the machine's image would say, not the user data: the network and the sources are there already
network: {config: disabled}
datasource_list: [NoCloud]
apt: {preserve_sources_list: true}
# of the modules those that have something to do here: others look for an ssh server and the like
cloud_config_modules: [runcmd]
cloud_final_modules: [package-update-upgrade-install, scripts-user, final-message]
"""


@pytest.fixture
def node(site: Site, tmp_path: Path) -> Iterator[Node]:
    """A bare machine with cloud-init on it; the site's repository hands out the installer too."""
    shutil.copytree(site.folder, tmp_path / "site", ignore=shutil.ignore_patterns("gnupg"))
    own = Site(tmp_path / "site", site.fingerprint)
    (own.repository / "refstack-install").write_bytes(installer())
    with Node(own) as made:
        made.machine.sh("apt-get update && apt-get -y --no-install-recommends install cloud-init")
        yield made


def user_data(node: Node) -> str:
    """Return the example with this site's addresses in the place of the example's."""
    text = EXAMPLE.read_text()
    places = {
        "https://packages.example.org/refstack-install": f"http://{SITE}/refstack-install",
        "https://packages.example.org/refstack/refstack-archive-keyring.gpg": f"http://{SITE}/refstack-archive-keyring.gpg",
        "https://packages.example.org/refstack": f"http://{SITE}",
        "0123456789ABCDEF0123456789ABCDEF01234567": node.site.fingerprint,
        "0" * 64: hashlib.sha256(installer()).hexdigest(),
        "gearman.example.org": node.gearman,
        "https://refstack.example.org": node.url,
    }
    for before, after in places.items():
        assert before in text, f"{before}: the example has it no longer"
        text = text.replace(before, after)
    return text


def test_a_machine_becomes_a_node_at_its_first_boot(node: Node) -> None:
    machine = node.machine
    machine.write("/root/example.yml", EXAMPLE.read_bytes())
    machine.write(f"{SEED}/user-data", user_data(node))
    machine.write(f"{SEED}/meta-data", "instance-id: first-boot\n")
    machine.write("/etc/cloud/cloud.cfg.d/99-test.cfg", MACHINE)
    machine.write("/usr/local/sbin/fetch-refstack-keys", FETCH, 0o755)
    assert "Valid" in machine.sh("cloud-init schema --config-file /root/example.yml")
    assert "Valid" in machine.sh(f"cloud-init schema --config-file {SEED}/user-data")

    proxy = machine.read("/etc/apt/apt.conf.d/00proxy").split('"')[1]
    boot = ("init --local", "init", "modules --mode=config", "modules --mode=final")
    for stage in boot:
        words = ["cloud-init", *stage.split()]
        done = machine.run(*words, env={"http_proxy": proxy, "no_proxy": machine.host}, check=False, timeout=900)
        assert done.returncode == 0, (stage, done.stdout, done.stderr)

    said = machine.sh("cloud-init status --long", check=False)
    assert "error" not in said, said + machine.read("/var/log/cloud-init-output.log")[-3000:]
    assert machine.sh("systemctl is-active refstack-worker", check=False).strip() == "active", said
    assert not machine.exists("/run/refstack-install/fleet.key"), "the key's copy is gone"
    for command in ("plan", "verify"):
        done = machine.run("python3", INSTALLER, command, "--json", check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
