"""Private authorities, certificates and stunnel for the tests of TLS."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Program, answers, eventually

TUNNELS = Path(__file__).resolve().parents[2] / "systemd" / "stunnel"
DAYS = "2"


@dataclass(frozen=True)
class Authority:
    """A private authority; its files are in a folder of its own."""

    folder: Path

    @property
    def pem(self) -> Path:
        """What who trusts it is given."""
        return self.folder / "ca.pem"

    @classmethod
    def create(cls, folder: Path) -> Authority:
        folder.mkdir()
        made = cls(folder)
        made._openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2", f"/CN=test {folder.name}")
        return made

    def issue(self, name: str, alternative: str) -> tuple[Path, Path]:
        """Return a certificate and its key; ``alternative`` as openssl has it (``DNS:localhost``)."""
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        self._openssl(f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr", f"/CN={name}")
        self._openssl(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {DAYS} "
            f"-extfile {name}.ext -out {name}.pem"
        )
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _openssl(self, words: str, subject: str = "") -> None:
        argv = ["openssl", *words.split(), *(["-subj", subject] if subject else [])]
        subprocess.run(argv, check=True, capture_output=True, cwd=self.folder)


def stunnel(name: str, folder: Path, text: str, port: int) -> Program:
    """Start stunnel with these settings; returns when it listens on the port."""
    program = shutil.which("stunnel4") or shutil.which("stunnel")
    assert program, "stunnel is not installed: apt-get install stunnel4"
    conf = folder / f"{name}.conf"
    conf.write_text(text)
    started = Program([program, str(conf)], folder / f"{name}.log")
    eventually(lambda: f"{name} listens: {started.text()}", lambda: started.process.poll() is None and answers(port))
    return started


def shipped(name: str, changes: Mapping[str, str]) -> str:
    """Return the settings of a tunnel as they are shipped, with other values for some of them."""
    lines = []
    left = dict(changes)
    for line in (TUNNELS / name).read_text().splitlines():
        option = line.partition(" =")[0]
        lines.append(f"{option} = {left.pop(option)}" if option in left else line)
    assert not left, f"{name} has no {sorted(left)}"
    return "\n".join([*lines, ""])


@contextmanager
def https_in_front(folder: Path, authority: Authority, listen: int, behind: int) -> Iterator[str]:
    """Serve HTTPS on a port in front of a server that speaks HTTP, as a proxy does; gives the URL."""
    certificate, key = authority.issue("site", "DNS:localhost,IP:127.0.0.1")
    text = f"foreground = yes\n[https]\naccept = 127.0.0.1:{listen}\nconnect = 127.0.0.1:{behind}\n"
    program = stunnel("https", folder, f"{text}cert = {certificate}\nkey = {key}\n", listen)
    try:
        yield f"https://127.0.0.1:{listen}"
    finally:
        program.end()
