"""What this node can build: the locks that it finds, put together with the interpreters that it has.

Cheap enough to be asked every few seconds: nothing is read again unless a folder changed. So a per-version package
that is installed, or removed, on a running node shows by itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.contract.execute_test import TEMPESTCONF_PACKAGE
from refstack_worker.environments import interpreters, test_listing
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.environments.lock import LOCK_NAME, Lock, read_lock, set_name
from refstack_worker.environments.store.verify import Store
from refstack_worker.environments.wheels.download import Downloader, Landing
from refstack_worker.environments.wheels.remote_wheelhouse import Site
from refstack_worker.environments.wheels.sources import Fetcher, FolderSource, IndexSource, SiteSource, Source
from refstack_worker.errors import LockError, VersionUnavailableError

LOG = logging.getLogger(__name__)

Plugins = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Want:
    """What a payload asks for: an exact version, or the newest for an OpenStack release."""

    version: str = ""
    release: str = ""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Tempest plugins that must be there too: distribution name to exact version."""
    tempestconf: bool = False
    """Whether python-tempestconf must be there too, in any version."""

    @property
    def wanted_plugins(self) -> Plugins:
        """The plugins as locks have them: names normalised, sorted."""
        return tuple(sorted((str(canonicalize_name(name)), version) for name, version in self.plugins.items()))

    def suits(self, plugins: Plugins) -> bool:
        """Return whether an environment with these plugins has what is wanted; it may have others beside.

        But not where none is wanted: all tests would then be the plugins' tests too. python-tempestconf adds no test.
        """
        there, wanted = set(plugins), set(self.wanted_plugins)
        has_tempestconf = TEMPESTCONF_PACKAGE in dict(plugins)
        return (
            wanted <= there
            and bool(_with_tests(there)) == bool(_with_tests(wanted))
            and (has_tempestconf or not self.tempestconf)
        )


@dataclass(frozen=True)
class Offer:
    """One Tempest version, with or without plugins, and whether and how this node can build it."""

    version: str
    releases: tuple[str, ...] = ()
    """OpenStack releases that it supports, newest first."""
    plugins: Plugins = ()
    interpreter: Interpreter | None = None
    source: str = ""
    """Folder or site that the lock is from."""
    warm: bool = False
    """All its wheels are in the store."""
    tests: int = 0
    """Tests that it listed when it was proved here; 0: not proved here yet, the first build does it."""
    problem: str = ""
    """Why it cannot be built here; empty when it can."""
    lock: Lock | None = None

    @property
    def label(self) -> str:
        return self.lock.label if self.lock is not None else self.version

    def fetcher(self, settings: EnvironmentSettings) -> Fetcher:
        """Return what gets its wheels: installed folders first, then wheelhouses, then the index, if any."""
        folder = self.lock.path.parent.name if self.lock is not None else self.version
        return Fetcher(sources(settings, folder), Store(settings.store).incoming)


def sources(settings: EnvironmentSettings, folder: str) -> list[Source]:
    """Return where the wheels of the version in ``folder`` may be, best first."""
    downloader = Downloader(settings.ca_file)
    found: list[Source] = [FolderSource(parent / folder) for parent in settings.lock_folders]
    for house in settings.wheelhouses:
        at = f"{house}/{folder}"
        found.append(SiteSource(at, downloader) if is_url(house) else FolderSource(Path(at)))
    if settings.index:
        found.append(IndexSource(settings.index, downloader))
    return found


def is_url(place: str) -> bool:
    """Tell a site from a folder."""
    return place.startswith(("http://", "https://"))


