"""The yum half of a repository: signed RPMs, and metadata made by createrepo_c whose ``repomd.xml`` is signed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker import process
from refstack_worker.builder.repository.repository import Repository, replace_file
from refstack_worker.builder.repository.signing import Key, OpenPgpKeyring
from refstack_worker.errors import BuildError, ProcessError

OLD_METADATA = 2
"""Generations of metadata that stay, for clients that read an older ``repomd.xml``."""

QUERY = "%{NAME}\n%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n%{ARCH}\n%{SHA256HEADER}\n"


@dataclass(frozen=True)
class RpmFile:
    """A file for the repository."""

    path: Path
    package: str
    version: str
    """Epoch, version and release."""
    architecture: str
    header: str
    """SHA-256 of what is in it; signing does not change it."""


def inspect(path: Path) -> RpmFile:
    """Read what an RPM says of itself.

    :raises BuildError: it is none, or rpm is not installed.
    """
    try:
        said = process.run(["rpm", "--query", "--package", "--nosignature", "--queryformat", QUERY, path]).stdout
    except ProcessError as error:
        raise BuildError(f"{path}: not an RPM, or rpm is not installed: {error}") from error
    name, version, architecture, header = said.splitlines()[:4]
    return RpmFile(path, name, version, architecture, header)


def sign(path: Path, key: Key, keyring: OpenPgpKeyring) -> None:
    """Sign an RPM in place, in place of the signature that it may have.

    :raises BuildError: it cannot be signed.
    """
    if not shutil.which("rpmsign"):
        raise BuildError("rpmsign: not found; install rpm (Debian) or rpm-sign")
    settings = {"_gpg_name": key.user_id, "_gpg_digest_algo": "sha512", "__gpg": shutil.which("gpg") or "gpg"}
    if keyring.home:
        settings["_gpg_path"] = str(keyring.home)
    defines = [word for name, value in settings.items() for word in ("--define", f"{name} {value}")]
    try:
        process.run(["rpmsign", *defines, "--resign", path], process.Options(env=keyring.environment, timeout=300))
    except ProcessError as error:
        raise BuildError(str(error)) from error


def make_metadata(repository: Repository, keys: Sequence[Key], keyring: OpenPgpKeyring, work: Path) -> Path:
    """Make the metadata of the RPMs that are there and sign them; :func:`place_metadata` makes them visible.

    :param work: an empty folder; they are made below it.
    :raises BuildError: createrepo_c is missing or signing fails.
    """
    if not shutil.which("createrepo_c"):
        raise BuildError("createrepo_c: not found; install createrepo-c (Debian) or createrepo_c")
    made = work / "repodata"
    words = ["createrepo_c", "--quiet", "--checksum=sha256", "--no-database", "--location-prefix=packages/"]
    process.run([*words, f"--outputdir={work}", repository.rpms])
    keyring.detach_sign(keys, made / "repomd.xml", made / "repomd.xml.asc")
    return made


def place_metadata(made: Path, repository: Repository) -> None:
    """Put metadata in place, ``repomd.xml`` last."""
    target = repository.yum / "repodata"
    names = sorted(path.name for path in made.iterdir())
    for name in (name for name in names if not name.startswith("repomd.xml")):
        replace_file(made / name, target / name)
    for name in ("repomd.xml.asc", "repomd.xml"):
        replace_file(made / name, target / name)
    _forget_old(target, len(names) - 2)


def _forget_old(folder: Path, each: int) -> None:
    there = [path for path in folder.iterdir() if not path.name.startswith("repomd.xml")]
    there.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for old in there[each * (1 + OLD_METADATA) :]:
        old.unlink()
