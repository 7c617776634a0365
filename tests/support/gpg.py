"""Real OpenPGP keys and signatures in a GnuPG home folder of the test's own."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

makes_keys = all(map(shutil.which, ("gpg", "gpg-agent")))
"""Whether keys can be made here: a build root may have gpg to verify with, but not its agent."""
_ALGORITHM = "ed25519"
_YEAR_2001 = "20010101T000000"


@dataclass(frozen=True)
class GnuPG:
    """A home folder with the keys that a test makes."""

    home: Path

    def run(self, *arguments: str | Path, data: bytes = b"") -> bytes:
        """Run gpg and return its stdout."""
        argv = ["gpg", "--homedir", self.home, "--batch", "--quiet", "--yes", "--passphrase", "", *arguments]
        return subprocess.run(argv, input=data, check=True, capture_output=True).stdout

    def new_key(self, name: str, algorithm: str = _ALGORITHM) -> str:
        """Make a key that can sign and return its fingerprint."""
        return self._created("--quick-gen-key", f"{name} <{name}@example.invalid>", algorithm, "sign")

    def expired_key(self, name: str) -> str:
        """Make a key that expired long ago."""
        user = f"{name} <{name}@example.invalid>"
        return self._created("--faked-system-time", _YEAR_2001, "--quick-gen-key", user, _ALGORITHM, "sign", "1y")

    def add_signing_subkey(self, fingerprint: str) -> str:
        """Add a subkey that signs and return its fingerprint."""
        return self._created("--quick-add-key", fingerprint, _ALGORITHM, "sign")

    def revoke(self, fingerprint: str) -> None:
        """Revoke a key with the certificate that gpg made together with it."""
        text = (self.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text()
        self.run("--import", data=text.replace(":-----BEGIN", "-----BEGIN").encode())

    def export(self, *fingerprints: str, armor: bool = False) -> bytes:
        """Return public keys in one file, in this order."""
        options = ["--armor"] if armor else []
        parts = [self.run(*options, "--export", fingerprint) for fingerprint in fingerprints]
        return b"".join(parts)

    def export_in_one_block(self, *fingerprints: str) -> bytes:
        """Return public keys in a single armored block, in this order."""
        return self.run("--enarmor", data=self.export(*fingerprints)).replace(b"ARMORED FILE", b"PUBLIC KEY BLOCK")

    def _created(self, *arguments: str) -> str:
        status = self.run("--status-fd", "1", "--yes", *arguments).decode()
        return re.findall(r"KEY_CREATED . ([0-9A-F]+)", status)[-1]

    def sign(self, content: bytes, *fingerprints: str, more: tuple[str, ...] = ()) -> bytes:
        """Return an armored detached signature by each of these keys."""
        users = [word for fingerprint in fingerprints for word in ("--local-user", fingerprint)]
        return self.run(*more, "--armor", *users, "--detach-sign", data=content)


@contextmanager
def gnupg(home: Path) -> Iterator[GnuPG]:
    """Make a home folder and end its agent afterwards."""
    home.mkdir(mode=0o700, exist_ok=True)
    try:
        yield GnuPG(home)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
