"""A node without any network, from one signed file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.installer_nodes import TEMPEST, TOP, Node, Site, changed, steps


@pytest.fixture(scope="module")
def bundle(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("bundle") / "node.bundle"
    argv = [TOP / "installer" / "refstack-install", "bundle", "--repository", site.repository, "--tempest", TEMPEST]
    argv += ["--key", site.repository / "refstack-archive-keyring.gpg", "--release", "bookworm"]
    argv += ["--sign-key", site.fingerprint, "--output", file]
    subprocess.run(argv, check=True, env={**os.environ, "GNUPGHOME": str(site.folder / "gnupg")})
    return file


def test_a_node_without_a_network(site: Site, bundle: Path) -> None:
    """gearmand and a server that answers are reached over the link to the host; there is no repository anywhere."""
    with Node(site, network=False) as node:
        node.machine.write("/root/node.bundle", bundle.read_bytes())
        before = node.picture()
        node.answer(repository_url='""', repository_key='""')
        code, report = node.install("plan", "--bundle", "/root/node.bundle")
        assert code == 2, report["error"]
        assert changed(before, node.picture()) == [], "plan changes nothing"
        code, report = node.install("apply", "--bundle", "/root/node.bundle")
        assert code == 0, report["error"]
        assert steps(report)["registered"] in ("changed", "unchanged")
        code, report = node.install("plan", "--bundle", "/root/node.bundle")
        assert code == 0, report
        code, report = node.install("verify", "--bundle", "/root/node.bundle")
        assert code == 0, report["error"]
        code, report = node.install("remove")
        assert code == 0, report["error"]
        assert changed(before, node.picture()) == []


def test_a_bundle_with_a_flipped_byte_is_refused(site: Site, bundle: Path) -> None:
    with Node(site, network=False) as node:
        data = bytearray(bundle.read_bytes())
        data[len(data) // 2] ^= 1
        node.machine.write("/root/node.bundle", bytes(data))
        before = node.picture()
        code, report = node.install("plan", "--bundle", "/root/node.bundle")
        assert code == 2, report["error"]
        assert changed(before, node.picture()) == [], "plan changes nothing"
        code, report = node.install("apply", "--bundle", "/root/node.bundle")
        assert (code, report["error"]["step"]) == (9, "bundle")
        assert "is damaged" in report["error"]["message"]
        after = [name for name in changed(before, node.picture()) if not name.startswith("./var/lib/refstack-install")]
        assert after == []
