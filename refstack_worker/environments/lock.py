"""A lock: one exact set of wheels for one Tempest version and one kind of interpreter.

The files are ``pylock.toml`` files as the Python packaging specifications define them (PEP 751); what else must be
known about a version stands in their ``[tool.refstack]`` table.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from refstack_worker.contract.payload import release_trouble
from refstack_worker.errors import LockError

if sys.version_info >= (3, 11):
    import tomllib as tomllib
else:
    import tomli as tomllib

LOCK_NAME = re.compile(r"pylock(\.[^.]+)?\.toml")
"""PEP 751: ``pylock.toml`` or ``pylock.<name>.toml``, without a dot in the name."""

FILENAME = re.compile(r"[A-Za-z0-9_.+!-]+\.whl")
"""What the names of wheels are written with: no separator of folders, no blank."""

MAX_SET_NAME = 60
"""Characters of the name of a version with its plugins: of files, folders and packages."""

PLUGIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
"""Name of a distribution, as the packaging specifications define it."""

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LockedWheel:
    """One wheel as a lock names it."""

    name: str
    """Distribution, normalised (``oslo-config``)."""
    version: str
    filename: str
    sha256: str
    size: int
    """Bytes; 0 where a foreign lock does not say."""
    path: str = ""
    """Relative to the lock's folder; empty: ``wheels/<filename>``."""
    url: str = ""
    """Where a foreign lock has it from; ours name none."""


@dataclass(frozen=True)
class Compatibility:
    """The ``[tool.refstack]`` table: what a node and a person must know about the version."""

    tempest: str
    releases: tuple[str, ...] = ()
    """OpenStack releases that this Tempest supports, newest first: ``2025.1``, ``zed``."""
    plugins: tuple[tuple[str, str], ...] = ()
    """Tempest plugins in the lock beside Tempest: normalised name and version, sorted."""
    constraints: str = ""
    """Name of the constraints file that it was resolved under; empty: none."""
    constraints_sha256: str = ""
    interpreter: str = ""
    """The interpreter that it was proved with, as ``cpython-3.11``."""
    exclude_newer: str = ""
    """What the index had at that time is what the resolver saw; also the date of the lock."""
    tests: int = 0
    """Tests that its environment listed when it was accepted."""


@dataclass(frozen=True)
class Lock:
    """A lock, read and checked."""

    path: Path
    digest: str
    """SHA-256 of the file: a lock's identity."""
    requires_python: str
    environments: tuple[str, ...]
    """PEP 508 markers, one of which the interpreter must meet; empty: any."""
    wheels: tuple[LockedWheel, ...]
    """In the lock's order."""
    compatibility: Compatibility

    @property
    def version(self) -> str:
        return self.compatibility.tempest

    @property
    def size(self) -> int:
        """Bytes of all the wheels together."""
        return sum(wheel.size for wheel in self.wheels)

    @property
    def set_name(self) -> str:
        """What its folder and its package are called after: see :func:`set_name`."""
        return set_name(self.version, self.compatibility.plugins)

    @property
    def label(self) -> str:
        """How messages name it: ``47.0.0`` or ``47.0.0 with keystone-tempest-plugin 0.22.0``."""
        plugins = ", ".join(f"{name} {version}" for name, version in self.compatibility.plugins)
        return f"{self.version} with {plugins}" if plugins else self.version


def plugin_word(name: str) -> str:
    """Return the short name of a plugin: ``heat`` of ``heat-tempest-plugin``."""
    name = canonicalize_name(name)
    return name.removesuffix("-tempest-plugin").removesuffix("-tests-tempest").removeprefix("tempest-") or name


def set_name(version: str, plugins: Iterable[tuple[str, str]]) -> str:
    """Return the name of a version with plugins: ``43.0.0``, ``43.0.0-heat-keystone``.

    Of many plugins only the first are in it, and a digest of them all, so that it is a file's name at any rate.
    """
    words = sorted(plugin_word(name) for name, _ in plugins)
    name = "-".join([version, *words])
    if len(name) <= MAX_SET_NAME:
        return name
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()[:8]
    shown = list(words)
    while shown and len("-".join([version, *shown])) + len("-and-99-more-") + len(digest) > MAX_SET_NAME:
        shown.pop()
    return "-".join([version, *shown, "and", str(len(words) - len(shown)), "more", digest])


