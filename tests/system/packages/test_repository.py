"""What apt makes of the repository, of a changed package in it, and of changed or unsigned indices."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.builder.chroots import CleanRoot, Enter, RootRecipe, base_root
from tests.support.machines import BARE, cache
from tests.support.tempests import package
from tests.system.packages.conftest import FIRST, SECOND, USER, gpg
from tests.system.packages.node import KEYRING

SOURCE = f"Types: deb\nURIs: file:/repository/apt\nSuites: stable\nComponents: main\nSigned-By: /etc/apt/{KEYRING}\n"
NEXT_USER = "next@refstack.test"


class Apt:
    """apt in a clean Debian that has this repository and nothing else, no network."""

    def __init__(self, root: CleanRoot, repository: Path) -> None:
        self.root = root
        self.repository = repository
        self.keep_keyring()
        root.write("etc/apt/sources.list", "")
        root.write("etc/apt/sources.list.d/refstack.sources", SOURCE)
        (root.path / "repository").mkdir()

    def keep_keyring(self) -> None:
        self.root.write(f"etc/apt/{KEYRING}", (self.repository / KEYRING).read_bytes())

    def __call__(self, *words: str) -> tuple[int, str]:
        done = self.root.run(["apt-get", *words], Enter(binds={self.repository: "/repository"}, check=False))
        return done.returncode, done.stdout + done.stderr


def succeeds(done: tuple[int, str]) -> bool:
    """Whether apt was content; its messages are in the test's output."""
    print(done[1])
    return done[0] == 0


@pytest.fixture(params=["bookworm", "trixie"])
def apt(request: pytest.FixtureRequest, own_repository: Path) -> Iterator[Apt]:
    with CleanRoot(base_root(RootRecipe(request.param, BARE), cache())) as root:
        yield Apt(root, own_repository)


def test_apt_takes_it_as_it_is(apt: Apt) -> None:
    status, said = apt("update")
    assert status == 0 and "W:" not in said and "E:" not in said, said
    status, said = apt("download", f"refstack-tempest-{FIRST}")
    assert status == 0, said


def test_a_tampered_package_is_refused(apt: Apt) -> None:
    path = next((apt.repository / "apt/pool").rglob(f"refstack-tempest-{FIRST}_*.deb"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert succeeds(apt("update"))
    status, said = apt("download", f"refstack-tempest-{FIRST}")
    assert status != 0 and "Hash Sum mismatch" in said, said


@pytest.mark.parametrize("name", ["InRelease", "Packages"])
def test_tampered_indices_are_refused(apt: Apt, name: str) -> None:
    dists = apt.repository / "apt/dists/stable"
    if name == "InRelease":
        path = dists / name
        path.write_text(path.read_text().replace("Label: RefStack", "Label: RefStick"))
    else:
        for path in (p for p in dists.rglob("*") if p.is_file() and "binary-amd64" in p.parts):
            path.write_bytes(path.read_bytes() + b"\n")
    status, said = apt("update")
    assert status != 0, said
    assert (
        "BADSIG" in said or "not signed" in said or "Hash Sum mismatch" in said or "size" in said or "signature" in said
    )


def test_an_unsigned_repository_is_refused(apt: Apt) -> None:
    for name in ("InRelease", "Release.gpg"):
        (apt.repository / "apt/dists/stable" / name).unlink()
    status, said = apt("update")
    assert status != 0 and "not signed" in said, said


def test_nothing_is_published_without_a_key(own_repository: Path, built, gnupg_home: Path) -> None:  # type: ignore[no-untyped-def]
    before = contents(own_repository)
    file = next(path for path in built.debs("next") if path.name.startswith("refstack-worker_"))
    for words in ((), ("--key", "nobody@refstack.test"), ("--key", "DEADBEEFDEADBEEF")):
        done = package("publish", "--repo", own_repository, "--gnupg-home", gnupg_home, *words, file)
        assert done.returncode == 15 and "key" in done.stderr, done
    assert contents(own_repository) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_key_is_rolled_over_without_a_node_noticing(apt: Apt, gnupg_home: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(gnupg_home, tmp_path / "gnupg", ignore=shutil.ignore_patterns("S.*")))
    home.chmod(0o700)
    gpg(
        home, "--passphrase", "", "--quick-generate-key", "RefStack next <next@refstack.test>", "rsa4096", "sign", "10y"
    )
    words = ["rollover", "--repo", apt.repository, "--gnupg-home", home, "--to", "next@refstack.test"]
    assert package(*words, "--finish").returncode == 15, "finished before it was announced"
    assert package(*words).returncode == 0
    assert succeeds(apt("update")), "a node that has only the old key"
    apt.keep_keyring()  # what the upgrade of the keyring package does
    done = package(*words, "--finish")
    assert done.returncode == 0, done.stderr
    assert succeeds(apt("update")), "a node that has both keys"
    old = package(
        "withdraw", "--repo", apt.repository, "--gnupg-home", home, "--key", USER, f"refstack-tempest-{FIRST}"
    )
    assert old.returncode == 15, "the old key can still change it"


def test_withdraw_and_prune(apt: Apt, gnupg_home: Path) -> None:
    words = ["--repo", apt.repository, "--gnupg-home", gnupg_home, "--key", USER]
    assert package("withdraw", *words, "refstack-tempest-1.0.0").returncode == 6
    assert package("prune", *words, "--keep", "1").returncode == 0
    listed = json.loads(package("list", "--repo", apt.repository, "-f", "json").stdout)
    assert {f"refstack-tempest-{FIRST}"} == {item["Package"] for item in listed if "tempest" in item["Package"]}
    assert succeeds(apt("update"))
    assert apt("--simulate", "download", f"refstack-tempest-{SECOND}")[0] != 0
    assert package("withdraw", *words, f"refstack-tempest-{FIRST}").returncode == 0
    assert succeeds(apt("update")) and not succeeds(apt("download", f"refstack-tempest-{FIRST}"))
