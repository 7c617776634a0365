"""The real apt on a booted machine: keys that are not pinned open nothing, pinned versions install, nodes move.

The packages are small ones with the dependencies of the project's own; units are not started.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.builder.repository.publish import Publisher
from refstack_worker.builder.repository.repository import Repository
from refstack_worker.contract import keys
from tests.support import tiny_packages
from tests.support.gpg import GnuPG, gnupg
from tests.support.installer_nodes import Node, Site, changed, steps
from tests.support.mirror import SITE

KEY_FILE = "refstack-archive-keyring.asc"
KEY_URL = f"http://{SITE}/{KEY_FILE}"
APT_KEY = "/usr/share/keyrings/refstack-archive-keyring.gpg"
JOURNAL = "./var/lib/refstack-install"
OLD, NEW, EVIL = "1.0-1", "1.1-1", "9.0-1"


@dataclass(frozen=True)
class Sites:
    """The genuine site, and an attacker's copy with newer packages."""

    gpg: GnuPG
    genuine: Site
    evil: Site


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    if os.geteuid() != 0:
        pytest.skip("booting machines needs root")
    folder = tmp_path_factory.mktemp("sites")
    with gnupg(folder / "gnupg") as gpg, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(gpg.home))
        genuine = _site(gpg, folder / "genuine", OLD, NEW)
        yield Sites(gpg, genuine, _site(gpg, folder / "evil", EVIL))


def _site(gpg: GnuPG, folder: Path, *versions: str) -> Site:
    folder.mkdir()
    fingerprint = gpg.new_key(folder.name, "rsa3072")
    packages = [package for version in versions for package in tiny_packages.family(folder, version)]
    packages.append(tiny_packages.deb(folder, "refstack-tempest-47.0.0", "47.0.0-1"))
    packages.append(_keyring_package(gpg, folder, fingerprint))
    Publisher(Repository(folder / "repository"), key=fingerprint).publish(packages)
    for kind in ("seal", "sign"):
        keys.generate_pair(kind, folder / f"{kind}.key", folder / f"{kind}.pub")
    return Site(folder, fingerprint)


def _keyring_package(gpg: GnuPG, folder: Path, fingerprint: str) -> Path:
    return tiny_packages.deb(folder, "refstack-archive-keyring", "1-1", files={APT_KEY: gpg.export(fingerprint)})


@pytest.fixture
def node(sites: Sites, tmp_path: Path) -> Iterator[Node]:
    """A bare machine; what the network says is in a folder of the test's own."""
    shutil.copytree(sites.genuine.repository, tmp_path / "repository")
    for name in ("seal.key", "sign.pub"):
        shutil.copy(sites.genuine.folder / name, tmp_path)
    with Node(replace(sites.genuine, folder=tmp_path)) as made:
        made.answer(
            repository_key=f'"{KEY_URL}"',
            tempest_warm="false",
            service_enable="false",
            service_start="false",
            preflight_services="false",
        )
        yield made


def install(node: Node, command: str, *more: str) -> tuple[int, dict[str, Any]]:
    return node.install(command, *more, env={"http_proxy": node.proxy})


def serve(node: Node, site: Site, key: bytes) -> None:
    """Let the machine's network say what an attacker, or a new owner, wants."""
    shutil.rmtree(node.site.repository)
    shutil.copytree(site.repository, node.site.repository)
    (node.site.repository / KEY_FILE).write_bytes(key)


def installed(node: Node, name: str) -> str:
    return node.machine.run("dpkg-query", "-W", "-f", "${Version}", name, check=False).stdout


@pytest.mark.parametrize("evil_first", [False, True])
@pytest.mark.parametrize("armor", [False, True])
def test_a_repository_that_is_signed_by_another_key_is_refused(
    node: Node, sites: Sites, evil_first: bool, armor: bool
) -> None:
    order = (sites.evil.fingerprint, sites.genuine.fingerprint)
    serve(node, sites.evil, sites.gpg.export(*(order if evil_first else reversed(order)), armor=armor))
    before = node.picture()
    code, report = install(node, "apply")
    assert (code, report["error"]["step"]) == (5, "repository"), report
    assert "not signed with the expected key" in report["error"]["message"]
    after = node.picture()
    assert [name for name in changed(before, after) if not name.startswith(JOURNAL)] == []
    code, report = install(node, "plan")
    assert code == 5, "plan asks the repository too, and trusts it no more"


