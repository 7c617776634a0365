"""Publishing: add packages to the repositories, take them out again, change the key. All or nothing, never unsigned."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from refstack_worker.builder.packages import provenance
from refstack_worker.builder.packages.package import VIRTUAL
from refstack_worker.builder.repository import apt, attestations, yum
from refstack_worker.builder.repository.repository import KEYRING, Record, Repository, replace_file
from refstack_worker.builder.repository.signing import Key, OpenPgpKeyring
from refstack_worker.builder.repository.uploads import files_of
from refstack_worker.errors import BuildError, NotFoundError, UsageError
from refstack_worker.filesystem import make_folder

SNAPSHOT = re.compile(r"~git(\d+).*")
"""End of the version of an old snapshot, made before commits were counted (``~dev17``)."""

DEBIAN = (".deb", ".dsc", ".xz", ".gz")


@dataclass(frozen=True)
class Publisher:
    """A repository, and who signs it."""

    repository: Repository
    keyring: OpenPgpKeyring = OpenPgpKeyring()
    key: str = ""
    """Id of the key to sign with."""
    url: str = ""
    """Base URL under which the folder is served, when it is to be recorded."""

    def publish(self, files: Sequence[Path]) -> list[str]:
        """Add packages and return what is new, as ``package version`` and format.

        The provenance that lies beside a package is signed and published with it.

        :raises BuildError: the key is missing, a file is not a package, or that version exists with other bytes
            already. Nothing has changed then.
        """
        wanted = files_of(files)
        return self._change(lambda undo, aside: self._add(wanted, undo, aside))

    def withdraw(self, names: Sequence[str]) -> list[str]:
        """Take packages out: ``NAME`` (all its versions) or ``NAME=VERSION``; return the files that went.

        :raises NotFoundError: there is no such package; nothing has changed then.
        """
        found: list[Path] = []
        for name in names:
            matching = [item.path for item in listing(self.repository) if item.matches(name)]
            if not matching:
                raise NotFoundError(
                    f"{name}: not in {self.repository.root}; 'refstack-package list' shows what is there"
                )
            found += matching
        return self._change(lambda undo, aside: self._take(found, undo, aside))

    def prune(self, keep: int) -> list[str]:
        """Keep the newest ``keep`` versions of each package, and of Tempest's the newest ``keep`` series' packages."""
        surplus = self.surplus(keep)
        return self._change(lambda undo, aside: self._take(surplus, undo, aside)) if surplus else []

    def surplus(self, keep: int) -> list[Path]:
        """Return what :meth:`prune` would take out."""
        if keep < 1:
            raise UsageError("--keep: must be at least 1")
        items = listing(self.repository)
        gone = _older(items, keep, lambda item: (item.format, item.series), lambda item: item.rank)
        stay = [item for item in items if item not in gone]
        # of a Tempest version that stays, the older revisions of its packages
        gone += _older(stay, keep, lambda item: (item.format, item.package), lambda item: item.revision_rank)
        return [item.path for item in gone]

    def roll_over(self, to: str, finish: bool) -> None:
        """Change the signing key in two steps.

        First everything is signed with the old key and the new one, and the keyring files hold both; once every
        node has them, ``finish`` leaves only the new one.
        """
        new = self.keyring.signing_key(to)
        with self.repository.locked():
            record = self.repository.record()
            if not record.keys:
                raise BuildError(f"{self.repository.root}: nothing is published there yet; publish with the new key")
            if finish and new.fingerprint not in record.keys:
                raise BuildError(f"key {to}: was never announced; run rollover without --finish first")
            old = [key for key in record.keys if key != new.fingerprint]
            keys = (new.fingerprint,) if finish else (*old, new.fingerprint)
            self._write(replace(record, keys=keys), new, resign=finish)

    def _change(self, change: Callable[[ExitStack, Path], list[str]]) -> list[str]:
        """Check the key, change the files, regenerate the indices; undo the change of files if that fails."""
        main = self.keyring.signing_key(self.key)
        with self.repository.locked():
            record = self._checked(self.repository.record(), main)
            with tempfile.TemporaryDirectory(dir=self.repository.root, prefix=".aside-") as aside, ExitStack() as undo:
                done = change(undo, Path(aside))
                self._write(record, main)
                undo.pop_all()  # it worked: nothing is to be undone
        return done

    def _checked(self, record: Record, main: Key) -> Record:
        if record.keys and main.fingerprint not in record.keys:
            raise BuildError(
                f"key {self.key}: {self.repository.root} is signed with {' and '.join(record.keys)}; nodes would "
                "refuse another key: 'refstack-package rollover' changes it"
            )
        return replace(record, keys=record.keys or (main.fingerprint,), url=self.url or record.url)

    def _add(self, files: Sequence[Path], undo: ExitStack, aside: Path) -> list[str]:
        if not files:
            raise UsageError("no files to publish")
        added = []
        for path in files:
            if not path.is_file():
                raise BuildError(f"{path}: no such file")
            if path.name.endswith(provenance.SUFFIX):
                continue  # comes with its package
            if path.suffix == ".rpm":
                added += self._add_rpm(path, undo, aside)
            elif path.suffix in DEBIAN:
                added += self._add_debian(path, undo)
            else:
                raise BuildError(f"{path}: neither a Debian package nor an RPM")
        return added

    def _add_debian(self, path: Path, undo: ExitStack) -> list[str]:
        file = apt.inspect(path)
        target = self.repository.pool / file.place
        if target.exists():
            if target.read_bytes() != path.read_bytes():
                raise BuildError(f"{path.name}: already published with different content; give it a new version")
            attestations.add(self.repository, path, target, undo)
            return []
        undo.callback(target.unlink, missing_ok=True)
        replace_file(path, target)
        attestations.add(self.repository, path, target, undo)
        return [f"{file.package} {file.version} {path.suffix[1:]}"]

    def _add_rpm(self, path: Path, undo: ExitStack, aside: Path) -> list[str]:
        file = yum.inspect(path)
        target = self.repository.rpms / path.name
        if target.exists():
            if yum.inspect(target).header != file.header:
                raise BuildError(f"{path.name}: already published with different content; give it a new release")
            attestations.add(self.repository, path, target, undo)
            return []
        undo.callback(target.unlink, missing_ok=True)
        copy = Path(shutil.copy(path, aside))
        yum.sign(copy, self.keyring.signing_key(self.key), self.keyring)
        replace_file(copy, target)
        attestations.add(self.repository, path, target, undo)
        return [f"{file.package} {file.version} rpm"]

    def _take(self, paths: Iterable[Path], undo: ExitStack, aside: Path) -> list[str]:
        taken = []
        for number, path in enumerate(paths):
            for kind, file in (("package", path), ("provenance", attestations.place_of(self.repository, path))):
                if file.exists():
                    place = aside / f"{number}-{kind}"
                    file.rename(place)
                    undo.callback(place.rename, file)
            taken.append(path.name)
        return taken

    def _write(self, record: Record, known: Key, resign: bool = False) -> None:
        """Make all indices of what is there; only when all of them are made and signed is any put in place.

        :param known: one of the keys, with the subkey that was asked for.
        """
        keys = [known if key == known.fingerprint else self.keyring.signing_key(key) for key in record.keys]
        repository = self.repository
        for folder in (repository.pool, repository.rpms):
            make_folder(folder)
        with tempfile.TemporaryDirectory(dir=repository.root, prefix=".work-") as name:
            work = Path(name)
            if resign:
                self._resign(keys[0], work)
            indices = apt.make_indices(repository, record, keys, self.keyring, work)
            metadata = yum.make_metadata(repository, keys, self.keyring, work)
            signed = attestations.sign(repository, keys, self.keyring, work)
            self._write_keyring(record, work)
            apt.place_indices(indices, repository, record)
            yum.place_metadata(metadata, repository)
            attestations.place_signed(signed, repository)
        repository.remember(record)

    def _resign(self, key: Key, work: Path) -> None:
        for path in sorted(self.repository.rpms.glob("*.rpm")):
            copy = Path(shutil.copy(path, work))
            yum.sign(copy, key, self.keyring)
            replace_file(copy, path)
            copy.unlink()
            attestations.renew(self.repository, path)

    def _write_keyring(self, record: Record, work: Path) -> None:
        for suffix, armoured in ((".asc", True), (".gpg", False)):
            self.keyring.export(record.keys, work / f"{KEYRING}{suffix}", armoured)
            replace_file(work / f"{KEYRING}{suffix}", self.repository.root / f"{KEYRING}{suffix}")
        if record.url:
            for name, text in (("refstack.sources", sources_file(record)), ("refstack.repo", repo_file(record))):
                (work / name).write_text(text)
                replace_file(work / name, self.repository.root / name)


@dataclass(frozen=True)
class Published:
    """One file of a repository."""

    path: Path
    format: str
    package: str
    version: str

    def matches(self, wanted: str) -> bool:
        """Tell whether ``NAME`` or ``NAME=VERSION`` means this one."""
        name, _, version = wanted.partition("=")
        plain = self.version.removeprefix("0:")
        return self.package == name and version in ("", self.version, plain)

    @property
    def series(self) -> str:
        """What it is a version of: all the packages of Tempest versions are one thing that has versions."""
        return VIRTUAL if self.package.startswith(f"{VIRTUAL}-") else self.package

    @property
    def rank(self) -> tuple[Version, str]:
        """What orders the versions; of a package of Tempest, Tempest's."""
        if self.series != self.package:  # plugins are behind the version
            return _rank(self.package.removeprefix(f"{VIRTUAL}-").partition("-")[0])
        return self.revision_rank

    @property
    def revision_rank(self) -> tuple[Version, str]:
        """What orders the versions of this very package."""
        return _rank(self.version.removeprefix("0:"))


