"""A site for the installer's tests: the project's own packages in a signed repository, gearmand, and bare machines."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from refstack_worker import process
from refstack_worker.builder.chroots import PYTHONS
from refstack_worker.builder.repository.publish import Publisher
from refstack_worker.builder.repository.repository import Repository
from refstack_worker.contract import keys
from tests.support.machines import BARE, Machine, cache
from tests.support.mirror import SITE, Mirror

TOP = Path(__file__).resolve().parents[2]
TEMPEST = "47.0.0"
EXCLUDE_NEWER = "2026-11-20"
GIVEN = os.environ.get("REFSTACK_TEST_PACKAGES", "")
"""Folder with packages to test, in place of building those of the commit."""
NEXT = "0.1.1"
"""A version that is newer than any snapshot of this one: what nodes are upgraded to."""
NODE = "node-1"
INSTALLER = "/root/refstack-install"
ANSWERS = "/root/answers.toml"
OTHERS = re.compile(
    r"\./(proc|sys|dev|run|tmp|root|var/log|var/cache|var/tmp|var/lib/(apt|dpkg|systemd))/"
    r"|\./etc/(\.pwd\.lock|(passwd|group|shadow|gshadow|subuid|subgid)-|mtab|ld\.so\.cache|resolv\.conf)"
)
"""Files that installing and removing any package changes: caches, logs, the package manager's own notes."""


@dataclass(frozen=True)
class Site:
    """A published repository, and the keys of a fleet."""

    folder: Path
    fingerprint: str

    @property
    def repository(self) -> Path:
        """Folder of the repository."""
        return self.folder / "repository"


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Publish the project's packages, signed with a fresh key."""
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    before = os.environ.get("GNUPGHOME")
    os.environ["GNUPGHOME"] = str(home)
    try:
        key = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "t <t@example.invalid>", "rsa3072"]
        subprocess.run([*key, "sign"], check=True, capture_output=True)
        listing = subprocess.run(["gpg", "--list-keys", "--with-colons"], capture_output=True, text=True, check=True)
        fingerprint = next(line.split(":")[9] for line in listing.stdout.splitlines() if line.startswith("fpr"))
        Publisher(Repository(folder / "repository"), key=fingerprint, url=f"http://{SITE}").publish(packages())
        for kind in ("seal", "sign"):
            keys.generate_pair(kind, folder / f"{kind}.key", folder / f"{kind}.pub")
        yield Site(folder, fingerprint)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False)
        if before is None:
            del os.environ["GNUPGHOME"]
        else:
            os.environ["GNUPGHOME"] = before


def packages() -> list[Path]:
    """Return the Debian packages of this commit and of Tempest, built when they are not in the cache."""
    folder = Path(GIVEN) if GIVEN else _built()
    return sorted(path for path in folder.rglob("*.deb") if not {"next", "as-next"} & set(path.parts))


def next_packages() -> list[Path]:
    """Return the project's own packages under the version ``NEXT``, built when they are not in the cache."""
    folder = Path(GIVEN) if GIVEN else cache() / "packages" / f"installer-{_commit()}"
    if not sorted((folder / "next").glob("*.deb")):
        build = [sys.executable, TOP / "packaging" / "build", "deb", "--nocheck", "--version", NEXT]
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([*build, "--out", scratch], check=True, env={**os.environ, "PYTHONPATH": str(TOP)})
            shutil.copytree(Path(scratch, "deb"), folder / "next", dirs_exist_ok=True)
    return sorted((folder / "next").glob("*.deb"))


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=TOP, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _built() -> Path:
    folder = cache() / "packages" / f"installer-{_commit()}"
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        build = [sys.executable, TOP / "packaging" / "build", "deb", "--nocheck", "--out", folder]
        subprocess.run(build, check=True, env=environment)
        (folder / "complete").touch()
    tempest = cache() / "packages" / f"tempest-{TEMPEST}{'-trixie' if python_of('trixie') else ''}"
    if not (tempest / "complete").exists():
        words = ["build", TEMPEST, "--python", "3.11", "--format", "deb", "--exclude-newer", EXCLUDE_NEWER]
        more = python_of("trixie")
        words += ["--also-python", more] if more else []
        words += ["--cache", cache() / "package", "--output", tempest / "locks", "--out", tempest]
        argv = [sys.executable, "-m", "refstack_worker.cli.package.main", *words]
        subprocess.run(argv, check=True, env=environment, cwd=TOP)
        (tempest / "complete").touch()
    for package in tempest.glob("*.deb"):
        shutil.copy(package, folder)
    return folder


def python_of(suite: str) -> str:
    """Return an interpreter of this machine of the version that a Debian release has; empty when there is none."""
    version = PYTHONS[suite]
    places = [
        shutil.which(f"python{version}") or "",
        *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
    ]
    return next((place for place in places if place and _works(place)), "")


