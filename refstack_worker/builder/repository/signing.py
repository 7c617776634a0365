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
SHORTEST_ID = 8
"""Hexadecimal digits by which a subkey may be named."""

RSA = {"1", "3"}
ELLIPTIC = {"19", "22"}
"""Numbers of the public-key algorithms that apt and rpm take (RFC 4880, section 9.1)."""


@dataclass(frozen=True)
class Key:
    """A key that can sign."""

    fingerprint: str
    """Fingerprint of the primary key, by which nodes know it; 40 hexadecimal digits."""
    user: str
    expires: int
    """Of what signs, in seconds since 1970; 0: never."""
    signer: str = ""
    """Fingerprint of the subkey that signs; empty: the primary key itself."""

    @property
    def user_id(self) -> str:
        """The key that gpg and rpm are asked to sign with: exactly this key or subkey."""
        return f"{self.signer or self.fingerprint}!"


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
            raise BuildError("no signing key: name one with --key ID; nothing is published unsigned")
        try:
            # without the '!' by which one subkey is meant: its primary key is needed beside it
            listing = self.gpg("--with-colons", "--fixed-list-mode", "--with-subkey-fingerprint", "--list-secret-keys",
                               wanted.rstrip("!"))  # fmt: skip
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

    def detach_sign(self, keys: Sequence[Key], path: Path, target: Path, armoured: bool = True) -> None:
        """Sign a file with all the keys; the signatures go into a separate file."""
        words = [*self._users(keys), "--digest-algo", "SHA512", "--yes", *(["--armor"] if armoured else [])]
        self.gpg(*words, "--output", target, "--detach-sign", path)

    @staticmethod
    def _users(keys: Sequence[Key]) -> list[str]:
        return [word for key in keys for word in ("--local-user", key.user_id)]


@dataclass(frozen=True)
class _Part:
    """A primary key or a subkey, as gpg lists it."""

    is_primary: bool
    fingerprint: str
    validity: str
    bits: int
    algorithm: str
    created: int
    expires: int
    capabilities: str
    held: str
    """``+`` where the secret part is here, ``#`` where it is not; empty in listings of old versions."""

    @classmethod
    def of(cls, line: Sequence[str], fingerprint: str) -> _Part:
        held = line[14] if len(line) > 14 else ""
        return cls(line[0] == "sec", fingerprint, line[1], int(line[2]), line[3], int(line[5] or 0), int(line[6] or 0),
                   line[11], held)  # fmt: skip

    @property
    def is_here(self) -> bool:
        return self.held != "#" and "D" not in self.capabilities

    @property
    def signs(self) -> bool:
        return "s" in self.capabilities

    @property
    def is_over(self) -> bool:
        return bool(set(self.validity) & set("er")) or bool(self.expires and self.expires <= time.time())

    @property
    def is_weak(self) -> bool:
        return self.algorithm not in RSA | ELLIPTIC or (self.algorithm in RSA and self.bits < LEAST_RSA_BITS)


def _checked(wanted: str, lines: Sequence[Sequence[str]]) -> Key:
    parts = _parts(lines)
    primary = [part for part in parts if part.is_primary]
    if len(primary) != 1:
        raise BuildError(f"key {wanted}: {len(primary)} keys match; name one by its fingerprint")
    user = next((words[9] for words in lines if words[0] == "uid"), "")
    if primary[0].is_over:
        raise BuildError(f"key {wanted}: expired or revoked; extend it with gpg, or roll over to another (rollover)")
    part = _signing(wanted, primary[0], parts[1:])
    if part.is_weak:
        raise BuildError(f"key {wanted}: too weak for apt and rpm; use RSA with 4096 bits, or Ed25519")
    return Key(primary[0].fingerprint, user, part.expires, "" if part.is_primary else part.fingerprint)


def _parts(lines: Sequence[Sequence[str]]) -> list[_Part]:
    found, line = [], None
    for words in lines:
        if words[0] in ("sec", "ssb"):
            line = words
        elif words[0] == "fpr" and line is not None:
            found.append(_Part.of(line, words[9]))
            line = None
    return found


def _signing(wanted: str, primary: _Part, subkeys: Sequence[_Part]) -> _Part:
    """Return what signs: the subkey that was named, else the primary key, else the newest subkey that can.

    :raises BuildError: none can; the message says why.
    """
    named = wanted.rstrip("!").removeprefix("0x").upper()
    chosen = [part for part in subkeys if len(named) >= SHORTEST_ID and part.fingerprint.endswith(named)]
    able = chosen or [part for part in (primary, *sorted(subkeys, key=lambda part: -part.created)) if part.signs]
    if not any(part.signs for part in able):
        raise BuildError(f"key {wanted}: cannot sign; add a signing subkey (gpg --quick-add-key)")
    here = [part for part in able if part.is_here]
    if not here:
        raise BuildError(
            f"key {wanted}: neither its secret key nor that of a signing subkey is in the keyring; import one"
        )
    valid = [part for part in here if not part.is_over]
    if not valid:
        raise BuildError(f"key {wanted}: its signing subkey expired or was revoked; add another (gpg --quick-add-key)")
    return valid[0]
