"""Another machine, as far as the network goes: a network namespace that reaches the API by HTTPS and nothing else.

The name ``refstack.example`` is that of the server there, and its certificate is signed by an authority made for the
test. What is run there has its own home and reads no settings of the server.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TOP = Path(__file__).resolve().parents[2]
NAME = "refstack.example"
PIECE = 65536


@dataclass(frozen=True)
class Elsewhere:
    """A namespace and the home of the user who works there."""

    namespace: str
    home: Path

    def run(self, script: str, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a line of bash there."""
        words = ["ip", "netns", "exec", self.namespace, "bash", "-c", script]
        environment = {
            "PATH": f"{self.home}/bin:{os.environ['PATH']}",
            "HOME": str(self.home),
            "CURL_CA_BUNDLE": str(self.home / "ca.pem"),
            "REFSTACK_CA_FILE": str(self.home / "ca.pem"),
            **(more or {}),
        }
        return subprocess.run(
            words, capture_output=True, text=True, cwd=self.home, env=environment, check=False, timeout=120
        )


@contextmanager
def elsewhere(folder: Path, port: int) -> Iterator[Elsewhere]:
    """Make the namespace; requests for ``https://refstack.example`` from there arrive at a port of loopback here."""
    name, block = f"rsq{os.getpid()}", os.getpid() % 16384
    here, there = (f"10.214.{block // 64}.{block % 64 * 4 + at}" for at in (1, 2))
    home = folder / "home"
    _furnish(home)
    with ExitStack() as clean:
        clean.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
        _network(name, here, there)
        # 'ip netns exec' shows these files as /etc/hosts and so on
        files = Path("/etc/netns", name)
        clean.callback(shutil.rmtree, files, ignore_errors=True)
        files.mkdir(parents=True)
        (files / "hosts").write_text(f"127.0.0.1 localhost\n{here} {NAME}\n")
        clean.enter_context(_https(here, port, _certificate(home)))
        yield Elsewhere(name, home)


def _furnish(home: Path) -> None:
    command = home / "bin" / "refstack-queue"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={TOP} exec {sys.executable} -m refstack_worker.cli.queue.main "$@"\n')
    command.chmod(0o755)
    # so that the lines of a page are run as they stand there
    (home / ".curlrc").write_text('silent\nshow-error\nfail-with-body\nwrite-out = "%{stderr}%{http_code}"\n')


def _network(name: str, here: str, there: str) -> None:
    within = f"ip -n {name}"
    for line in (
        f"ip netns add {name}",
        f"ip link add {name}h type veth peer name {name}n netns {name}",
        f"ip addr add {here}/30 dev {name}h",
        f"ip link set {name}h up",
        f"{within} link set lo up",
        f"{within} addr add {there}/30 dev {name}n",
        f"{within} link set {name}n up",
    ):
        subprocess.run(line.split(), check=True)


def _certificate(home: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (home / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (home.parent / "key.pem").write_bytes(key.private_bytes(*formats))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "ca.pem", home.parent / "key.pem")
    return context


@contextmanager
def _https(address: str, port: int, context: ssl.SSLContext) -> Iterator[None]:
    """Take TLS off and pass everything on, as the proxy in front of a server does."""
    with socket.create_server((address, 443)) as plain:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                with suppress(OSError):
                    taken, _ = plain.accept()
                    threading.Thread(target=_pass_on, args=(taken, context, port), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            # accept() does not return by itself
            with suppress(OSError):
                plain.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _pass_on(taken: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError), context.wrap_socket(taken, server_side=True) as outer:
        with socket.create_connection(("127.0.0.1", port)) as inner:
            back = threading.Thread(target=_copy, args=(inner, outer), daemon=True)
            back.start()
            _copy(outer, inner)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(PIECE):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