class Catalogue:
    """What this node can build, and what it knows of but cannot."""

    def __init__(self, settings: EnvironmentSettings) -> None:
        self.settings = settings
        self.store = Store(settings.store)
        cache = self.store.root / "sites"
        self.sites = [Site(url, settings.ca_file, cache) for url in settings.wheelhouses if is_url(url)]
        self._folders = [*settings.lock_folders, *(Path(h) for h in settings.wheelhouses if not is_url(h))]
        self._state: object = None
        self._offers: list[Offer] = []
        self._locks: dict[Path, tuple[object, Lock | LockError]] = {}

    def refresh(self) -> None:
        """Ask the sites again, and wait for their answers."""
        for site in self.sites:
            site.refresh()

    def offers(self) -> list[Offer]:
        """Return everything known, oldest version first, also what cannot be built (``Offer.problem`` says why)."""
        paths = self._lock_paths()
        extra = self.settings.interpreters
        state = (
            [(path, _stamp(path)) for path in paths],
            [(path, _stamp(path)) for path in interpreters.candidates(extra)],
            _stamp(self.store.entries),
            _stamp(self.store.proofs),
        )
        if state != self._state:
            self._offers = self._make_offers(paths)
            self._state = state
        return list(self._offers)

    def locks(self) -> list[Lock]:
        """Return every lock that can be read, of whatever interpreter."""
        found = (self._lock(path) for path in self._lock_paths())
        return [lock for lock in found if isinstance(lock, Lock)]

    def find(self, want: Want) -> Offer:
        """Return the offer for what is wanted: that version, or the newest that supports the release.

        Of locks that suit, the one with the fewest plugins is taken; of versions for a release, released ones come
        before those of commits and sites.

        :raises VersionUnavailableError: there is none that this node can build; the message says why.
        """
        offers = [offer for offer in self.offers() if want.suits(offer.plugins)]
        if want.version:
            offers = [offer for offer in offers if _same_version(offer.version, want.version)]
        if want.release:
            offers = [offer for offer in offers if want.release.lower() in offer.releases]
        for offer in sorted(offers, key=_preference, reverse=True):
            if not offer.problem:
                return offer
        raise VersionUnavailableError(self._why_not(want, offers))

    def _why_not(self, want: Want, offers: list[Offer]) -> str:
        what = f"Tempest {want.version}" if want.version else f"a Tempest for OpenStack {want.release}"
        if want.plugins:
            what += " with " + ", ".join(f"{name} {version}" for name, version in want.wanted_plugins)
        if want.tempestconf:
            what += f" with {TEMPESTCONF_PACKAGE} beside it"
        if offers:
            return f"{what}: " + "; ".join(f"{offer.label} {offer.problem}" for offer in offers)
        known = ", ".join(offer.label for offer in self.offers()) or "none"
        package = "a refstack-tempest package for it"
        if want.version:
            package = f"refstack-tempest-{set_name(want.version, want.wanted_plugins)}"
        away = "".join(f"; wheelhouse {site.problem}" for site in self.sites if site.problem)
        return (
            f"{what}: this node has no lock for it (known: {known}); "
            f"install {package}, or publish a lock for it in a wheelhouse{away}"
        )

    def _lock_paths(self) -> list[Path]:
        found: list[Path] = []
        for parent in self._folders:
            for folder in _folders_in(parent):
                found += sorted(path for path in _files_in(folder) if LOCK_NAME.fullmatch(path.name))
        for site in self.sites:
            found += site.locks()
        return found

    def _make_offers(self, paths: Iterable[Path]) -> list[Offer]:
        grouped: dict[tuple[str, Plugins], list[Lock]] = {}
        made = []
        for path in paths:
            lock = self._lock(path)
            if isinstance(lock, LockError):
                made.append(Offer(path.parent.name, source=str(path), problem=str(lock)))
            else:
                grouped.setdefault((lock.version, lock.compatibility.plugins), []).append(lock)
        there = interpreters.find(self.settings.interpreters)
        there.sort(key=lambda interpreter: Version(interpreter.version), reverse=True)
        names = self.store.names()
        made += [self._best(locks, there, names) for locks in grouped.values()]
        return sorted(made, key=lambda offer: (_version_key(offer.version), offer.plugins))

    def _lock(self, path: Path) -> Lock | LockError:
        stamp = _stamp(path)
        known = self._locks.get(path)
        if known is None or known[0] != stamp:
            try:
                known = stamp, read_lock(path)
            except LockError as error:
                LOG.warning("%s", error)
                known = stamp, error
            self._locks[path] = known
        return known[1]

    def _best(self, locks: list[Lock], there: list[Interpreter], names: set[str]) -> Offer:
        problems: list[str] = []
        for lock in locks:
            for interpreter in there:
                problem = interpreter.problem_with(lock) or self._problem(lock, interpreter, names)
                if not problem:
                    return self._offer(lock, interpreter, names, "")
                problems.append(problem)
        return self._offer(locks[0], None, names, _main_problem(locks, there, problems))

    def _offer(self, lock: Lock, interpreter: Interpreter | None, names: set[str], problem: str) -> Offer:
        warm = interpreter is not None and not self._absent(lock, interpreter, names)
        tests = test_listing.proved(self.store, lock, interpreter) if interpreter is not None else 0
        about = lock.compatibility
        return Offer(
            lock.version, about.releases, about.plugins, interpreter, self._source(lock), warm, tests, problem, lock
        )

    def _source(self, lock: Lock) -> str:
        for site in self.sites:
            if site.cache in lock.path.parents:
                return site.url
        return str(lock.path.parent)

    def _absent(self, lock: Lock, interpreter: Interpreter, names: set[str]) -> list[str]:
        return [w.filename for w in lock.wheels if self.store.name(w, interpreter) not in names]

    def _problem(self, lock: Lock, interpreter: Interpreter, names: set[str]) -> str:
        refused = test_listing.refused(self.store, lock, interpreter)
        if refused or self.sites or self.settings.index:
            return refused
        nowhere = Landing(self.store.incoming, self.store.incoming)  # folders have no use for it
        local = sources(self.settings, lock.path.parent.name)
        for wheel in lock.wheels:
            if self.store.name(wheel, interpreter) in names:
                continue
            if not any(source.fetch(wheel, nowhere) for source in local):
                return f"{wheel.filename} is missing on this node; install the version's package again"
        return ""


def _main_problem(locks: list[Lock], there: list[Interpreter], problems: list[str]) -> str:
    if not there:
        return "no Python interpreter was found; name one in 'interpreters'"
    python = [problem for problem in problems if not problem.startswith("needs Python")]
    if python:
        return python[0]
    wanted = " or ".join(dict.fromkeys(interpreters.needed(lock.requires_python) for lock in locks))
    have = ", ".join(dict.fromkeys(interpreter.series for interpreter in there))
    return f"needs Python {wanted}; this node has {have}"


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _with_tests(plugins: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {item for item in plugins if item[0] != TEMPESTCONF_PACKAGE}


def _preference(offer: Offer) -> tuple[bool, Version, int]:
    """Return what orders offers that all serve a run; the best has the most of it."""
    version = _version_key(offer.version)
    return not version.is_devrelease and not version.local, version, -len(offer.plugins)


def _version_key(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


def _stamp(path: Path) -> object:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _folders_in(parent: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(parent) if entry.is_dir())
    except OSError:
        return []


def _files_in(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder)]
    except OSError:
        return []
