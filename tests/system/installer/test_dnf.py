"""The dnf back end with the real dnf and rpm: signed packages from a signed repository into a root of their own.

The packages are small ones made here: what is tried is the installer's dealing with dnf. No EL or Fedora machine is at
hand, so units are not started.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from refstack_worker.builder.repository.publish import Publisher
from refstack_worker.builder.repository.repository import Repository
from tests.support.gpg import GnuPG, gnupg

INSTALLER = Path(__file__).resolve().parents[3] / "installer" / "refstack-install"
OS_RELEASE = 'ID=rocky\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\nPRETTY_NAME="Rocky Linux 9.4"\n'
SPEC = """
Name: {name}
Version: {version}
Release: 1
Summary: test
License: Apache-2.0
BuildArch: noarch
{requires}
%description
test
%install
mkdir -p %{{buildroot}}/usr/share/{name}
echo {version} > %{{buildroot}}/usr/share/{name}/version
%files
/usr/share/{name}
"""
PACKAGES = (
    ("refstack-worker", "1.0", "Requires: python3-gear"),
    ("refstack-worker", "1.1", "Requires: python3-gear"),
    ("python3-gear", "0.16", ""),
    ("refstack-tempest-47.0.0", "47.0.0", ""),
    ("refstack-tempest-43.0.0", "43.0.0", ""),
)

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="rpm --root needs root"),
    pytest.mark.skipif(not all(map(shutil.which, ("dnf", "rpmbuild", "createrepo_c"))), reason="dnf is not here"),
]


@dataclass(frozen=True)
class Site:
    """A published repository and its key."""

    folder: Path
    fingerprint: str
    gpg: GnuPG


@pytest.fixture(scope="module")
def yum_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with gnupg(folder / "gnupg") as gpg, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(gpg.home))
        fingerprint = gpg.new_key("genuine", "rsa3072")
        rpms = [build(folder, *package) for package in PACKAGES]
        Publisher(Repository(folder / "repository"), key=fingerprint).publish(rpms)
        yield Site(folder, fingerprint, gpg)


@pytest.fixture(scope="module")
def evil_site(yum_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """An attacker's repository: a newer worker, everything signed with the attacker's key."""
    folder = tmp_path_factory.mktemp("evil")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(yum_site.gpg.home))
        fingerprint = yum_site.gpg.new_key("evil", "rsa3072")
        rpms = [build(folder, "refstack-worker", "9.0", ""), build(folder, "refstack-tempest-47.0.0", "47.0.0", "")]
        Publisher(Repository(folder / "repository"), key=fingerprint).publish(rpms)
    return Site(folder, fingerprint, yum_site.gpg)


def build(folder: Path, name: str, version: str, requires: str) -> Path:
    spec = folder / f"{name}.spec"
    spec.write_text(SPEC.format(name=name, version=version, requires=requires))
    words = ["rpmbuild", "-bb", "--define", f"_topdir {folder}/rpm", "--define", f"_rpmdir {folder}", spec]
    subprocess.run(words, check=True, capture_output=True)
    return next(folder.glob(f"noarch/{name}-{version}-1*.rpm"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("etc", "var/lib"):
        (root / name).mkdir(parents=True)
    (root / "etc" / "os-release").write_text(OS_RELEASE)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\n")
    return root


def keys_in_database(root: Path) -> list[str]:
    """Return the keys that RPM trusts."""
    form = "%{NAME} %{VERSION}\n"
    out = subprocess.run(["rpm", "--root", root, "-qa", "--qf", form], capture_output=True, text=True).stdout
    return [line.split()[1] for line in out.splitlines() if line.startswith("gpg-pubkey")]


def with_key(site: Site, folder: Path, *fingerprints: str) -> Path:
    """Return a copy of a repository that hands out these keys."""
    shutil.copytree(site.folder / "repository", folder)
    (folder / "refstack-archive-keyring.asc").write_bytes(site.gpg.export(*fingerprints, armor=True))
    return folder


def install(yum_site: Site, root: Path, command: str, *more: str) -> tuple[int, dict[str, object]]:
    for name, kind, letter in (("fleet.key", "seal-private", "QUFB"), ("server.pub", "sign-public", "QkJC")):
        (root.parent / name).write_text(f"refstack-{kind} {letter * 10}QUE=\n")
    answers = {
        "repository.url": yum_site.folder / "repository", "repository.fingerprint": yum_site.fingerprint,
        "tempest.versions": "47.0.0", "gearman.servers": "127.0.0.1", "server.urls": "http://127.0.0.1:1",
        "keys.fleet": root.parent / "fleet.key", "keys.servers": root.parent / "server.pub",
        "preflight.services": "no", "service.enable": "no", "service.start": "no", "preflight.disk_mb": "10",
    }  # fmt: skip
    words = [f"--set={name}={value}" for name, value in answers.items()]
    argv = [sys.executable, INSTALLER, command, "--json", f"--root={root}", *words, *more]
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def packages(root: Path) -> dict[str, str]:
    out = subprocess.run(["rpm", "--root", root, "-qa", "--qf", "%{NAME} %{VERSION}\n"], capture_output=True, text=True)
    return dict(line.split() for line in out.stdout.splitlines() if not line.startswith("gpg-pubkey"))


def test_a_node_comes_and_goes(yum_site: Site, root: Path) -> None:
    assert install(yum_site, root, "plan")[0] == 2
    assert packages(root) == {}
    code, report = install(yum_site, root, "apply")
    assert code == 0, report["error"]
    assert packages(root) == {"refstack-worker": "1.1", "python3-gear": "0.16", "refstack-tempest-47.0.0": "47.0.0"}
    code, report = install(yum_site, root, "apply")
    assert (code, report["changed"]) == (0, False)
    assert install(yum_site, root, "plan")[0] == 0
    code, report = install(yum_site, root, "remove")
    assert code == 0, report["error"]
    assert packages(root) == {}
    assert not [path for path in root.rglob("*refstack*") if "/var/lib/rpm" not in str(path)]
    assert keys_in_database(root) == [], "the key that came with the first package goes too"


def test_a_version_and_its_upgrade(yum_site: Site, root: Path) -> None:
    code, report = install(yum_site, root, "apply", "--package-version", "1.0")
    assert code == 0, report["error"]
    assert packages(root)["refstack-worker"] == "1.0"
    code, report = install(yum_site, root, "apply", "--package-version", "1.1")
    assert code == 0, report["error"]
    assert packages(root)["refstack-worker"] == "1.1"
    assert install(yum_site, root, "plan", "--package-version", "1.1")[0] == 0


def test_a_version_that_is_not_there(yum_site: Site, root: Path) -> None:
    code, report = install(yum_site, root, "apply", "--tempest", "1.2.3")
    assert code == 5
    assert report["error"]["step"] == "tempest"
    assert report["error"]["what"] == "the repository does not have refstack-tempest-1.2.3"
    assert set(packages(root)) == {"refstack-worker", "python3-gear"}


def test_a_repository_signed_by_somebody_else(yum_site: Site, root: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    shutil.copytree(yum_site.folder / "repository", forged)
    (forged / "yum" / "repodata" / "repomd.xml.asc").write_text("nothing")
    code, report = install(yum_site, root, "apply", "--repository", str(forged))
    assert code == 5
    assert report["error"]["step"] == "repository"
    assert packages(root) == {}
    assert not (root / "etc" / "yum.repos.d" / "refstack.repo").exists()


@pytest.mark.parametrize("evil_first", [False, True])
def test_a_repository_signed_by_a_key_beside_the_pinned_one(
    yum_site: Site, evil_site: Site, root: Path, tmp_path: Path, evil_first: bool
) -> None:
    order = (evil_site.fingerprint, yum_site.fingerprint)
    forged = with_key(evil_site, tmp_path / "forged", *(order if evil_first else reversed(order)))
    code, report = install(yum_site, root, "apply", "--repository", str(forged))
    assert (code, report["error"]["step"]) == (5, "repository"), report
    assert packages(root) == {}
    assert keys_in_database(root) == []


def test_a_package_signed_by_a_key_beside_the_pinned_one(
    yum_site: Site, evil_site: Site, root: Path, tmp_path: Path
) -> None:
    """The index is genuine; the key file and one package are not."""
    forged = with_key(yum_site, tmp_path / "forged", yum_site.fingerprint, evil_site.fingerprint)
    [victim] = forged.rglob("refstack-worker-1.1-1*.rpm")
    [rpm] = (evil_site.folder / "repository").rglob("refstack-worker-9.0-1*.rpm")
    shutil.copy(rpm, victim)
    code, report = install(yum_site, root, "apply", "--repository", str(forged))
    assert (code, report["error"]["step"]) == (5, "packages"), report
    assert packages(root) == {}


def test_a_change_of_keys(yum_site: Site, evil_site: Site, root: Path, tmp_path: Path) -> None:
    """The old key is not trusted any more, neither by dnf nor in RPM's database."""
    new = evil_site.fingerprint
    assert install(yum_site, root, "apply", "--package-version", "1.0")[0] == 0
    assert keys_in_database(root) == [yum_site.fingerprint[-8:].lower()]
    moved = with_key(evil_site, tmp_path / "moved", yum_site.fingerprint, new)
    more = ("--repository", str(moved), "--set", f"repository.fingerprint={new}")
    code, report = install(yum_site, root, "apply", *more, "--package-version", "9.0")
    assert code == 0, report["error"]
    assert keys_in_database(root) == [new[-8:].lower()]
    shutil.rmtree(moved)
    with_key(yum_site, moved, yum_site.fingerprint, new)
    (root / "etc" / "yum.repos.d" / "refstack.repo").write_text("")
    code, report = install(yum_site, root, "apply", *more)
    assert (code, report["error"]["step"]) == (5, "repository"), "the old key signs nothing any more"


