"""A package of one Tempest version: what goes into it, whatever its format; those are ``deb.py`` and ``rpm.py``."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from refstack_worker.builder.packages import deb, licences, provenance, rpm, sbom, vulnerabilities
from refstack_worker.builder.packages.licences import WheelFacts
from refstack_worker.builder.packages.package import TempestPackage
from refstack_worker.builder.packages.supported_tempest import execute_test_for
from refstack_worker.environments.lock import LOCK_NAME, Lock, read_lock
from refstack_worker.errors import BuildError, UsageError
from refstack_worker.filesystem import FOLDER_MODE, sha256_of

LOG = logging.getLogger(__name__)

Recipe = Callable[[TempestPackage, Path, Path], Path]

RECIPES: Mapping[str, Recipe] = {"deb": deb.build, "rpm": rpm.build}
"""Format to what makes it of a package, its tree, and the folder to put it in."""

TOOLS = {"deb": ("dpkg-deb", "dpkg"), "rpm": ("rpmbuild", "rpm (Debian) or rpm-build")}
"""Format to the program that its recipe runs, and the package that has it."""


@dataclass(frozen=True)
class PackageRequest:
    """Packages that are to be built of one locked version."""

    folder: Path
    """A version's folder, as ``refstack-package lock`` made it: locks, and ``wheels/``."""
    out: Path
    formats: tuple[str, ...] = ("deb", "rpm")
    revision: int = 1
    """Counted up when the same Tempest version is packaged again."""
    interpreters: tuple[tuple[str, str], ...] = ()
    """Series of Python to the system package that has it (``3.8``, ``opt-python3.8``), where it is another."""
    osv: Path | None = None
    """Records of known vulnerabilities; None: the wheels are not looked up."""
    fails_if_vulnerable: bool = False
    builder: str = provenance.BUILDER
    """URI of the machine or service that builds, for the provenance."""


def build(request: PackageRequest) -> list[Path]:
    """Build the packages and return their files. The same locks give the same bytes, wherever and whenever.

    Beside each lies a statement of its provenance.

    :raises BuildError: a lock or a wheel is not right, a tool is missing or fails, or a wheel has a known vulnerability
        and the request forbids it.
    """
    check_formats(request.formats)
    locks = read_locks(request.folder)
    facts = check_wheels(request.folder, locks)
    report = look_up(request, locks)
    package = describe(request, locks, facts)
    request.out.mkdir(parents=True, exist_ok=True)
    built = []
    with tempfile.TemporaryDirectory(prefix="refstack-package-") as name:
        for format_ in request.formats:
            tree = Path(name) / format_
            stage(package, request.folder, facts, tree)
            built.append(RECIPES[format_](package, tree, request.out))
    for file in built:
        provenance.write(file, provenance.BuildFacts(package, locks, request.builder, report))
    return built


def check_formats(formats: Sequence[str]) -> None:
    """Check that packages of these formats can be built here.

    :raises UsageError: there is no such format.
    :raises BuildError: the tool that builds one is missing.
    """
    unknown = set(formats) - set(RECIPES)
    if unknown:
        raise UsageError(f"--format {', '.join(sorted(unknown))}: choose from {', '.join(RECIPES)}")
    for format_ in formats:
        tool, provider = TOOLS[format_]
        if not shutil.which(tool):
            raise BuildError(f"{tool}: not found; install {provider}, or leave {format_} out of --format")


def look_up(request: PackageRequest, locks: Sequence[Lock]) -> vulnerabilities.VulnerabilityReport | None:
    """Return what is known of vulnerabilities in the wheels, and log it; None: they were not looked up."""
    if request.osv is None:
        LOG.warning("known vulnerabilities were not checked; give OSV records with --osv")
        return None
    report = vulnerabilities.check_locks(request.osv, locks)
    for one in report.found:
        LOG.warning("known vulnerability: %s", one)
    if report.found and request.fails_if_vulnerable:
        names = sorted({f"{one.package} {one.version}" for one in report.found})
        raise BuildError(
            f"known vulnerabilities in {', '.join(names)}; lock other versions, or leave out --fail-if-vulnerable"
        )
    LOG.warning("known vulnerabilities: %d, of %d records in %s", len(report.found), report.records, report.source)
    return report


def read_locks(folder: Path) -> tuple[Lock, ...]:
    """Return the locks of a version's folder, in the order of their names.

    :raises BuildError: there are none, or they are of more than one version.
    """
    paths = sorted(path for path in folder.glob("*.toml") if LOCK_NAME.fullmatch(path.name))
    locks = tuple(read_lock(path) for path in paths)
    if not locks:
        raise BuildError(f"{folder}: no pylock.*.toml there; 'refstack-package lock VERSION' makes one")
    versions = sorted({lock.version for lock in locks})
    if len(versions) > 1:
        raise BuildError(f"{folder}: locks of Tempest {' and '.join(versions)}; a package has one version")
    sets = sorted({lock.set_name for lock in locks})
    if len(sets) > 1:
        raise BuildError(
            f"{folder}: locks of {' and '.join(sets)}; a package has one set of plugins; put them into separate folders"
        )
    for lock in locks:
        if not lock.compatibility.tests:
            raise BuildError(f"{lock.path}: was never checked to list tests; run 'refstack-package verify-lock'")
    return locks


