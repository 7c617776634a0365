"""The apt half of a repository: a pool, and below ``dists`` the indices that are signed.

Made with Debian's own apt-ftparchive. reprepro (5.3, in Debian 12) knows neither SHA-512 nor by-hash, aptly signs with
one key only, so that a key cannot be rolled over; both keep a database that can disagree with the files. Here the pool
is the source, and everything else is generated from it.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker import process
from refstack_worker.builder.repository.repository import Record, Repository, replace_file
from refstack_worker.builder.repository.signing import Key, OpenPgpKeyring
from refstack_worker.errors import BuildError

ARCHITECTURES = ("amd64", "arm64")
COMPONENT = "main"
BY_HASH_KEPT = 3
"""Generations of each index that stay, for clients that read an older InRelease."""


@dataclass(frozen=True)
class DebianFile:
    """A file for the pool."""

    path: Path
    package: str
    version: str

    @property
    def place(self) -> str:
        """Where it goes below the pool, named as Debian does."""
        return f"{self.package[0]}/{self.package}/{self.path.name}"


def inspect(path: Path) -> DebianFile:
    """Read what a package says of itself.

    :raises BuildError: the file is not a Debian package.
    """
    if path.suffix == ".deb":
        done = process.run(["dpkg-deb", "--show", "--showformat=${Package}\n${Version}", path],
                           process.Options(check=False))  # fmt: skip
        if done.returncode != 0:
            raise BuildError(f"{path}: not a Debian package: {done.stderr.strip()}")
        package, version = done.stdout.split("\n")
        return DebianFile(path, package, version)
    package, _, rest = path.name.partition("_")
    version = rest.removesuffix(".dsc").removesuffix(".asc")
    return DebianFile(path, package, version.partition(".orig.")[0].partition(".debian.")[0])


def make_indices(
    repository: Repository, record: Record, keys: Sequence[Key], keyring: OpenPgpKeyring, work: Path
) -> Path:
    """Make the indices of what is in the pool and sign them; :func:`place_indices` makes them visible.

    :param work: an empty folder; they are made below it.
    :raises BuildError: a tool is missing or signing fails.
    """
    if not shutil.which("apt-ftparchive"):
        raise BuildError("apt-ftparchive: not found; install apt-utils")
    dists = work / "dists" / record.suite
    for architecture in ARCHITECTURES:
        text = _ftparchive(repository.apt, "--arch", architecture, "packages", f"pool/{COMPONENT}")
        _write_index(dists / COMPONENT / f"binary-{architecture}" / "Packages", text)
    sources = _ftparchive(repository.apt, "sources", f"pool/{COMPONENT}")
    _write_index(dists / COMPONENT / "source" / "Sources", sources)
    (dists / "Release").write_text(_release(record.suite, dists))
    keyring.clear_sign(keys, dists / "Release", dists / "InRelease")
    keyring.detach_sign(keys, dists / "Release", dists / "Release.gpg")
    return dists


def _ftparchive(folder: Path, *arguments: str | Path) -> str:
    weak = ["-o", "APT::FTPArchive::MD5=false", "-o", "APT::FTPArchive::SHA1=false"]
    return process.run(["apt-ftparchive", "--quiet", *weak, *arguments], process.Options(cwd=folder)).stdout


def _write_index(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    data = text.encode()
    path.write_bytes(data)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    path.with_name(f"{path.name}.xz").write_bytes(lzma.compress(data))


def _release(suite: str, folder: Path) -> str:
    fields = {
        "Origin": "RefStack",
        "Label": "RefStack",
        "Suite": suite,
        "Codename": suite,
        "Architectures": " ".join(ARCHITECTURES),
        "Components": COMPONENT,
        "Description": "RefStack worker, queue and Tempest versions",
        "Acquire-By-Hash": "yes",
    }
    settings = [word for name, value in fields.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    return _ftparchive(folder, *settings, "release", ".")


def place_indices(made: Path, repository: Repository, record: Record) -> None:
    """Put indices in place: what is found by its hash, then the indices under their names, then what is signed."""
    target = repository.apt / "dists" / record.suite
    for index in sorted(path for path in made.rglob("*") if path.is_file() and path.parent != made):
        folder = target / index.parent.relative_to(made)
        _keep_by_hash(index, folder)
        replace_file(index, folder / index.name)
    for name in ("Release.gpg", "Release", "InRelease"):
        replace_file(made / name, target / name)


def _keep_by_hash(index: Path, folder: Path) -> None:
    data = index.read_bytes()
    for name, digest in (("SHA256", hashlib.sha256(data)), ("SHA512", hashlib.sha512(data))):
        place = folder / "by-hash" / name
        replace_file(index, place / digest.hexdigest())
        os.utime(place / digest.hexdigest())
        there = sorted((path for path in place.iterdir()), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in there[BY_HASH_KEPT * 3 :]:  # three forms of each index: plain, gz, xz
            old.unlink()
