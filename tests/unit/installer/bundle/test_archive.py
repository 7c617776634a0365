"""A bundle is accepted only if it is complete and signed with the right key."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from refstack_install.bundle import archive
from refstack_install.errors import AnswersError, BundleError, InstallError
from refstack_install.system import System

from tests.support.gpg import GnuPG, gnupg

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not here")


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GnuPG]:
    with gnupg(tmp_path_factory.mktemp("gpg")) as made:
        yield made


@pytest.fixture(scope="module")
def fingerprint(gpg: GnuPG) -> str:
    return gpg.new_key("genuine")


@pytest.fixture
def made(tmp_path: Path, gpg: GnuPG, fingerprint: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GNUPGHOME", str(gpg.home))
    pool = tmp_path / "tree" / "apt" / "pool"
    pool.mkdir(parents=True)
    (pool / "a.deb").write_bytes(b"package a" * 1000)
    (pool / "b.deb").write_bytes(b"package b")
    file = tmp_path / "bundle"
    archive.write(tmp_path / "tree", file, System(), fingerprint)
    return file


def test_packed_files_are_unpacked_unchanged(made: Path, tmp_path: Path, fingerprint: str) -> None:
    archive.extract(made, tmp_path / "out", [fingerprint], System())
    assert (tmp_path / "out" / "apt" / "pool" / "a.deb").read_bytes() == b"package a" * 1000
    assert (tmp_path / "out" / "manifest.json").read_bytes() == archive.manifest_of(made)


def test_a_bundle_needs_a_fingerprint(made: Path, tmp_path: Path) -> None:
    with pytest.raises(AnswersError, match="trusted only by the fingerprint"):
        archive.extract(made, tmp_path / "out", [], System())


def test_a_key_with_another_fingerprint_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(AnswersError, match="not 0000"):
        archive.extract(made, tmp_path / "out", ["0" * 40], System())


def test_a_bundle_of_another_signer_is_refused_although_it_holds_the_pinned_key(
    made: Path, tmp_path: Path, gpg: GnuPG, fingerprint: str
) -> None:
    evil = gpg.new_key("evil")
    forged = {
        archive.KEY: gpg.export(fingerprint, evil, armor=True),
        archive.SIGNATURE: gpg.sign(archive.manifest_of(made), evil),
    }
    rewritten(made, lambda name, data: (name, forged.get(name, data)))
    with pytest.raises(BundleError, match="signature is wrong"):
        archive.extract(made, tmp_path / "out", [fingerprint], System())
    assert not (tmp_path / "out").exists()


Change = Callable[[str, bytes], "tuple[str, bytes] | None"]


def rewritten(file: Path, change: Change, more: tuple[str, bytes] | None = None) -> None:
    """Repack the bundle with changed members, as an attacker would."""
    members: list[tuple[str, bytes]] = []
    with tarfile.open(file) as old:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            kept = change(member.name, content.read())
            members += [kept] if kept else []
    with tarfile.open(file, "w") as new:
        for name, data in [*members, *([more] if more else [])]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("change", "more", "says"),
    [
        (lambda n, d: (n, d.replace(b"package b", b"package x")), None, "b.deb is damaged"),
        (lambda n, d: None if n.endswith("b.deb") else (n, d), None, "b.deb is missing"),
        (lambda n, d: (n, d), ("apt/pool/c.deb", b"evil"), "c.deb does not belong in a bundle"),
        (lambda n, d: (n, d), ("../../etc/cron.d/evil", b"evil"), "does not belong in a bundle"),
        (lambda n, d: (n, d.replace(b"b.deb", b"c.deb") if n == "manifest.json" else d), None, "signature is wrong"),
        (lambda n, d: None if n == "manifest.json" else (n, d), None, "is not a bundle"),
    ],
)  # fmt: skip
def test_tampering_is_noticed(
    made: Path, tmp_path: Path, fingerprint: str, change: Change, more: tuple[str, bytes] | None, says: str
) -> None:
    rewritten(made, change, more)
    with pytest.raises(BundleError, match=says):
        archive.extract(made, tmp_path / "out", [fingerprint], System())
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_an_incomplete_bundle_is_refused(made: Path, tmp_path: Path, fingerprint: str, size: int) -> None:
    made.write_bytes(made.read_bytes()[:size])
    with pytest.raises(InstallError):
        archive.extract(made, tmp_path / "out", [fingerprint], System())


def test_the_archive_has_a_fixed_order_and_no_trace_of_its_maker(made: Path) -> None:
    with tarfile.open(made) as packed:
        members = list(packed)
    assert [m.name for m in members] == [*archive.HEAD, "apt/pool/a.deb", "apt/pool/b.deb"]
    assert {(m.uid, m.uname, m.mtime, m.mode) for m in members} == {(0, "root", 0, 0o644)}