def read_lock(path: Path) -> Lock:
    """Read and check a lock file.

    :raises LockError: it cannot be read, is malformed, or locks something else than wheels with their SHA-256.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LockError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_lock(path, content)


def parse_lock(path: Path, content: bytes) -> Lock:
    """Check the content of a lock file; ``path`` is where it is from.

    :raises LockError: as :func:`read_lock`.
    """
    try:
        data = tomllib.loads(content.decode())
        if not str(data["lock-version"]).startswith("1."):
            raise LockError(f"{path}: lock-version {data['lock-version']}: this software reads 1.x; upgrade it")
        return Lock(
            path,
            hashlib.sha256(content).hexdigest(),
            _specifier(data.get("requires-python", "")),
            tuple(_marker(text) for text in data.get("environments", [])),
            tuple(_wheel(package) for package in data["packages"]),
            _compatibility(data),
        )
    except RecursionError:
        raise LockError(f"{path}: not a lock of refstack-package: nested too deeply") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise LockError(f"{path}: not a lock of refstack-package: {what}") from error


def _wheel(package: Mapping[str, Any]) -> LockedWheel:
    name = canonicalize_name(package["name"])
    wheels = package["wheels"]
    if len(wheels) != 1:
        raise ValueError(f"{name}: {len(wheels)} wheels; a refstack-package lock has exactly one per package")
    return locked_wheel(name, package["version"], wheels[0])


def locked_wheel(name: str, version: str, table: Mapping[str, Any]) -> LockedWheel:
    """Make a wheel of a table of ``packages.wheels``.

    :raises ValueError: its name, hash, size or path is not what it must be.
    """
    path, url = table.get("path", ""), table.get("url", "")
    filename = table.get("name") or path.rsplit("/", 1)[-1] or unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    check_filename(filename, name, version)
    digest = table["hashes"]["sha256"].lower()
    if not SHA256.fullmatch(digest):
        raise ValueError(f"{filename}: {digest!r} is not a SHA-256")
    if path.startswith("/") or ".." in path.split("/") or "\\" in path:
        raise ValueError(f"{filename}: path {path!r} leaves the lock's folder")
    size = table.get("size", 0)
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"{filename}: {size!r} is not a size")
    return LockedWheel(name, version, filename, digest, size, path, url)


def check_filename(filename: str, name: str, version: str) -> None:
    """See that a wheel's file name is one, and is that of ``name`` and ``version``.

    :raises ValueError: it is not.
    """
    if not FILENAME.fullmatch(filename):
        # packaging looks at name and version only, and the tags behind them could climb
        raise ValueError(f"{filename!r} is not the name of a wheel")
    try:
        of_name, of_version, _, _ = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise ValueError(f"{filename!r} is not the name of a wheel") from error
    if of_name != canonicalize_name(name) or str(of_version) != version:
        raise ValueError(f"{filename}: is not {name} {version}")


def _compatibility(data: Mapping[str, Any]) -> Compatibility:
    table = data.get("tool", {}).get("refstack")
    if table is None:
        raise ValueError("[tool.refstack] is missing")
    constraints = table.get("constraints", {})
    tests = table.get("tests", 0)
    if type(tests) is not int or tests < 0:
        raise ValueError(f"tests = {tests!r} is not a number of tests")
    return Compatibility(
        tempest=_tempest(table["tempest"]),
        releases=_releases(table.get("openstack-releases", [])),
        plugins=tuple(sorted(_plugin(name, version) for name, version in table.get("plugins", {}).items())),
        constraints=_text(constraints.get("name", ""), "constraints"),
        constraints_sha256=_text(constraints.get("sha256", ""), "constraints"),
        interpreter=_text(table.get("interpreter", ""), "interpreter"),
        exclude_newer=str(table.get("exclude-newer", "")),
        tests=tests,
    )


def _tempest(version: Any) -> str:
    # folders, files and packages are called after it
    trouble = release_trouble(_text(version, "tempest"))
    if trouble:
        raise ValueError(f"tempest: {trouble}")
    return str(version)


def _releases(listed: Any) -> tuple[str, ...]:
    if not isinstance(listed, list):
        raise ValueError(f"openstack-releases: {listed!r} is not a list")
    return tuple(_text(release, "openstack-releases") for release in listed)


def _plugin(name: str, version: Any) -> tuple[str, str]:
    # also in the names of folders, files and packages
    if not PLUGIN.fullmatch(name):
        raise ValueError(f"plugins: {name!r} is not the name of a distribution")
    return canonicalize_name(name), _text(version, "plugins")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{what}: {value!r} is not a string of one line")
    return value


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f"requires-python {text!r}: {error}") from error
    return text


def _marker(text: str) -> str:
    try:
        Marker(text)
    except InvalidMarker as error:
        raise ValueError(f"environments: {error}") from error
    return text
