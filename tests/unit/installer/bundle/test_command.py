"""``refstack-install bundle``, with real packages, apt and gpg."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from refstack_install.bundle import archive
from refstack_install.cli import main
from refstack_install.system import System

from tests.support import tiny_packages
from tests.support.gpg import GnuPG, gnupg

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("gpg", "apt-get", "dpkg-deb", "apt-ftparchive"))), reason="needs apt-utils and gpg"
)


@pytest.fixture
def gpg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GnuPG]:
    with gnupg(tmp_path / "gpg") as made:
        monkeypatch.setenv("GNUPGHOME", str(made.home))
        yield made


@pytest.fixture
def repository(tmp_path: Path, gpg: GnuPG) -> Path:
    """A signed repository with the worker, one Tempest version, and what they depend on."""
    folder = tmp_path / "repository"
    pool = folder / "apt" / "dists" / "stable" / "main" / "binary-amd64"
    pool.mkdir(parents=True)
    tiny_packages.deb(pool, "python3", "3.11", "")
    tiny_packages.family(pool, "1.0-1")
    tiny_packages.deb(pool, "refstack-tempest-47.0.0", "47.0.0-1")
    tiny_packages.deb(pool, "unrelated", "1")
    system, apt = System(), folder / "apt"
    index = system.must(["sh", "-c", f"cd {apt} && apt-ftparchive packages dists"]).out
    (pool / "Packages").write_text(index)
    fields = "-oAPT::FTPArchive::Release::Architectures=amd64 -oAPT::FTPArchive::Release::Components=main"
    release = system.must(["sh", "-c", f"cd {apt}/dists/stable && apt-ftparchive {fields} release ."]).out
    fingerprint = gpg.new_key("repository")
    signed = gpg.run("--local-user", fingerprint, "--clearsign", data=release.encode())
    (apt / "dists" / "stable" / "InRelease").write_bytes(signed)
    (tmp_path / "repository.gpg").write_bytes(gpg.export(fingerprint))
    return folder


def arguments(tmp_path: Path, repository: Path, *more: str) -> list[str]:
    words = ["bundle", "--repository", str(repository), "--key", str(tmp_path / "repository.gpg"), "--mirror", ""]
    return [*words, "--release", "bookworm", "--output", str(tmp_path / "out.bundle"), *more]


def test_a_bundle_has_the_packages_and_all_that_they_depend_on(
    tmp_path: Path, repository: Path, gpg: GnuPG, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = gpg.new_key("bundler")
    words = arguments(tmp_path, repository, "--sign-key", fingerprint, "--tempest", "47.0.0")
    assert main(words) == 0, capsys.readouterr().err
    assert "5 packages" in capsys.readouterr().out
    archive.extract(tmp_path / "out.bundle", tmp_path / "out", [fingerprint], System())
    names = sorted(path.name.split("_")[0] for path in (tmp_path / "out" / "apt" / "pool").iterdir())
    assert names == sorted(["python3", *tiny_packages.FAMILY, "refstack-tempest-47.0.0"])
    assert (tmp_path / "out" / "apt" / "dists" / "stable" / "InRelease").exists()


def test_a_missing_version_is_an_error_and_leaves_no_bundle(
    tmp_path: Path, repository: Path, gpg: GnuPG, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments(tmp_path, repository, "--sign-key", gpg.new_key("bundler"), "--tempest", "1.2.3")
    assert main(words) == 9
    assert "refstack-tempest-1.2.3" in capsys.readouterr().err
    assert not (tmp_path / "out.bundle").exists()


def test_a_missing_key_is_an_error(tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, repository, "--sign-key", "0" * 40)) == 9
    assert capsys.readouterr().err


def test_a_repository_signed_by_another_key_is_refused(
    tmp_path: Path, repository: Path, gpg: GnuPG, capsys: pytest.CaptureFixture[str]
) -> None:
    other = gpg.new_key("other")
    (tmp_path / "repository.gpg").write_bytes(gpg.export(other))
    assert main(arguments(tmp_path, repository, "--sign-key", other)) == 9
    assert "fetching the package indexes failed" in capsys.readouterr().err


def test_the_archive_is_a_plain_tar_file(tmp_path: Path, repository: Path, gpg: GnuPG) -> None:
    assert main(arguments(tmp_path, repository, "--sign-key", gpg.new_key("bundler"))) == 0
    with tarfile.open(tmp_path / "out.bundle") as packed:
        assert packed.getnames()[:3] == list(archive.HEAD)
