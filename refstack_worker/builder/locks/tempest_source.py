"""Tempest that is not a release on the index: a commit, a checkout, a source distribution.

Guidelines name commits, and clouds carry patches. Such a Tempest becomes a source distribution, of that one wheel, and
the wheel goes into the lock as any other; no node builds anything. Its version tells it from each release: a commit is
``47.0.1.dev5+g1a2b3c4``, as pbr counts commits, with the commit behind it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import InvalidVersion, Version

from refstack_worker import process
from refstack_worker.builder.locks.build import BUILD_EPOCH, WheelBuilder
from refstack_worker.contract.payload import is_release
from refstack_worker.environments.wheels.download import shown
from refstack_worker.errors import BuildError, ProcessError, UsageError
from refstack_worker.filesystem import make_folder

GIT = re.compile(r"git\+((?:https?|ssh|git|file)://[^\s#]+)@([A-Za-z0-9][A-Za-z0-9._/+-]*)")
"""``git+URL@REF``, as pip writes it; a commit is the one kind of REF that means the same tomorrow."""

LEFT_OUT = (".tox", ".venv", "venv", ".stestr", "__pycache__", "*.pyc", "build", "dist", "*.egg-info")
"""What a checkout holds beside its sources."""

_SETTINGS = (("safe.directory", "*"), ("core.fsmonitor", "false"), ("core.hooksPath", os.devnull))
"""A repository may belong to another user than the one who locks; git must execute nothing that it names."""

SECONDS = 900
"""A clone that takes longer is given up."""


@dataclass(frozen=True)
class TempestSource:
    """Where Tempest is from, if not from the index."""

    place: str
    """Repository, folder or file."""
    reference: str = ""
    """Commit, tag or branch of a repository."""

    @classmethod
    def parse(cls, text: str) -> TempestSource | None:
        """Return the source that a word names; None: it is a version.

        :raises UsageError: it looks like a repository, without a commit, or a file that is not there.
        """
        found = GIT.fullmatch(text)
        if found:
            return cls(found[1], found[2])
        if text.startswith("git+"):
            raise UsageError(f"{shown(text)}: name the commit: git+https://opendev.org/openstack/tempest@COMMIT")
        path = Path(text)
        if path.is_dir() or path.name.endswith(".tar.gz") or "/" in text:
            if not path.exists():
                raise UsageError(f"{text}: no such checkout or source distribution")
            return cls(str(path.absolute()))
        return None


@dataclass(frozen=True)
class BuiltSource:
    version: str
    wheel: Path
    sdist: Path
    sha256: str
    """Of the source distribution."""
    commit: str = ""
    """Full id of the commit; empty: not from a repository."""


def build_source(source: TempestSource, builder: WheelBuilder, version: str = "") -> BuiltSource:
    """Build Tempest's wheel from a source.

    :param version: what it is to be called; empty: what follows from the source.
    :raises BuildError: the source cannot be had or built, or does not take the version.
    """
    work = make_folder(builder.uv.work / "tempest")
    path = Path(source.place)
    if not source.reference and path.is_file():
        sdist, commit = Path(shutil.copy(path, make_folder(work / "sdist"))), ""
        name = version or _distinct(_version_of(sdist), f"s{_digest(sdist)[:7]}")
    else:
        tree, commit, is_changed = _cloned(source, work) if source.reference else _copied(path, work)
        sdist, name = _sdist_of(tree, builder, work, lambda s: version or _named(_version_of(s), commit, is_changed, s))
    wheel = builder.wheel(sdist, work / "wheel", name)
    distribution, built, _, _ = parse_wheel_filename(wheel.name)
    if distribution != "tempest":
        raise BuildError(f"{shown(source.place)}: builds {distribution}, not tempest")
    if str(built) != name:
        raise BuildError(f"{shown(source.place)}: builds as {built}, but {name} was requested")
    return BuiltSource(name, wheel, sdist, _digest(sdist), commit)


def _sdist_of(tree: Path, builder: WheelBuilder, work: Path, named: Callable[[Path], str]) -> tuple[Path, str]:
    """Return the source distribution of a tree, always of the same bytes, and the version that it has."""
    first = builder.sdist(tree, work / "first")
    name = named(_repacked(first, work / "counted"))
    sdist = first if name == _version_of(first) else builder.sdist(tree, work / "renamed", name)
    return _repacked(sdist, work / "sdist"), name


def _named(version: str, commit: str, is_changed: bool, sdist: Path) -> str:
    """Return the version of a tree: what it says of itself, and what tells it from others."""
    parts = ([f"g{commit[:7]}"] if commit else []) + ([f"s{_digest(sdist)[:7]}"] if is_changed or not commit else [])
    return version if "+" in version else f"{version}+{'.'.join(parts)}"


def _distinct(version: str, mark: str) -> str:
    """Return a version that no release has."""
    return f"{version}+{mark}" if is_release(version) else version


def _cloned(source: TempestSource, work: Path) -> tuple[Path, str, bool]:
    tree = work / "tempest"
    _git("clone", "--quiet", "--no-checkout", source.place, str(tree), what=f"cannot clone {shown(source.place)}")
    try:
        _git("-C", str(tree), "checkout", "--quiet", "--detach", source.reference, what="")
    except BuildError:  # a change under review, or a commit that no branch holds
        what = f"{shown(source.place)} has no {source.reference}"
        _git("-C", str(tree), "fetch", "--quiet", "origin", source.reference, what=what)
        _git("-C", str(tree), "checkout", "--quiet", "--detach", "FETCH_HEAD", what=what)
    return tree, _git("-C", str(tree), "rev-parse", "HEAD", what="no commit"), False


def _copied(folder: Path, work: Path) -> tuple[Path, str, bool]:
    tree = work / "tempest"
    shutil.copytree(folder, tree, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    if not (folder / ".git").exists():
        return tree, "", True
    commit = _git("-C", str(folder), "rev-parse", "HEAD", what=f"{folder}: not a repository")
    return tree, commit, _is_changed(folder, commit, work / "status.git")


def _is_changed(folder: Path, commit: str, beside: Path) -> bool:
    """Return whether a checkout differs from its commit.

    ``git status`` executes what the configuration of a repository names, and that may be another user's: filters,
    ``core.fsmonitor``, transports that fetch a missing object. So the question is asked in a repository of our own that
    borrows the objects and has a copy of the index.
    """
    what = f"{folder}: no status"
    inside = ("-C", str(folder), "rev-parse", "--git-path")
    objects, index = ((folder / _git(*inside, name, what=what)).absolute() for name in ("objects", "index"))
    kind = ("--object-format=sha256",) if len(commit) == hashlib.sha256().digest_size * 2 else ()
    _git("init", "--quiet", "--bare", "--template=", *kind, str(beside), what=what)
    (beside / "objects" / "info").mkdir(exist_ok=True)
    (beside / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    (beside / "HEAD").write_text(f"{commit}\n")
    for file in (*index.parent.glob(index.name), *index.parent.glob("sharedindex.*")):
        shutil.copy2(file, beside / file.name)
    own = (f"--git-dir={beside}", f"--work-tree={folder}", "-c", "core.bare=false")
    return bool(_git(*own, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all", what=what))


def _git(*words: str, what: str) -> str:
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C.UTF-8"}
    env["GIT_CONFIG_COUNT"] = str(len(_SETTINGS))
    for number, (name, value) in enumerate(_SETTINGS):
        env.update({f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value})
    if not shutil.which("git"):
        raise BuildError("git: not found; install git, or give a source distribution")
    try:
        return process.run(["git", *words], process.Options(env=env, timeout=SECONDS)).stdout.strip()
    except ProcessError as error:
        raise BuildError(f"{what}: {str(error).rpartition(': ')[2]}") from error


def _version_of(sdist: Path) -> str:
    """Return the version that a source distribution says of itself."""
    try:
        with tarfile.open(sdist) as archive:
            info = next(member for member in archive if re.fullmatch(r"(\./)?[^/]+/PKG-INFO", member.name))
            stream = archive.extractfile(info)
            text = stream.read().decode("utf-8", "replace") if stream is not None else ""
        return str(Version(HeaderParser().parsestr(text)["Version"]))
    except (OSError, tarfile.TarError, StopIteration, TypeError, InvalidVersion) as error:
        raise BuildError(f"{sdist.name}: not a source distribution of Tempest (no PKG-INFO with a version)") from error


def _repacked(sdist: Path, folder: Path) -> Path:
    """Pack a source distribution again so that its bytes depend on nothing but the files in it."""
    packed = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            content = old.extractfile(member) if member.isfile() else None
            member.mtime, member.uid, member.gid, member.uname, member.gname = BUILD_EPOCH, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, content)
    target = make_folder(folder) / sdist.name
    target.write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))
    return target


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
