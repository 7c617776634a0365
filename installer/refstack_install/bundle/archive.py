"""A bundle: packages, wheels (inside the packages) and key in one signed file.

A tar file: ``manifest.json`` (the SHA-256 of everything else), ``manifest.json.asc`` (its detached signature),
``key.asc``, and a signed repository below ``apt/`` or ``yum/``. Nothing is used before the key matches the fingerprint
in the answers, the manifest matches its signature, and each file matches its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from refstack_install import files
from refstack_install.bundle import signature
from refstack_install.errors import AnswersError, BundleError
from refstack_install.system import System

FOLDER = "/var/lib/refstack-install/bundle"
"""Where the bundle is unpacked on a node."""
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.asc"
KEY = "key.asc"
HEAD = (MANIFEST, SIGNATURE, KEY)
"""The first members, in this order."""
FORMAT = 1
MAX_HEAD_BYTES = 8 * 1024 * 1024
CHUNK = 1024 * 1024


def manifest_of(file: Path) -> bytes:
    """Return a bundle's manifest, unverified. :raises BundleError: the file is not a bundle."""
    return _open_head(file)[MANIFEST]


def verified_head(file: Path, pins: Sequence[str], system: System) -> dict[str, bytes]:
    """Return a bundle's manifest, signature and key file.

    :raises AnswersError: no key is pinned. :raises BundleError: the manifest is not signed by a pinned key.
    """
    if not pins:
        raise AnswersError(
            "repository.fingerprint is missing",
            "a bundle is trusted only by the fingerprint of its key",
            "ask the people who made the bundle for it",
        )
    head = _open_head(file)
    signature.check(head[MANIFEST], head[SIGNATURE], head[KEY], pins, system)
    return head


def extract(file: Path, folder: Path, pins: Sequence[str], system: System) -> None:
    """Verify a bundle and unpack it. :raises BundleError: it is damaged or must not be trusted."""
    head = verified_head(file, pins, system)
    sums = json.loads(head[MANIFEST])["files"]
    folder.mkdir(mode=0o755, parents=True)
    try:
        with tarfile.open(file) as archive:
            for member in archive:
                if member.name not in (MANIFEST, SIGNATURE):
                    _extract_one(archive, member, sums, folder)
    except tarfile.TarError as error:
        raise BundleError(f"{file} is damaged or incomplete", str(error), "copy the bundle again") from None
    missing = sorted(set(sums) - {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()})
    if missing:
        raise BundleError(f"{file}: {missing[0]} is missing", "the file is incomplete", "copy it again")
    files.write(files.TargetFile(folder / MANIFEST, head[MANIFEST]))


def _open_head(file: Path) -> dict[str, bytes]:
    head: dict[str, bytes] = {}
    try:
        with tarfile.open(file) as archive:
            for name in HEAD:
                member = archive.next()
                content = archive.extractfile(member) if member is not None and member.isfile() else None
                if member is None or member.name != name or content is None or member.size > MAX_HEAD_BYTES:
                    raise BundleError(f"{file} is not a bundle", todo="check bundle.file")
                head[name] = content.read()
        if json.loads(head[MANIFEST])["format"] != FORMAT:
            raise BundleError(f"{file} has another format", todo="use the refstack-install that made it")
    except OSError as error:
        raise BundleError(f"cannot read {file}", error.strerror or str(error), "check bundle.file") from None
    except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{file} is not a bundle", str(error), "check bundle.file") from None
    return head


def _extract_one(archive: tarfile.TarFile, member: tarfile.TarInfo, sums: dict[str, str], folder: Path) -> None:
    path = PurePosixPath(member.name)
    source = archive.extractfile(member) if member.isfile() else None
    if source is None or path.is_absolute() or ".." in path.parts or member.name not in sums:
        raise BundleError(f"{member.name} does not belong in a bundle", todo="get the bundle from a source you trust")
    place = folder / path
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if _copy(source, place) != sums[member.name]:
        raise BundleError(f"{member.name} is damaged", "its SHA-256 differs from the manifest", "copy the bundle again")


def _copy(source: IO[bytes], place: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(place, "wb") as out:
            while part := source.read(CHUNK):
                digest.update(part)
                out.write(part)
    except OSError as error:
        raise BundleError(f"cannot write {place}", error.strerror or "", "free space and run again") from error
    place.chmod(0o644)
    return digest.hexdigest()


def write(tree: Path, output: Path, sign: System, key_id: str) -> None:
    """Make a bundle from a tree (``apt/``, ``yum/``) and sign it with gpg. :raises BundleError: it cannot be made."""
    exported = sign.run(["gpg", "--batch", "--armor", "--export-options", "export-minimal", "--export", key_id])
    if exported.status != 0 or not exported.out:
        raise BundleError(f"gpg has no key {key_id}", exported.output_tail, "'gpg --list-secret-keys' lists the keys")
    (tree / KEY).write_text(exported.out)
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
    sums = {name: _sum(tree / name) for name in names}
    (tree / MANIFEST).write_text(json.dumps({"format": FORMAT, "files": sums}, indent=1, sort_keys=True) + "\n")
    signing = ["gpg", "--batch", "--yes", "--armor", "--local-user", key_id, "--output", str(tree / SIGNATURE)]
    done = sign.run([*signing, "--detach-sign", str(tree / MANIFEST)])
    if done.status != 0:
        raise BundleError("cannot sign the manifest", done.output_tail, "check the secret key and gpg-agent")
    fresh = output.with_name(output.name + ".new")
    with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in (*HEAD, *(name for name in names if name != KEY)):
            archive.add(tree / name, name, filter=_anonymous)
    shutil.move(str(fresh), output)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime, member.mode = 0, 0o644
    return member


def _sum(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while part := source.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()