def bundle(site: Site, file: Path, repository: Path) -> None:
    """Make a bundle of a repository, signed with a site's key."""
    argv = [sys.executable, INSTALLER, "bundle", "--format", "yum", "--repository", repository, "--mirror", ""]
    argv += ["--key", repository / "refstack-archive-keyring.asc", "--release", "9", "--tempest", "47.0.0"]
    argv += ["--sign-key", site.fingerprint, "--output", file]
    subprocess.run(argv, check=True, env={**os.environ, "GNUPGHOME": str(site.gpg.home)})


def test_a_bundle(yum_site: Site, root: Path, tmp_path: Path) -> None:
    bundle(yum_site, tmp_path / "bundle", yum_site.folder / "repository")
    assert install(yum_site, root, "plan", "--bundle", str(tmp_path / "bundle"))[0] == 2
    assert packages(root) == {}
    code, report = install(yum_site, root, "apply", "--bundle", str(tmp_path / "bundle"))
    assert code == 0, report["error"]
    assert packages(root)["refstack-worker"] == "1.1"
    code, report = install(yum_site, root, "remove")
    assert code == 0, report["error"]
    assert (packages(root), keys_in_database(root)) == ({}, [])


def test_a_bundle_of_another_signer_with_the_pinned_key_in_it(
    yum_site: Site, evil_site: Site, root: Path, tmp_path: Path
) -> None:
    made, forged = tmp_path / "bundle", tmp_path / "forged"
    bundle(evil_site, made, evil_site.folder / "repository")
    key = yum_site.gpg.export(yum_site.fingerprint, evil_site.fingerprint, armor=True)
    with tarfile.open(made) as old, tarfile.open(forged, "w") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            data = key if member.name == "key.asc" else content.read()
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    code, report = install(yum_site, root, "apply", "--bundle", str(forged))
    assert (code, report["error"]["reason"]) == (9, "bundle"), report
    assert packages(root) == {}


def test_an_unknown_version_is_refused_by_plan(yum_site: Site, root: Path) -> None:
    code, report = install(yum_site, root, "plan", "--package-version", "7.7")
    assert (code, report["error"]["what"]) == (5, "the repository does not have refstack-worker 7.7"), report
    assert install(yum_site, root, "plan", "--package-version", "1.0")[0] == 2
    assert packages(root) == {}
