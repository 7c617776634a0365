"""Clean Debian roots to build and to try packages in: made once with mmdebstrap, then used as often as wanted.

A root is a folder below the cache, named after what it was made of; nothing ever writes into it. Who wants to work in
it gets a :class:`CleanRoot`, an overlay on top, that is gone afterwards. Needs root, mmdebstrap and systemd-container.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from refstack_worker import process
from refstack_worker.errors import BuildError

MIRROR = os.environ.get("REFSTACK_DEBIAN_MIRROR", "http://deb.debian.org/debian")
"""Where Debian's packages come from."""

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
"""Debian's releases that are supported, and the one Python that each of them has."""

MINIMAL = ("ca-certificates", "python3")


def default_cache() -> Path:
    """Return the folder in which roots are kept: ``$REFSTACK_TEST_CACHE`` or ``~/.cache/refstack-worker``."""
    return Path(os.environ.get("REFSTACK_TEST_CACHE") or Path.home() / ".cache" / "refstack-worker")


@dataclass(frozen=True)
class RootRecipe:
    """What a root is made of."""

    suite: str = "bookworm"
    include: tuple[str, ...] = MINIMAL
    """Debian packages beside the essential ones and apt."""
    mirror: str = MIRROR

    @property
    def name(self) -> str:
        """Name of its folder in the cache: another recipe, another name."""
        text = "\n".join((self.suite, self.mirror, *sorted(set(self.include))))
        return f"{self.suite}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Enter:
    """How a command runs in a root."""

    network: bool = False
    """The host's network; without it, loopback alone."""
    env: Mapping[str, str] = field(default_factory=dict)
    binds: Mapping[Path, str] = field(default_factory=dict)
    """Folders of the host (writable) and where they appear in the root."""
    input: str | None = None
    cwd: str = "/"
    user: str = "root"
    check: bool = True
    timeout: float | None = 3600
    """Seconds."""


PLAIN = Enter()


def base_root(recipe: RootRecipe, cache: Path) -> Path:
    """Return the folder of a root made by the recipe; it is made when it is not in the cache yet (about a minute).

    :raises BuildError: the packages cannot be had, or mmdebstrap is not installed.
    """
    folder = cache / "roots" / recipe.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_suffix(".lock")):
        if not folder.exists():
            _make(recipe, folder)
    return folder


def tarball(recipe: RootRecipe, cache: Path) -> Path:
    """Return the same as a ``.tar.gz`` file, for tools that want one (piuparts)."""
    folder = base_root(recipe, cache)
    path = folder.with_suffix(".tar.gz")
    with _alone(folder.with_suffix(".lock")):
        if not path.exists():
            part = path.with_suffix(".part")
            process.run(["tar", "--numeric-owner", "--xattrs", "-C", folder, "-czf", part, "."])
            part.rename(path)
    return path


def _make(recipe: RootRecipe, folder: Path) -> None:
    if os.geteuid() != 0:
        raise BuildError("making a clean Debian root needs root: run this command as root")
    for tool in ("mmdebstrap", "systemd-nspawn"):
        if not shutil.which(tool):
            raise BuildError(f"{tool}: not found; apt-get install mmdebstrap systemd-container")
    part = folder.with_suffix(f".part{os.getpid()}")
    try:
        process.run(
            [
                "mmdebstrap",
                "--variant=minbase",
                "--format=directory",
                f"--include={','.join(sorted(set(recipe.include)))}",
                recipe.suite,
                part,
                recipe.mirror,
            ]
        )
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


class CleanRoot:
    """A throw-away copy of a root: what is done in it is gone when the context ends."""

    def __init__(self, base: Path, size: str = "") -> None:
        """:param size: limit of what may be written (as ``2G``); then it is kept in memory, else on the disk."""
        self._base = base
        self._size = size
        self._work = Path()

    @property
    def path(self) -> Path:
        """The root's folder as the host sees it."""
        return self._work / "root"

    def __enter__(self) -> CleanRoot:
        self._work = Path(tempfile.mkdtemp(prefix="refstack-root-"))
        try:
            if self._size:
                process.run(["mount", "-t", "tmpfs", "-o", f"size={self._size},mode=0755", "tmpfs", self._work])
            for name in ("upper", "work", "root"):
                (self._work / name).mkdir(0o755)
            shutil.copystat(self._base, self._work / "upper")
            layers = f"lowerdir={self._base},upperdir={self._work}/upper,workdir={self._work}/work"
            process.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.path])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for mounted in (self.path, self._work):
            if os.path.ismount(mounted):
                process.run(["umount", "--recursive", mounted], process.Options(check=False))
        if not os.path.ismount(self.path):  # else removing it would remove what is below
            shutil.rmtree(self._work, ignore_errors=True)

    def run(self, argv: Sequence[str | Path], enter: Enter = PLAIN) -> process.Completed:
        """Run a command in it, as its only process tree, and return its output.

        :raises ProcessError: it failed (unless ``check`` is off) or took too long.
        """
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        words = [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2", "--console=pipe"),
            f"--machine={machine_name(self._work)}",
            f"--directory={self.path}",
            f"--chdir={enter.cwd}",
            f"--user={enter.user}",
            "--resolv-conf=copy-host" if enter.network else "--private-network",
            *(f"--bind={host}:{inside}" for host, inside in enter.binds.items()),
            *(f"--setenv={name}={value}" for name, value in {**env, **enter.env}.items()),
            "--",
            *(str(word) for word in argv),
        ]
        options = process.Options(input=enter.input, check=enter.check, timeout=enter.timeout)
        return process.run(words, options)

    def write(self, inside: str, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file in it."""
        path = self.path / inside.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)


def machine_name(folder: Path) -> str:
    """Return a name for the machine of a temporary folder: it may hold no ``_``, and not end in ``-``."""
    return folder.name.replace("_", "0")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
