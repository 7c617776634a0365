"""The signed provenance of what a repository holds: one DSSE envelope for each package, beside the packages."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refstack_worker import process
from refstack_worker.builder.packages import provenance
from refstack_worker.builder.repository.repository import KEYRING, Repository, replace_file
from refstack_worker.builder.repository.signing import Key, OpenPgpKeyring
from refstack_worker.errors import BuildError
from refstack_worker.filesystem import write_whole

SUFFIX = ".intoto.jsonl"
_VALID = re.compile(r"^\[GNUPG:\] VALIDSIG (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Provenance:
    """What a package's checked provenance says."""

    file: str
    builder: str
    keys: tuple[str, ...]
    """Fingerprints of the trusted keys that signed it."""
    vulnerabilities: str
    """``not checked``, ``none known``, or the ids."""


def folder(repository: Repository) -> Path:
    """Return where a repository keeps the envelopes."""
    return repository.root / "provenance"


def place_of(repository: Repository, package: Path) -> Path:
    return folder(repository) / f"{package.name}{SUFFIX}"


def add(repository: Repository, built: Path, published: Path, undo: ExitStack) -> bool:
    """Keep the statement beside a built package for signing, unless there is a provenance already.

    :returns: whether it was added.
    :param published: the package in the repository, where an RPM has other bytes: it is signed.
    :raises BuildError: the statement is about another file.
    """
    beside = built.with_name(built.name + provenance.SUFFIX)
    place = place_of(repository, published)
    if place.exists() or not beside.exists():
        return False
    value = provenance.read(beside)
    if provenance.subject_of(value) != (built.name, provenance.digest_of(built)):
        raise BuildError(f"{beside}: describes a file other than {built.name}; build the package again")
    undo.callback(place.unlink, missing_ok=True)
    _keep(place, provenance.payload_of(provenance.about(value, published)), {})
    return True


def renew(repository: Repository, package: Path) -> None:
    """Let the provenance of a package that was signed again follow its new bytes."""
    place = place_of(repository, package)
    if place.exists():
        payload, _signatures = provenance.opened(place.read_bytes(), str(place))
        value = provenance.checked(json.loads(payload), str(place))
        _keep(place, provenance.payload_of(provenance.about(value, package)), {})


def sign(repository: Repository, keys: Sequence[Key], keyring: OpenPgpKeyring, work: Path) -> Path:
    """Sign with all the keys what was not signed by exactly these; return the folder with the new envelopes."""
    made = work / "provenance"
    made.mkdir()
    for place in sorted(folder(repository).glob(f"*{SUFFIX}")):
        payload, signatures = provenance.opened(place.read_bytes(), str(place))
        # which keys signed is not a secret
        signers = sorted(signatures)
        if signers != sorted(key.fingerprint for key in keys):
            signed = {key.fingerprint: _signature(payload, key, keyring, work) for key in keys}
            (made / place.name).write_bytes(provenance.envelope(payload, signed))
    return made


def place_signed(made: Path, repository: Repository) -> None:
    for path in sorted(made.iterdir()):
        replace_file(path, folder(repository) / path.name)


def check(repository: Repository, package: Path, keyring: Path | None = None) -> Provenance:
    """Return what the provenance of a published package says, once its signature and its digest are right.

    :param keyring: file with the public keys that are trusted; None: the repository's own.
    :raises BuildError: there is no provenance, or it is wrong.
    """
    place = place_of(repository, package)
    if not place.exists():
        raise BuildError(f"{package.name}: has no provenance; publish it together with its {provenance.SUFFIX} file")
    payload, signatures = provenance.opened(place.read_bytes(), str(place))
    trusted = keyring or repository.root / f"{KEYRING}.gpg"
    allowed = None if keyring else set(repository.record().keys)
    signers = [key for sig in signatures.values() for key in _signers(payload, sig, trusted)]
    good = tuple(sorted({key for key in signers if allowed is None or key in allowed}))
    if not good:
        raise BuildError(f"{place}: has no valid signature from a key in {trusted}; the provenance cannot be trusted")
    value = provenance.checked(json.loads(payload), str(place))
    if provenance.subject_of(value) != (package.name, provenance.digest_of(package)):
        raise BuildError(f"{package}: differs from the file that its provenance describes; it was changed since")
    details = value["predicate"]["runDetails"]
    return Provenance(package.name, str(details["builder"]["id"]), good, _vulnerabilities(details))


def _vulnerabilities(details: dict[str, object]) -> str:
    byproducts = details.get("byproducts") or []
    assert isinstance(byproducts, list)  # noqa: S101 - for the type checker
    known = [one.get("annotations", {}) for one in byproducts if one.get("name") == "vulnerabilities"]
    report: dict[str, Any] = known[0] if known else {}
    if not report.get("checked"):
        return "not checked"
    return ", ".join(sorted({one["id"] for one in report["found"]})) or "none known"


def _keep(place: Path, payload: bytes, signatures: dict[str, bytes]) -> None:
    place.parent.mkdir(mode=0o755, exist_ok=True)
    write_whole(place, provenance.envelope(payload, signatures))


def _signature(payload: bytes, key: Key, keyring: OpenPgpKeyring, work: Path) -> bytes:
    signed, signature = work / "statement", work / "statement.sig"
    signed.write_bytes(provenance.encoded(payload))
    keyring.detach_sign([key], signed, signature, armoured=False)
    return signature.read_bytes()


def _signers(payload: bytes, signature: bytes, keyring: Path) -> list[str]:
    """Return the primary fingerprints of the keys whose good signature this is."""
    if not shutil.which("gpgv"):
        raise BuildError("gpgv: not found; install gpgv")
    with tempfile.TemporaryDirectory() as scratch:
        content, detached = Path(scratch, "content"), Path(scratch, "content.sig")
        content.write_bytes(provenance.encoded(payload))
        detached.write_bytes(signature)
        common = ["gpgv", "--homedir", scratch, "--status-fd", "1", "--keyring", str(keyring.absolute())]
        words = [*common, str(detached), str(content)]
        done = process.run(words, process.Options(check=False))
    if done.returncode != 0 or "[GNUPG:] GOODSIG" not in done.stdout:
        return []
    return [line.split()[-1] for line in _VALID.findall(done.stdout)]
