"""The Python interpreters of this node, and what each of them can install."""

from __future__ import annotations

import functools
import glob
import json
import logging
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, platform_tags
from packaging.utils import parse_wheel_filename

from refstack_worker import process
from refstack_worker.environments.lock import Lock, LockedWheel
from refstack_worker.errors import EnvironmentBuildError, RefstackError

LOG = logging.getLogger(__name__)

SYSTEM_FOLDERS = (Path("/usr/bin"), Path("/usr/local/bin"))
"""Where interpreters are looked for; others are configured."""

PROBE_SECONDS = 20
"""Seconds for an interpreter to describe itself; one that takes longer is not used."""

# Python 3.6 and newer must be able to run it. The keys are those of the markers' environment (PEP 508).
PROBE = """
import json, os, platform, sys, sysconfig
v = sys.version_info
print(json.dumps({
    "implementation_name": sys.implementation.name,
    "implementation_version": "%d.%d.%d" % v[:3],
    "os_name": os.name,
    "platform_machine": platform.machine(),
    "platform_release": platform.release(),
    "platform_system": platform.system(),
    "platform_version": platform.version(),
    "python_full_version": platform.python_version(),
    "platform_python_implementation": platform.python_implementation(),
    "python_version": "%d.%d" % v[:2],
    "sys_platform": sys.platform,
    "extra": "",
    "_cache_tag": sys.implementation.cache_tag,
    "_abiflags": getattr(sys, "abiflags", ""),
    "_real": os.path.realpath(sys.executable),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """One interpreter, as it describes itself."""

    path: Path
    facts: tuple[tuple[str, str], ...]
    """The environment for markers (PEP 508), and with ``_`` in front what else is needed."""

    def fact(self, name: str) -> str:
        """Return one of the facts."""
        return dict(self.facts)[name]

    @property
    def version(self) -> str:
        return self.fact("python_full_version")

    @property
    def series(self) -> str:
        """Version without its last part, ``3.11``."""
        return self.fact("python_version")

    @property
    def name(self) -> str:
        return f"{self.fact('implementation_name')}-{self.series}"

    @functools.cached_property
    def tag(self) -> str:
        """What byte-code and unpacked wheels of this interpreter are kept under: ``cpython-311-x86_64``."""
        return f"{self.fact('_cache_tag')}-{self.fact('platform_machine')}"

    @property
    def identity(self) -> str:
        """Tells this very interpreter from its next update; a proof holds for one identity."""
        return f"{self.tag}-{self.version}"

    def problem_with(self, lock: Lock) -> str:
        """Say why this interpreter cannot serve a lock; empty when it can."""
        if lock.requires_python and not SpecifierSet(lock.requires_python).contains(self.version, prereleases=True):
            return f"needs Python {needed(lock.requires_python)}; this node has {self.series}"
        environment = {name: value for name, value in self.facts if not name.startswith("_")}
        if lock.environments and not any(Marker(text).evaluate(environment) for text in lock.environments):
            return f"is locked for {' or '.join(lock.environments)}, which {self.path} does not match"
        for wheel in lock.wheels:
            if not self.accepts(wheel):
                machine = self.fact("platform_machine")
                return f"{wheel.filename} does not run on {self.name}, {machine} with this C library"
        return ""

    def on_machine(self, machine: str) -> Interpreter:
        """Return what the same Python is on another kind of machine (``aarch64``): to make locks for, not to be run."""
        facts = ((name, machine if name == "platform_machine" else value) for name, value in self.facts)
        return replace(self, facts=tuple(facts))

    def accepts(self, wheel: LockedWheel) -> bool:
        """Tell whether a wheel's tags are among those of this interpreter."""
        return not _tags_of(wheel.filename).isdisjoint(self.ranks())

    def ranks(self) -> dict[Tag, int]:
        """Return the tags that this interpreter takes, each with its rank, 0 the best."""
        return _ranks(self.series, self.fact("_abiflags"), self.fact("platform_machine"))


def needed(requires_python: str) -> str:
    """Say a version range as people do: ``==3.11.*`` is ``3.11``, ``<3.11`` is ``< 3.11``."""
    words = []
    for specifier in sorted(requires_python.split(",")):
        specifier = specifier.strip()
        operator = specifier.rstrip("0123456789.*")
        version = specifier[len(operator) :]
        words.append(version[:-2] if operator == "==" and version.endswith(".*") else f"{operator} {version}")
    return ", ".join(words)


def probe(path: Path) -> Interpreter:
    """Ask an interpreter what it is; the answer is remembered until the file changes.

    :raises EnvironmentBuildError: missing, or not Python 3.
    """
    try:
        known = path.stat()
    except OSError as error:
        raise EnvironmentBuildError(f"{path}: not a usable interpreter: {error.strerror}") from error
    return _probe(path, (known.st_ino, known.st_mtime_ns, known.st_size))


@functools.lru_cache(maxsize=64)
def _probe(path: Path, _state: tuple[int, int, int]) -> Interpreter:
    options = process.Options(timeout=PROBE_SECONDS, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"})
    try:
        facts = json.loads(process.run([path, "-I", "-S", "-c", PROBE], options).stdout)
        return Interpreter(path, tuple((str(name), str(value)) for name, value in facts.items()))
    except (RefstackError, ValueError, AttributeError) as error:
        raise EnvironmentBuildError(f"{path}: does not work as a Python 3 interpreter: {error}") from error


def candidates(extra: Iterable[Path] = ()) -> list[Path]:
    """Return the paths at which interpreters are: those configured first, then the system's, newest first."""
    found = list(extra)
    own = Path(sys.executable)
    if own.is_absolute() and sys.prefix == sys.base_prefix:
        found.append(own)
    for folder in SYSTEM_FOLDERS:
        names = [name for name in glob.glob(f"{folder}/python3.*") if name.rpartition("3.")[2].isdigit()]
        found += sorted((Path(name) for name in names), key=_minor, reverse=True)
    return list(dict.fromkeys(found))


def find(extra: Sequence[Path] = ()) -> list[Interpreter]:
    """Return the interpreters that work, one for each thing that is an interpreter, in the order of preference."""
    configured = set(extra)
    found: dict[str, Interpreter] = {}
    for path in candidates(extra):
        try:
            interpreter = probe(path)
        except EnvironmentBuildError as error:
            if path in configured:
                LOG.warning("%s; is 'interpreters' right?", error)
            continue
        found.setdefault(interpreter.fact("_real"), interpreter)
    return list(found.values())


def _minor(path: Path) -> int:
    return int(path.name.rpartition("3.")[2])


@functools.lru_cache(maxsize=16)
def _ranks(series: str, abiflags: str, machine: str) -> dict[Tag, int]:
    own = platform.machine()
    platforms = [re.sub(rf"_{own}\Z", f"_{machine}", tag) for tag in platform_tags()]  # with this C library
    major, minor = (int(part) for part in series.split("."))
    abi = f"cp{major}{minor}{abiflags}"
    tags = list(cpython_tags((major, minor), [abi], platforms))
    tags += compatible_tags((major, minor), f"cp{major}{minor}", platforms)
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


@functools.lru_cache(maxsize=4096)
def _tags_of(filename: str) -> frozenset[Tag]:
    return parse_wheel_filename(filename)[3]