def test_unsigned_packages_are_refused_on_a_machine_that_allows_them(node: Node, sites: Sites) -> None:
    lax = "Acquire::AllowInsecureRepositories", "Acquire::AllowWeakRepositories", "APT::Get::AllowUnauthenticated"
    node.machine.write("/etc/apt/apt.conf.d/99lax", "".join(f'{name} "true";\n' for name in lax))
    serve(node, sites.evil, sites.gpg.export(sites.genuine.fingerprint))
    for signature in ("InRelease", "Release.gpg"):
        for path in node.site.repository.rglob(signature):
            path.unlink()
    code, report = install(node, "apply")
    assert (code, report["error"]["step"]) == (5, "repository"), report
    assert installed(node, "refstack-worker") == ""


def test_the_key_file_may_hold_more_than_the_pinned_key(node: Node, sites: Sites) -> None:
    serve(node, sites.genuine, sites.gpg.export(sites.evil.fingerprint, sites.genuine.fingerprint))
    code, report = install(node, "apply", "--set", "packages.version=1.0")
    assert code == 0, report["error"]
    assert (node.machine.path / APT_KEY.lstrip("/")).read_bytes() == sites.gpg.export(sites.genuine.fingerprint)
    serve(node, sites.evil, sites.gpg.export(sites.genuine.fingerprint, sites.evil.fingerprint))
    code, report = install(node, "apply", "--set", "packages.upgrade=true", "--set", "tempest.versions=47.0.0,43.0.0")
    assert code == 5, report
    assert installed(node, "refstack-worker") == OLD


def test_a_pinned_version_installs_on_a_bare_machine_and_an_unknown_one_is_refused(node: Node) -> None:
    before = node.picture()
    code, report = install(node, "plan", "--package-version", "9.9.9")
    assert (code, report["error"]["step"]) == (5, "packages"), report
    assert "the repository does not have refstack-worker 9.9.9" in report["error"]["message"]
    assert changed(before, node.picture()) == []
    code, report = install(node, "apply", "--package-version", "1.0")
    assert code == 0, report["error"]
    assert {installed(node, name) for name in tiny_packages.FAMILY} == {OLD}
    assert install(node, "plan", "--package-version", "1.0")[0] == 0
    before = node.picture()
    code, report = install(node, "plan", "--package-version", "9.9.9")
    assert (code, report["error"]["step"]) == (5, "packages"), report
    assert install(node, "plan", "--package-version", "1.1")[0] == 2
    assert changed(before, node.picture()) == []
    code, report = install(node, "apply", "--package-version", "1.1")
    assert code == 0, report["error"]
    assert {installed(node, name) for name in tiny_packages.FAMILY} == {NEW}


def test_a_node_moves_to_a_repository_with_another_key_and_is_bare_afterwards(node: Node, sites: Sites) -> None:
    before = node.picture()
    assert install(node, "apply")[0] == 0
    assert installed(node, "refstack-archive-keyring") == "1-1"
    serve(node, sites.evil, sites.gpg.export(sites.evil.fingerprint))
    node.machine.sh("rm -rf /var/lib/apt/lists/packages*")
    node.answer(
        repository_key=f'"{KEY_URL}"', repository_fingerprint=f'["{sites.evil.fingerprint}"]', tempest_warm="false",
        service_enable="false", service_start="false", preflight_services="false",
    )  # fmt: skip
    code, report = install(node, "apply", "--set", "packages.upgrade=true")
    assert code == 0, report["error"]
    assert steps(report)["repository"] == "changed"
    assert {installed(node, name) for name in tiny_packages.FAMILY} == {EVIL}
    assert install(node, "plan")[0] == 0
    code, report = install(node, "remove")
    assert code == 0, report["error"]
    assert changed(before, node.picture()) == []
