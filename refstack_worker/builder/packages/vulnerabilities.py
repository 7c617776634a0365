"""Known vulnerabilities of the wheels in a lock, from records in OSV's format (https://ossf.github.io/osv-schema/).

The records come from files, because packages may be built where there is no network. OSV publishes all records about
PyPI as one archive (``PyPI/all.zip`` in its public bucket).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from refstack_worker.environments.lock import Lock
from refstack_worker.errors import BuildError

ECOSYSTEM = "PyPI"
_RANGES = ("ECOSYSTEM", "SEMVER")
_ANY = "0"
"""In OSV's ranges: the version before all others."""


@dataclass(frozen=True)
class Vulnerability:
    """A record that says a locked wheel is affected."""

    id: str
    """As ``GHSA-…``, ``PYSEC-…``."""
    aliases: tuple[str, ...]
    """Ids of the same in other lists, such as ``CVE-…``."""
    package: str
    version: str
    """The locked one."""
    fixed: tuple[str, ...]
    """Versions in which it is fixed; empty: none is known."""
    summary: str

    def __str__(self) -> str:
        names = ", ".join((self.id, *self.aliases))
        fixed = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no fixed version is known"
        return f"{self.package} {self.version}: {names}: {self.summary or 'no summary'} ({fixed})"


@dataclass(frozen=True)
class VulnerabilityReport:
    """What a build looked for, and what it found."""

    source: str
    """Name of the file or folder with the records."""
    sha256: str
    """Of the records."""
    records: int
    """How many records about PyPI were read."""
    newest: str
    """When the newest of them was changed."""
    found: tuple[Vulnerability, ...]

    def to_json(self) -> dict[str, Any]:
        found = [
            {"id": one.id, "aliases": list(one.aliases), "package": one.package, "version": one.version}
            for one in self.found
        ]
        about = {"source": self.source, "sha256": self.sha256, "records": self.records, "newest": self.newest}
        return {"checked": True, "database": about, "found": found}


def check_locks(source: Path, locks: Sequence[Lock]) -> VulnerabilityReport:
    """Return what is known of the wheels in some locks.

    :param source: a JSON file, a ZIP archive of them, or a folder with either.
    :raises BuildError: the records cannot be read, or there are none about PyPI.
    """
    versions: dict[str, set[str]] = {}
    for wheel in (wheel for lock in locks for wheel in lock.wheels):
        versions.setdefault(wheel.name, set()).add(wheel.version)
    digest, count, newest = hashlib.sha256(), 0, ""
    found: list[Vulnerability] = []
    for text in _texts(source):
        digest.update(hashlib.sha256(text).digest())
        for record in _records(text, source):
            if not any(_ecosystem(one) == ECOSYSTEM for one in _affected(record)):
                continue
            count += 1
            newest = max(newest, str(record.get("modified") or ""))
            found += _matches(record, versions)
    if not count:
        raise BuildError(f"{source}: no OSV records about {ECOSYSTEM}; is this the right file?")
    ordered = sorted(set(found), key=lambda one: (one.package, one.version, one.id))
    return VulnerabilityReport(source.name, digest.hexdigest(), count, newest, tuple(ordered))


def _texts(source: Path) -> Iterator[bytes]:
    """Yield the JSON texts in a file, an archive or a folder, in the order of their names."""
    try:
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.suffix in (".json", ".zip"):
                    yield from _texts(path)
        elif source.suffix == ".zip":
            with zipfile.ZipFile(source) as archive:
                for name in sorted(archive.namelist()):
                    if name.endswith(".json"):
                        yield archive.read(name)
        else:
            yield source.read_bytes()
    except (OSError, zipfile.BadZipFile) as error:
        raise BuildError(f"{source}: OSV records cannot be read: {error}") from error


def _records(text: bytes, source: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the records in a JSON text: one, a list of them, or what OSV's API answers."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BuildError(f"{source}: not JSON: {error}") from error
    if isinstance(value, dict):
        value = value["vulns"] if isinstance(value.get("vulns"), list) else [value]
    if not isinstance(value, list):
        raise BuildError(f"{source}: no OSV record; see https://ossf.github.io/osv-schema/")
    for record in value:
        if not isinstance(record, dict) or not isinstance(record.get("id"), str):
            raise BuildError(f"{source}: a record without an id; see https://ossf.github.io/osv-schema/")
        if not record.get("withdrawn"):
            yield record


def _affected(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in record.get("affected") or () if isinstance(one, dict)]


def _ecosystem(affected: Mapping[str, Any]) -> str:
    # a suffix names a variant of an ecosystem
    return str((affected.get("package") or {}).get("ecosystem") or "").partition(":")[0]


def _matches(record: Mapping[str, Any], versions: Mapping[str, set[str]]) -> Iterator[Vulnerability]:
    for affected in _affected(record):
        if _ecosystem(affected) != ECOSYSTEM:
            continue
        name = str(canonicalize_name(str(affected["package"].get("name") or "")))
        for version in versions.get(name, ()):
            if _is_affected(version, affected):
                yield Vulnerability(
                    record["id"],
                    tuple(str(alias) for alias in record.get("aliases") or ()),
                    name,
                    version,
                    _fixed(affected),
                    " ".join(str(record.get("summary") or record.get("details") or "").split())[:200],
                )


def _is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    """Return whether a version is in a record's list or ranges, as OSV's specification evaluates them."""
    locked = _version(version)
    if any(text == version or (locked and _version(text) == locked) for text in _listed(affected)):
        return True
    return locked is not None and any(_is_in_range(locked, events) for events in _ranges(affected))


def _listed(affected: Mapping[str, Any]) -> list[str]:
    return [str(text) for text in affected.get("versions") or ()]


def _ranges(affected: Mapping[str, Any]) -> list[list[tuple[str, str]]]:
    """Return the events of each range of versions, as pairs of what happens and the version."""
    ranges = [one for one in affected.get("ranges") or () if isinstance(one, dict) and one.get("type") in _RANGES]
    return [[(kind, str(text)) for event in one.get("events") or () for kind, text in event.items()] for one in ranges]


def _is_in_range(locked: Version, events: Sequence[tuple[str, str]]) -> bool:
    is_vulnerable = False
    for kind, version in sorted(_comparable(events), key=lambda event: event[1] or Version("0.dev0")):
        if kind == "introduced" and (version is None or locked >= version):
            is_vulnerable = True
        elif version is None:
            continue
        elif (kind == "fixed" and locked >= version) or (kind == "last_affected" and locked > version):
            is_vulnerable = False
    return is_vulnerable


def _comparable(events: Sequence[tuple[str, str]]) -> Iterator[tuple[str, Version | None]]:
    """Yield the events whose version can be compared; None stands before all versions."""
    for kind, text in events:
        if text == _ANY:
            yield kind, None
        elif (version := _version(text)) is not None:
            yield kind, version


def _fixed(affected: Mapping[str, Any]) -> tuple[str, ...]:
    fixed = {text for events in _ranges(affected) for kind, text in events if kind == "fixed"}
    return tuple(sorted(fixed, key=lambda text: _version(text) or Version("0")))


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
