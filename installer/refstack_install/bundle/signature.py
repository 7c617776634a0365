"""Checks a detached signature: it must be good, and made by a pinned key."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from refstack_install import openpgp
from refstack_install.errors import BundleError
from refstack_install.system import Completed, System

_STATUS = re.compile(r"^\[GNUPG:\] (\S+) ?(.*)$", re.M)


def check(content: bytes, signature: bytes, key: bytes, pins: Sequence[str], system: System) -> None:
    """Check a signature. ``key`` is a key file of any origin; only its pinned keys count.

    :raises AnswersError: the key file has none of the pinned keys. :raises BundleError: the signature is not theirs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        keyring = folder / "keyring.gpg"
        keyring.write_bytes(openpgp.only_pinned(key, pins))
        (folder / "content").write_bytes(content)
        (folder / "content.asc").write_bytes(signature)
        done = system.run(_command(system, keyring, folder))
    if done.status != 0 or not _signers(done) & set(pins):
        reason = done.output_tail.replace("\n", " | ")
        raise BundleError("the bundle's signature is wrong", reason, "get the bundle from a source you trust")


def _command(system: System, keyring: Path, folder: Path) -> list[str]:
    files = [str(folder / "content.asc"), str(folder / "content")]
    common = ["--homedir", str(folder), "--status-fd", "1", "--keyring", str(keyring)]
    if system.has("gpgv"):
        return ["gpgv", *common, *files]
    if system.has("sqv"):
        return ["sqv", "--keyring", str(keyring), *files]
    if system.has("gpg"):
        return ["gpg", "--batch", "--no-default-keyring", "--trust-model", "always", *common, "--verify", *files]
    raise BundleError("no program here can check a signature", todo="install gpgv, sqv or gpg")


def _signers(done: Completed) -> set[str]:
    """Return the primary fingerprints of the good signatures."""
    if done.argv[0] == "sqv":  # prints the fingerprint of the certificate, and nothing else
        return set(done.out.split())
    status = _STATUS.findall(done.out)
    if "GOODSIG" not in {word for word, _ in status}:  # expired and revoked keys have a status of their own
        return set()
    return {rest.split()[-1] for word, rest in status if word == "VALIDSIG"}
