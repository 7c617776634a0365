"""What the test cloud runs on: Debian's packages and a virtualenv, both put in place once and then reused."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from democloud.ports import CloudError
from refstack_worker import process
from refstack_worker.errors import ProcessError

REQUIREMENTS = Path(__file__).with_name("requirements")
SMALL = "small"

DEBIAN = {"memcached": "memcached", "rsync": "rsync", "setpriv": "util-linux"}
"""Program to the Debian package that brings it."""

DEBIAN_WHOLE = {
    "mariadbd": "mariadb-server-core", "my_print_defaults": "mariadb-client-core", "rabbitmqctl": "rabbitmq-server",
    "epmd": "erlang-base", "qemu-img": "qemu-utils", "ip": "iproute2",
}  # fmt: skip
"""What a whole cloud needs beside."""

DEBIAN_SOURCES = {"gcc": "gcc", "python3-config": "python3-dev"}
"""What releases need whose requirements have no wheel for this Python: 2023.1 (netifaces)."""
OLD = ("2023.1",)

DEBIAN_TLS = {"haproxy": "haproxy", "openssl": "openssl"}

LIBRARY = "liberasurecode1"
"""What Swift loads by name; there is no program to look for."""

POLICY = Path("/usr/sbin/policy-rc.d")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Software:
    """A virtualenv that holds Keystone and Swift."""

    home: Path

    def program(self, name: str) -> Path:
        """Path of a program of the virtualenv."""
        return self.home / "bin" / name

    @property
    def python(self) -> Path:
        return self.program("python")


def prepare(cache: Path, say: Say, release: str = SMALL, tls: bool = False) -> Software:
    """Make sure that all the software of the test cloud is there, and return it; a second call is instant.

    :param cache: folder that outlives the clouds; several callers at once wait for one another.
    :param release: of the whole cloud; the small one has none.
    :param tls: with what HTTPS needs.
    :raises CloudError: something is missing and cannot be installed.
    """
    cache.mkdir(parents=True, exist_ok=True)
    programs = {**DEBIAN, **(DEBIAN_WHOLE if release != SMALL else {}), **(DEBIAN_TLS if tls else {})}
    programs.update(DEBIAN_SOURCES if release in OLD else {})
    debian_packages(missing_packages(programs), say)
    with open(cache / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Software(virtualenv(cache, f"cloud-{release}", [REQUIREMENTS / f"{release}.txt"], say))


def missing_packages(programs: Mapping[str, str] = DEBIAN) -> list[str]:
    """Names of the Debian packages that the cloud needs and that are not installed.

    :param programs: program to the package that brings it.
    """
    missing = [package for program, package in programs.items() if not shutil.which(program, path=_search_path())]
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if not any(Path("/usr/lib").glob("**/liberasurecode.so.1")):
        missing.append(LIBRARY)
    return missing


def debian_packages(names: list[str], say: Say) -> None:
    """Install Debian packages; nothing to do for an empty list.

    :raises CloudError: not root, or apt fails.
    """
    if not names:
        return
    if os.geteuid() != 0:
        raise CloudError(f"missing: {', '.join(names)}; install them with: apt-get install {' '.join(names)}")
    say(f"installing with apt: {' '.join(names)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # lists may be there already; only a failure of the installation itself counts
    process.run(["apt-get", "update", "-q"], process.Options(env=quiet, check=False, timeout=600))
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *names]
    try:
        with _no_services_started():
            process.run(command, process.Options(env=quiet, timeout=1800))
    except ProcessError as error:
        raise CloudError(f"Debian packages of the test cloud: {error}") from error


@contextmanager
def _no_services_started() -> Iterator[None]:
    """Keep Debian from starting a RabbitMQ, memcached or HAProxy of its own on the usual ports.

    ``policy-rc.d`` is Debian's way; one that is there already, as in containers, stays as it is.
    """
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def virtualenv(cache: Path, name: str, requirements: Sequence[Path], say: Say) -> Path:
    """Return a virtualenv of this interpreter that holds ``requirements``, made only if it is not in ``cache`` yet.

    :raises CloudError: it cannot be made.
    """
    wanted = b"".join(each.read_bytes() for each in requirements)
    digest = hashlib.sha256(wanted + sys.version.encode()).hexdigest()[:12]
    home = cache / f"{name}-{digest}"
    if (home / ".complete").is_file():
        return home
    shutil.rmtree(home, ignore_errors=True)
    say(f"making the virtualenv {home} (about a minute, only this once)")
    try:
        process.run([sys.executable, "-m", "venv", home], process.Options(timeout=300))
        _install(home, [word for each in requirements for word in ("-r", str(each))])
    except ProcessError as error:
        raise CloudError(f"virtualenv of the test cloud: {error}") from error
    (home / ".complete").touch()
    return home


def _install(home: Path, what: list[str]) -> None:
    """Install with uv, which is much quicker, and with pip where uv is not to be had or does not get through."""
    pip: list[str | Path] = [home / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    limit = process.Options(timeout=1800)
    try:
        process.run([*pip, "uv"], limit)
        process.run([home / "bin" / "uv", "pip", "install", "-q", "-p", home / "bin" / "python", *what], limit)
    except ProcessError:
        process.run([*pip, *what], limit)


def _search_path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