def _works(interpreter: str) -> bool:
    """A version manager may put a name on the path that leads to nothing."""
    return subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode == 0


def installer() -> bytes:
    """Return the built installer."""
    made = cache() / "refstack-install"
    subprocess.run(
        [sys.executable, TOP / "tools" / "onefile", "refstack-install", "--output", made],
        check=True,
        capture_output=True,
    )
    return made.read_bytes()


class _Quiet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Node:
    """A bare machine that is to become a node, with what surrounds it: repository, gearmand, a server."""

    def __init__(self, site: Site, suite: str = "bookworm", network: bool = True) -> None:
        self.site = site
        self.machine = Machine(suite, (*BARE, "python3"))
        self._network = network
        self._clean = ExitStack()
        self._gearmand: subprocess.Popen[Any] | None = None
        self.gearman = ""
        self.answers: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Node:
        try:
            self._begin()
        except BaseException:
            self._clean.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._clean.close()

    def _begin(self) -> None:
        machine = self._clean.enter_context(self.machine)
        if self._network:
            self.mirror = self._clean.enter_context(Mirror(self.site.repository))
            self.proxy = f"http://{machine.host}:{self.mirror.port}"
            machine.write("/etc/apt/apt.conf.d/00proxy", f'Acquire::http::Proxy "{self.proxy}";\n')
        with socket.create_server((machine.host, 0)) as probe:
            port = probe.getsockname()[1]
        self.gearman = f"{machine.host}:{port}"
        self.start_gearmand()
        self._clean.callback(self.stop_gearmand)
        server = ThreadingHTTPServer((machine.host, 0), _Quiet)
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        self._clean.callback(server.shutdown)
        self.url = f"http://{machine.host}:{server.server_port}"
        machine.write(INSTALLER, installer(), 0o755)
        machine.write("/root/fleet.key", (self.site.folder / "seal.key").read_bytes(), 0o600)
        machine.write("/root/server.pub", (self.site.folder / "sign.pub").read_bytes())
        machine.write("/root/archive.asc", (self.site.repository / "refstack-archive-keyring.asc").read_bytes())
        self.answer()

    def start_gearmand(self) -> None:
        """Start gearmand and wait until it listens."""
        host, port = self.gearman.split(":")
        words = ["gearmand", "-L", host, "-p", port, "-l", "stderr"]
        log = self._clean.enter_context(open(os.devnull, "wb"))
        self._gearmand = process.start(words, stdout=log, stderr=log, start_new_session=True)
        self.machine.wait("gearmand listens", lambda: _listens(host, int(port)), 10)

    def stop_gearmand(self) -> None:
        """End it."""
        if self._gearmand is not None:
            self._gearmand.terminate()
            self._gearmand.wait(20)
            self._gearmand = None

    def answer(self, **more: str) -> None:
        """Write the answers file; ``section_key`` arguments are TOML values that change it."""
        values = {
            "repository_url": f'"http://{SITE}"',
            "repository_key": '"/root/archive.asc"',
            "repository_fingerprint": f'"{self.site.fingerprint}"',
            "tempest_versions": f'["{TEMPEST}"]',
            "gearman_servers": f'["{self.gearman}"]',
            "server_urls": f'["{self.url}"]',
            "node_name": f'"{NODE}"',
            "keys_fleet": '"/root/fleet.key"',
            "keys_servers": '"/root/server.pub"',
            **more,
        }
        tables: dict[str, list[str]] = {}
        for name, value in values.items():
            section, _, key = name.partition("_")
            tables.setdefault(section, []).append(f"{key} = {value}")
        lines = [line for section, table in tables.items() for line in (f"[{section}]", *table)]
        self.machine.write(ANSWERS, "\n".join(lines) + "\n")

    def install(self, command: str, *more: str, env: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Call the installer with ``--json``; return its status and its document."""
        done = self.machine.run(
            "python3", INSTALLER, command, "--json", "--answers", ANSWERS, *more, check=False, env=env, timeout=1800
        )
        assert done.stdout.startswith("{"), done.stderr or done.stdout
        return done.returncode, json.loads(done.stdout)

    def picture(self) -> dict[str, str]:
        """Return what is to be the same again after a removal: packages, users, every file with its digest."""
        found = {"packages": self.machine.run("dpkg-query", "-W").stdout}
        for name in ("passwd", "group", "shadow", "gshadow"):
            found[f"/etc/{name}"] = self.machine.read(f"/etc/{name}")
        root = self.machine.path
        for path in root.rglob("*"):
            name = f"./{path.relative_to(root)}"
            if OTHERS.match(name + "/") or OTHERS.match(name) or not (path.is_file() or path.is_symlink()):
                continue
            found[name] = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return what differs between two pictures."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def steps(report: dict[str, Any]) -> dict[str, str]:
    """Return step name to state."""
    return {step["name"]: step["state"] for step in report["steps"]}
