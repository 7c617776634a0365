"""apt: Debian and its derivatives."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from refstack_install.errors import StepError
from refstack_install.files import TargetFile
from refstack_install.packages.manager import PackageManager, Repository, same_version
from refstack_install.system import System

SOURCES = "/etc/apt/sources.list.d/refstack.sources"
LISTS = "/var/lib/apt/lists"
DPKG_DATABASE = ("/var/lib/dpkg/status", "/var/lib/dpkg/updates")
"""The second one has entries while dpkg works, and after it was killed."""
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NONINTERACTIVE_SEEN": "true"}
OPTIONS = (
    "-q",
    "-y",
    "--no-install-recommends",
    "-oDpkg::Options::=--force-confold",
    "-oDpkg::Use-Pty=0",
    "-oAPT::Update::Error-Mode=any",
    "-oAPT::Keep-Downloaded-Packages=false",
)
T = TypeVar("T")
_STALE = re.compile(
    r"404 +Not Found|Unable to locate package|but it is not installable|has no installation candidate|"
    r"Unable to correct problems|was not found|File has unexpected size|Hash Sum mismatch"
)


class Apt(PackageManager):
    name = "apt"
    key_path = "/usr/share/keyrings/refstack-archive-keyring.gpg"
    own_key_path = "/usr/share/keyrings/refstack-install.gpg"

    def __init__(self, system: System, lock_timeout: int) -> None:
        super().__init__(system, lock_timeout)
        self._remembered: dict[str, tuple[tuple[int, ...], Any]] = {}

    def installed(self) -> Mapping[str, str]:
        """Return name and version; a package of a second architecture has it in its name."""
        return self._remember("installed", self._installed)

    def _installed(self) -> dict[str, str]:
        form = "${db:Status-Abbrev}\t${Package}\t${Architecture}\t${Version}\n"
        rows = [line.split("\t") for line in self.system.must(["dpkg-query", "-W", "-f", form]).out.splitlines()]
        versions: dict[str, str] = {}
        for status, name, architecture, version in rows:
            if status.startswith("ii") or status.startswith("hi"):
                versions[f"{name}:{architecture}" if name in versions else name] = version
        return versions

    def repository_files(self, repository: Repository) -> list[TargetFile]:
        """Return the key and a deb822 source that trusts only this key, and only for this source."""
        source = TargetFile(self.system.path(SOURCES), _source(repository, repository.keys.path))
        if repository.keys.is_packaged:
            return [source]
        return [TargetFile(self.system.path(repository.keys.path), repository.keys.content), source]

    def knows(self, repository: Repository) -> bool:
        return any(name.endswith("InRelease") for name in self._lists(repository))

    def refresh(self, repository: Repository) -> None:
        if repository.complete or self._others_known():
            self._update(f"-oDir::Etc::sourcelist={SOURCES}", "-oDir::Etc::sourceparts=-", "-oAPT::Get::List-Cleanup=0")
        else:
            self._update()
        if not self.knows(repository):
            raise StepError(
                f"{repository.url} has no signed index for {repository.suite}",
                todo="check repository.url and repository.suite",
            )

    def forget(self, repository: Repository) -> None:
        for name in self._lists(repository):
            self.system.path(LISTS).joinpath(name).unlink(missing_ok=True)

    def candidate(self, name: str) -> str:
        return self._remember(f"candidate {name}", lambda: self._candidate(name))

    def _candidate(self, name: str) -> str:
        out = self.system.run(["apt-cache", "policy", name]).out
        match = re.search(r"Candidate: (\S+)", out)
        return match.group(1) if match and match.group(1) != "(none)" else ""

    def offered(self, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return _versions(self.system.run(["apt-cache", "madison", *names]).out)

    def look_up(self, repository: Repository, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
        with tempfile.TemporaryDirectory(prefix="refstack-apt-") as folder:
            scratch = Path(folder)
            scratch.chmod(0o755)  # apt reads the key as another user
            (scratch / "lists" / "partial").mkdir(parents=True)
            (scratch / "keys.gpg").write_bytes(repository.keys.content)
            (scratch / "refstack.sources").write_bytes(_source(repository, str(scratch / "keys.gpg")))
            options = [
                f"-oDir::Etc::sourcelist={scratch}/refstack.sources",
                "-oDir::Etc::sourceparts=-",
                f"-oDir::State::lists={scratch}/lists",
                f"-oDir::Cache={scratch}",
            ]
            self._update(*options)
            return _versions(self.system.run(["apt-cache", *options, "madison", *names]).out)

    def install(self, requested: Mapping[str, str]) -> None:
        try:
            self._install(requested)
        except StepError as error:
            if not _STALE.search(error.why) or not self._updated():
                raise
            self._install(requested)

    def _install(self, requested: Mapping[str, str]) -> None:
        # a short version is looked up in the index, so it is looked up again after the index was fetched
        words = [f"{name}={self._exact(name, version)}" if version else name for name, version in requested.items()]
        argv = ["apt-get", *OPTIONS, "--allow-downgrades", "install", *words]
        self.work(argv, f"installing {' '.join(words)}", **QUIET)

    def remove(self, names: Sequence[str]) -> None:
        if not names:
            return
        # apt would also remove what depends on these packages: simulate first
        done = self.work(["apt-get", *OPTIONS, "-s", "purge", *names], f"removing {' '.join(names)}", **QUIET)
        going = set(re.findall(r"^(?:Remv|Purg) (\S+)", done.out, re.M))
        others = sorted(going - {name.split(":")[0] for name in names} - set(names))
        if others:
            raise StepError(
                f"removing {' '.join(names)} would remove {' '.join(others)} too",
                "those packages were installed later and depend on these",
                "if you do not need them, remove them first and run again",
            )
        self.work(["apt-get", *OPTIONS, "purge", *names], f"removing {' '.join(names)}", **QUIET)

    def is_clean(self) -> bool:
        return not self.system.run(["dpkg", "--audit"]).out.strip()

    def recover(self) -> None:
        """Finish what dpkg left half done; wait for an apt that outlived its installer."""
        self.work(["dpkg", "--configure", "-a", "--force-confold"], "dpkg --configure -a", **QUIET)
        self.work(["apt-get", *OPTIONS, "--fix-broken", "install"], "apt-get --fix-broken install", **QUIET)

    def owns(self, path: str) -> bool:
        listing = Path("/var/lib/dpkg/info/refstack-archive-keyring.list")
        file = self.system.path(listing)
        return file.is_file() and path in file.read_text().splitlines()

    def _exact(self, name: str, version: str) -> str:
        """Return the full version for a short one (``1.2.3-1`` for ``1.2.3``)."""
        versions = self.offered([name]).get(name, ())
        return next((full for full in versions if same_version(full, version)), version)

    def _remember(self, what: str, ask: Callable[[], T]) -> T:
        """Ask again only after dpkg's database or apt's indexes have changed."""
        try:
            state = tuple(self.system.path(path).stat().st_mtime_ns for path in (*DPKG_DATABASE, LISTS))
        except FileNotFoundError:
            return ask()
        known = self._remembered.get(what)
        if known is None or known[0] != state:
            known = self._remembered[what] = (state, ask())
        result: T = known[1]
        return result

    def _update(self, *options: str) -> None:
        self.work(["apt-get", *OPTIONS, *options, "update"], "fetching the package index", **QUIET)

    def _updated(self) -> bool:
        """Fetch all indexes. :returns: whether it succeeded."""
        try:
            self._update()
        except StepError:
            return False
        return True

    def _others_known(self) -> bool:
        folder = self.system.path(LISTS)
        names = [path.name for path in folder.glob("*_Packages*")] if folder.is_dir() else []
        return any("_debian_" in name or "_ubuntu_" in name or "_dists_" in name for name in names)

    def _lists(self, repository: Repository) -> list[str]:
        parts = urlsplit(repository.url)
        start = (parts.netloc + parts.path).rstrip("/").replace("_", "%5f").replace("/", "_") + "_"
        folder = self.system.path(LISTS)
        return [path.name for path in folder.iterdir() if path.name.startswith(start)] if folder.is_dir() else []


def _source(repository: Repository, key: str) -> bytes:
    # the last three lines hold although the machine's own configuration may allow unsigned repositories
    return (
        "# written by refstack-install\n"
        "Types: deb\n"
        f"URIs: {repository.url}\n"
        f"Suites: {repository.suite}\n"
        f"Components: {repository.component}\n"
        f"Signed-By: {key}\n"
        "Allow-Insecure: no\n"
        "Allow-Weak: no\n"
        "Allow-Downgrade-To-Insecure: no\n"
    ).encode()


def _versions(madison: str) -> dict[str, list[str]]:
    """Return the versions of each package in ``name | version | source`` lines."""
    versions: dict[str, list[str]] = {}
    for line in madison.splitlines():
        if line.count("|") == 2:
            name, version, _ = (word.strip() for word in line.split("|"))
            versions.setdefault(name, []).append(version)
    return versions
