"""OpenPGP with gpg: is there a key that may sign, and signing with it. Passphrases are the agent's business."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker import process
from refstack_worker.errors import BuildError, ProcessError

SECONDS = 300
"""A signature that takes longer is waiting for a passphrase, and there is no one to type it."""

LEAST_RSA_BITS = 3072
RSA = {"1", "3"}
ELLIPTIC = {"19", "22"}
"""Numbers of the public-key algorithms that apt and rpm take (RFC 4880, section 9.1)."""


@dataclass(frozen=True)
class Key:
    """A key that can sign."""

    fingerprint: str
    """40 hexadecimal digits."""
    user: str
    expires: int
    """Seconds since 1970; 0: never."""


@dataclass(frozen=True)
class OpenPgpKeyring:
    """gpg, and the home that it takes its keys from."""

    home: Path | None = None
    """``None``: ``GNUPGHOME``, or gpg's own default."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of programs that sign."""
        return {**os.environ, **({"GNUPGHOME": str(self.home)} if self.home else {})}

    def gpg(self, *arguments: str | Path) -> str:
        """Run gpg and return what it prints.

        :raises BuildError: it is missing, fails, or waits for a passphrase.
        """
        if not shutil.which("gpg"):
            raise BuildError("gpg: not found; install gpg")
        options = process.Options(env=self.environment, timeout=SECONDS)
        try:
            return process.run(["gpg", "--batch", "--no-tty", *arguments], options).stdout
        except ProcessError as error:
            raise BuildError(str(error)) from error

    def signing_key(self, wanted: str) -> Key:
        """Return the key of that id, if it is here with its secret part and may be used.

        :raises BuildError: it is not here, has expired or is too weak; the message says which.
        """
        if not wanted:
            raise BuildError("no key: name the one to sign with (--key ID); nothing is published unsigned")
        try:
            listing = self.gpg("--with-colons", "--fixed-list-mode", "--list-secret-keys", wanted)
        except BuildError as error:
            raise BuildError(
                f"key {wanted}: no secret key of that id in gpg's keyring; import it, or set GNUPGHOME to where it is"
            ) from error
        return _checked(wanted, [line.split(":") for line in listing.splitlines()])

    def export(self, keys: Sequence[str], target: Path, armoured: bool) -> None:
        """Write the public keys of these ids into one file."""
        words = ["--yes", *(["--armor"] if armoured else []), "--export-options", "export-minimal"]
        self.gpg(*words, "--output", target, "--export", *keys)
        if not target.exists():
            raise BuildError(f"gpg exported nothing for {' '.join(keys)}; is the public key still in the keyring?")

    def clear_sign(self, keys: Sequence[Key], path: Path, target: Path) -> None:
        """Sign a text file with all the keys, the text inside the signed file."""
        self.gpg(*self._users(keys), "--digest-algo", "SHA512", "--yes", "--output", target, "--clear-sign", path)

    def detach_sign(self, keys: Sequence[Key], path: Path, target: Path) -> None:
        """Sign a file with all the keys, the armoured signatures in a file of their own."""
        words = [*self._users(keys), "--digest-algo", "SHA512", "--yes", "--armor"]
        self.gpg(*words, "--output", target, "--detach-sign", path)

    @staticmethod
    def _users(keys: Sequence[Key]) -> list[str]:
        return [word for key in keys for word in ("--local-user", f"{key.fingerprint}!")]


def _checked(wanted: str, lines: Sequence[Sequence[str]]) -> Key:
    primary = [line for line in lines if line[0] == "sec"]
    if len(primary) != 1:
        raise BuildError(f"key {wanted}: {len(primary)} keys match; name one by its fingerprint")
    line = primary[0]
    fingerprint = next(words[9] for words in lines if words[0] == "fpr")
    user = next((words[9] for words in lines if words[0] == "uid"), "")
    expires = int(line[6] or 0)
    if line[1] in "er" or (expires and expires <= time.time()):
        raise BuildError(f"key {wanted}: expired or revoked; extend it with gpg, or roll over to another (rollover)")
    weak = line[3] not in RSA | ELLIPTIC or (line[3] in RSA and int(line[2]) < LEAST_RSA_BITS)
    if weak:
        raise BuildError(f"key {wanted}: too weak for apt and rpm; use RSA with 4096 bits, or Ed25519")
    return Key(fingerprint, user, expires)
