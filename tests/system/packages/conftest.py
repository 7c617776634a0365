"""The packages that the tests install: built once for a commit, when a test needs them, signed with a key of the tests,
kept in the cache."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from refstack_worker import process
from tests.support.machines import Machine, cache
from tests.support.mirror import SITE, Mirror
from tests.support.tempests import CONSTRAINTS, EXCLUDE_NEWER, package
from tests.system.packages.node import Node

TOP = Path(__file__).resolve().parents[3]
USER = "tests@refstack.test"
FIRST = "47.0.0"
SECOND = "43.0.0" if CONSTRAINTS else "46.3.0"
"""Without constraints (REFSTACK_TEST_CONSTRAINTS) only recent versions can be locked."""

NEXT = "0.1.1"
"""A version that is newer than any snapshot of this one: what nodes are upgraded to."""


@dataclass(frozen=True)
class Built:
    """The packages of a commit."""

    folder: Path
    key: Path
    """Of the repository, which the packages bring along."""

    def debs(self, kind: str = "deb") -> list[Path]:
        """Return the Debian packages of ``deb`` (this commit), ``next`` or ``tempest``."""
        with self._once(kind) as is_missing:
            if is_missing and kind == "next":
                build(self.folder / "as-next", "deb", "--nocheck", "--version", NEXT, "--keyring", self.key)
                shutil.copytree(self.folder / "as-next" / "deb", self.folder / "next", dirs_exist_ok=True)
            elif is_missing and kind == "tempest":
                for version in (FIRST, SECOND):
                    build_tempest(version, self.folder / kind)
            elif is_missing:
                # with the unit tests, once: as a release engineer builds
                build(self.folder, "deb", "--keyring", self.key)
        return sorted((self.folder / kind).glob("*.deb"))

    def sources(self) -> list[Path]:
        """Return what belongs to the source packages."""
        self.debs()
        found = self.folder / "deb"
        return sorted([*found.glob("*.dsc"), *found.glob("*.tar.*")])

    def left(self) -> list[Path]:
        """Return everything that the build of this commit's Debian packages left, as ``dist/deb/*`` does."""
        self.debs()
        return sorted((self.folder / "deb").iterdir())

    def rpms(self) -> list[Path]:
        """Return the RPMs, sources left out."""
        self.debs("tempest")
        with self._once("rpm") as is_missing:
            if is_missing:
                build(self.folder, "rpm", "--nocheck", "--keyring", self.key)
        return sorted(
            p for kind in ("rpm", "tempest") for p in (self.folder / kind).glob("*.rpm") if ".src." not in p.name
        )

    def tempest(self, version: str) -> Path:
        """Return the Debian package of a Tempest version."""
        return next(path for path in self.debs("tempest") if path.name.startswith(f"refstack-tempest-{version}_"))

    @contextmanager
    def _once(self, kind: str) -> Iterator[bool]:
        """Give whether packages of a kind are missing; afterwards they are not."""
        complete = self.folder / f"{kind}.complete"
        yield not complete.exists()
        complete.touch()


@pytest.fixture(scope="session")
def gnupg_home() -> Path:
    """gpg's folder with a key of the tests; its public half in ``key.asc``."""
    home = cache() / "gnupg"
    if not (home / "key.asc").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(mode=0o700, parents=True)
        gpg(home, "--passphrase", "", "--quick-generate-key", f"RefStack tests <{USER}>", "rsa4096", "sign", "10y")
        (home / "key.asc").write_text(gpg(home, "--armor", "--export", USER))
    return home


def gpg(home: Path, *words: str) -> str:
    return process.run(["gpg", "--batch", "--homedir", home, *words]).stdout


@pytest.fixture(scope="session")
def built(gnupg_home: Path) -> Built:
    """The packages of this commit, and the project's own once more under the next version."""
    given = os.environ.get("REFSTACK_TEST_PACKAGES")
    commit = process.run(["git", "rev-parse", "HEAD"], process.Options(cwd=TOP)).stdout.strip()
    folder = Path(given) if given else cache() / "packages" / commit
    folder.mkdir(parents=True, exist_ok=True)
    return Built(folder, gnupg_home / "key.asc")


def build(out: Path, *words: object) -> None:
    process.run([TOP / "packaging" / "build", *map(str, words), "--out", out], process.Options(timeout=3600))


def build_tempest(version: str, out: Path) -> None:
    """Lock a version for the Pythons of both Debian releases (as far as they are on this machine) and package it."""
    locks = cache() / "tempests" / "packages"
    words = ["--exclude-newer", EXCLUDE_NEWER, "--output", locks, "--cache", cache() / "package"]
    if version != FIRST and CONSTRAINTS:
        words += ["--constraints", f"{CONSTRAINTS}/2025.1.txt"]
    for name, python in pythons().items():
        if not list((locks / version).glob(f"pylock.{name}-*.toml")):
            done = package("lock", version, "--python", python, *words)
            assert done.returncode == 0, done.stderr
    done = package("build-package", locks / version, "--out", out)
    assert done.returncode == 0, done.stderr


def pythons() -> dict[str, str]:
    """Return the interpreters to lock for: Debian 12's, and 3.13 for Debian 13 if this machine has one."""
    others = ["/usr/bin/python3.13", *glob.glob(str(Path.home() / ".pyenv/versions/3.13.*/bin/python3.13"))]
    found = next((path for path in others if Path(path).exists()), "")
    return {"py311": "3.11", **({"py313": found} if found else {})}


@pytest.fixture(scope="session")
def publish(gnupg_home: Path):  # type: ignore[no-untyped-def]
    """Publish packages into a repository."""

    def publish_(repository: Path, files: list[Path]) -> Path:
        words = ["--repo", repository, "--key", USER, "--gnupg-home", gnupg_home, "--url", f"http://{SITE}"]
        done = package("publish", *words, *files)
        assert done.returncode == 0, done.stderr
        return repository

    return publish_


@pytest.fixture(scope="session")
def repository(built: Built, publish, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """A repository with the packages of this commit and of both Tempest versions; no test changes it."""
    folder = tmp_path_factory.mktemp("repository")
    return publish(folder, [*built.left(), *built.debs("tempest")])  # type: ignore[no-any-return]


@pytest.fixture
def own_repository(repository: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(repository, tmp_path / "own-repository"))


@contextmanager
def booted(repository: Path, suite: str) -> Iterator[Node]:
    """A booted bare machine that can reach the repository; nothing of it is installed."""
    with Mirror(repository) as mirror, Machine(suite) as machine:
        node = Node(machine, mirror, repository)
        node.add_source()
        yield node


@pytest.fixture
def bare(repository: Path) -> Iterator[Node]:
    """Such a machine with Debian 12."""
    with booted(repository, "bookworm") as node:
        yield node


@pytest.fixture(params=["bookworm", "trixie"])
def bare_machine(request: pytest.FixtureRequest, repository: Path) -> Iterator[Node]:
    """The same with Debian 12 and 13."""
    if request.param == "trixie" and "py313" not in pythons():
        pytest.skip("no Python 3.13 on this machine to lock Tempest for Debian 13 with")
    with booted(repository, request.param) as node:
        yield node