def _rank(text: str) -> tuple[Version, str]:
    upstream, _, revision = text.partition("-")
    try:
        return Version(SNAPSHOT.sub(r".dev\1", upstream).replace("~", "").replace("^", "+")), revision.zfill(6)
    except InvalidVersion:
        return Version("0"), text


def _older(
    items: Iterable[Published], keep: int, group: Callable[[Published], Any], rank: Callable[[Published], Any]
) -> list[Published]:
    """Return those of each group that are not among its newest ``keep`` versions."""
    gone = []
    for _, found in groupby(sorted(items, key=lambda item: (group(item), rank(item))), key=group):
        ordered = list(found)
        surplus = set(sorted({rank(item) for item in ordered})[:-keep])
        gone += [item for item in ordered if rank(item) in surplus]
    return gone


def listing(repository: Repository) -> list[Published]:
    debian = [apt.inspect(path) for path in sorted(repository.pool.rglob("*")) if path.suffix in DEBIAN]
    red_hat = [yum.inspect(path) for path in sorted(repository.rpms.glob("*.rpm"))]
    found = [Published(item.path, item.path.suffix[1:], item.package, item.version) for item in debian]
    return found + [Published(item.path, "rpm", item.package, item.version) for item in red_hat]


def sources_file(record: Record) -> str:
    """Return an apt source (deb822) that believes these keys only."""
    return (
        f"Types: deb\nURIs: {record.url.rstrip('/')}/apt\nSuites: {record.suite}\nComponents: {apt.COMPONENT}\n"
        f"Signed-By: /usr/share/keyrings/{KEYRING}.gpg\n"
    )


def repo_file(record: Record) -> str:
    """Return a yum repository that checks packages and metadata."""
    base = record.url.rstrip("/")
    return (
        f"[refstack]\nname=RefStack worker, queue and Tempest versions\nbaseurl={base}/yum\nenabled=1\n"
        f"gpgcheck=1\nrepo_gpgcheck=1\ngpgkey={base}/{KEYRING}.asc\n"
    )
