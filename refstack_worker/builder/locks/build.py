"""Building source distributions and wheels with uv, so that the same sources give the same bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refstack_worker import process
from refstack_worker.builder.locks.uv import Uv
from refstack_worker.environments.interpreters import Interpreter
from refstack_worker.errors import BuildError
from refstack_worker.filesystem import make_folder

BUILD_EPOCH = 946684800
"""Time stamp of what is in a built wheel (2000-01-01), so that the same sources give the same bytes."""

SAID = 600
"""Characters of a failed build's output that the message carries."""


@dataclass(frozen=True)
class WheelBuilder:
    """What every build is done with."""

    uv: Uv
    interpreter: Interpreter
    exclude_newer: str
    """RFC 3339; build tools that the index got later do not exist."""

    def wheel(self, sdist: Path, out: Path, version: str = "") -> Path:
        """Build the wheel of a source distribution into a folder.

        :param version: what its version is to be, where it is not the one that the sources say.
        :raises BuildError: it cannot be built.
        """
        done = self._build(["--wheel"], self._unpacked(sdist), out, version)
        if done.returncode != 0:
            raise BuildError(
                f"{sdist.name}: the index has no wheel of it for {self.interpreter.name}, and none can be built "
                f"({self._end(done)}); use an interpreter from the time of its release"
            )
        return _only(out, "*.whl", sdist.name)

    def sdist(self, tree: Path, out: Path, version: str = "") -> Path:
        """Build the source distribution of a source tree into a folder.

        :raises BuildError: it cannot be built.
        """
        done = self._build(["--sdist"], tree, out, version)
        if done.returncode != 0:
            raise BuildError(f"{tree.name}: cannot build a source distribution of it ({self._end(done)})")
        return _only(out, "*.tar.gz", tree.name)

    def _build(self, kind: Sequence[str], tree: Path, out: Path, version: str) -> process.Completed:
        make_folder(out)
        words: list[str | Path] = [
            "build", "--quiet", *kind, "--no-python-downloads", "--python", self.interpreter.path, "--out-dir", out,
            tree,
        ]  # fmt: skip
        extra = {**_flags(self.uv.work), **_version(version)}
        done = self.uv.run([*words, "--exclude-newer", self.exclude_newer], extra)
        if done.returncode != 0 and "exclude-newer" in done.stderr:  # an index that does not say when it got a file
            done = self.uv.run(words, extra)
        return done

    def _unpacked(self, sdist: Path) -> Path:
        """Unpack a verified source distribution; the compiler leaves the folder's name out of what it builds."""
        folder = make_folder(self.uv.work / "source" / sdist.name)
        try:
            shutil.unpack_archive(sdist, folder)
            (source,) = folder.iterdir()
        except (shutil.ReadError, OSError, ValueError) as error:
            raise BuildError(f"{sdist.name}: not a source distribution: {error}") from error
        return source

    def _end(self, done: process.Completed) -> str:
        return " ".join(done.stderr.replace(str(self.uv.work), "").split())[-SAID:]


def _only(folder: Path, pattern: str, what: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise BuildError(f"{what}: building it gave {len(found)} files, not one")
    return found[0]


def _version(version: str) -> dict[str, str]:
    """Return the variables by which pbr, which OpenStack uses, and setuptools-scm take a version."""
    return {"PBR_VERSION": version, "SETUPTOOLS_SCM_PRETEND_VERSION": version} if version else {}


def _flags(work: Path) -> Mapping[str, str]:
    """Return what makes a build's bytes depend on the sources, not on the place and the time."""
    flags = f"-g0 -ffile-prefix-map={work}=."
    return {
        "SOURCE_DATE_EPOCH": str(BUILD_EPOCH),
        "PYTHONHASHSEED": "0",
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} {flags}".strip(),
        "CXXFLAGS": f"{os.environ.get('CXXFLAGS', '')} {flags}".strip(),
        "LDFLAGS": f"{os.environ.get('LDFLAGS', '')} -Wl,-s".strip(),
    }