def check_wheels(folder: Path, locks: Sequence[Lock]) -> dict[str, WheelFacts]:
    """Compare every wheel with its lock and return what it says of itself, by file name.

    :raises BuildError: one is missing or is not what was locked.
    """
    facts: dict[str, WheelFacts] = {}
    for wheel in (wheel for lock in locks for wheel in lock.wheels):
        path = folder / (wheel.path or f"wheels/{wheel.filename}")
        try:
            with path.open("rb") as stream:
                digest = sha256_of(stream)
        except OSError as error:
            raise BuildError(f"{path}: {error.strerror}; lock the version again") from error
        if digest != wheel.sha256:
            raise BuildError(f"{path}: not the file that was locked (SHA-256 {digest}); lock the version again")
        if wheel.filename not in facts:
            facts[wheel.filename] = licences.read_wheel(path)
    return facts


def describe(request: PackageRequest, locks: Sequence[Lock], facts: Mapping[str, WheelFacts]) -> TempestPackage:
    """Put together what the recipes need to know."""
    newest = max(locks, key=lambda lock: len(lock.compatibility.releases)).compatibility
    machines = {m for lock in locks for text in lock.environments for m in ("x86_64", "aarch64") if f"'{m}'" in text}
    return TempestPackage(
        tempest=locks[0].version,
        revision=request.revision,
        pythons=tuple(sorted({series_of(lock) for lock in locks}, key=_numbers)),
        releases=newest.releases,
        plugins=tuple(sorted({plugin for lock in locks for plugin in lock.compatibility.plugins})),
        constraints=newest.constraints,
        tests=max(lock.compatibility.tests for lock in locks),
        locks=tuple((lock.path.name, lock.digest) for lock in locks),
        machine=machines.pop() if len(machines) == 1 else "",
        execute_test=execute_test_for(locks[0].version),
        epoch=epoch_of(locks),
        interpreters=request.interpreters,
        licences=tuple((name, about) for name, about in sorted(facts.items())),
    )


def series_of(lock: Lock) -> str:
    """Return the series of Python that a lock is for: ``3.11``."""
    name = lock.compatibility.interpreter
    if not name.startswith("cpython-"):
        raise BuildError(f"{lock.path}: interpreter {name!r}: only CPython has packages (e.g. cpython-3.11)")
    return name.removeprefix("cpython-")


def epoch_of(locks: Sequence[Lock]) -> int:
    """Return the one time in a package: that of its newest lock, or ``SOURCE_DATE_EPOCH``.

    :raises BuildError: the locks do not say when they were made.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    dates = [lock.compatibility.exclude_newer for lock in locks if lock.compatibility.exclude_newer]
    if not dates:
        raise BuildError(f"{locks[0].path}: has no date (exclude-newer); set SOURCE_DATE_EPOCH")
    return max(int(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc).timestamp())
               for text in dates)  # fmt: skip


def stage(package: TempestPackage, folder: Path, facts: Mapping[str, WheelFacts], tree: Path) -> None:
    """Lay out the files as they will be installed, below ``tree``."""
    base = tree / package.folder
    (base / "wheels").mkdir(parents=True)
    locks = read_locks(folder)
    for lock in locks:
        shutil.copyfile(lock.path, base / lock.path.name)
        for wheel in lock.wheels:
            shutil.copyfile(folder / (wheel.path or f"wheels/{wheel.filename}"), base / "wheels" / wheel.filename)
    (base / sbom.NAME).write_bytes(sbom.bill(package.name, locks, dict(facts), package.epoch))
    write_licences(facts, base / "licences")
    settle(tree, package.epoch)


def write_licences(facts: Mapping[str, WheelFacts], folder: Path) -> None:
    """Write the licence texts, a folder for each distribution; a text that was there already becomes a link."""
    first: dict[bytes, Path] = {}
    for _, about in sorted(facts.items()):
        for name, content in about.texts:
            path = folder / f"{about.name}-{about.version}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.read_bytes() != content:  # of a wheel for another interpreter
                path = path.with_name(f"{name}.{len(list(path.parent.iterdir())) + 1}")
            if not content or path.exists():
                continue
            if content in first:
                path.symlink_to(os.path.relpath(first[content], path.parent))
            else:
                path.write_bytes(content)
                first[content] = path


def settle(tree: Path, epoch: int) -> None:
    """Give everything below ``tree`` plain modes and the package's time."""
    for folder, _, files in os.walk(tree, topdown=False):
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o644)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
        os.chmod(folder, FOLDER_MODE)
        os.utime(folder, (epoch, epoch))


def _numbers(series: str) -> tuple[int, ...]:
    return tuple(int(word) for word in series.split("."))
