"""The files of a lock: downloaded, verified, and built where the index has only sources."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from refstack_worker import process
from refstack_worker.builder.locks.resolve import SECONDS, Artefact, ResolveRequest
from refstack_worker.environments.lock import LockedWheel
from refstack_worker.environments.wheels.download import Downloader, Landing
from refstack_worker.environments.wheels.sources import PARALLEL
from refstack_worker.errors import BuildError
from refstack_worker.filesystem import make_folder

BUILD_EPOCH = "946684800"
"""Time stamp of what is in a built wheel (2000-01-01), so that the same sources give the same bytes."""

SAID = 600
"""Characters of a failed build's output that the message carries."""


@dataclass(frozen=True)
class Gathered:
    """A wheel on the disk, and what it was built from, if it was."""

    wheel: LockedWheel
    file: Path
    sdist: Artefact | None = None


def gather(
    question: ResolveRequest, artefacts: Sequence[Artefact], uv: Path, work: Path, ca_file: str
) -> list[Gathered]:
    """Download what was resolved into ``work`` and build wheels of what is only source.

    :raises WheelError: a file cannot be downloaded, or differs from what the index announced.
    :raises BuildError: a wheel cannot be built.
    """
    downloader = Downloader(ca_file)
    landing = Landing(make_folder(work / "parts"), make_folder(work / "whole"))

    def fetch(artefact: Artefact) -> Path:
        # a source distribution arrives the same way; only its name differs
        file = LockedWheel(artefact.name, artefact.version, artefact.filename, artefact.sha256, artefact.size)
        path = downloader.wheel(artefact.url, file, landing)
        if path is None:
            raise BuildError(f"{artefact.filename}: the index names it but does not have it")
        return path.rename(make_folder(work / "files" / artefact.sha256) / artefact.filename)

    with ThreadPoolExecutor(PARALLEL) as pool:
        paths = list(pool.map(fetch, artefacts))
    return [
        _as_is(artefact, path) if artefact.is_wheel else _built(question, artefact, path, uv, work)
        for artefact, path in zip(artefacts, paths)
    ]


def _as_is(artefact: Artefact, path: Path) -> Gathered:
    return Gathered(_locked(artefact, path), path)


def _locked(artefact: Artefact, path: Path) -> LockedWheel:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    where = f"wheels/{path.name}"
    return LockedWheel(artefact.name, artefact.version, path.name, digest, path.stat().st_size, where)


def _built(question: ResolveRequest, artefact: Artefact, sdist: Path, uv: Path, work: Path) -> Gathered:
    out = make_folder(work / "built" / artefact.sha256)
    words: list[str | Path] = [
        uv, "build", "--quiet", "--wheel", "--no-python-downloads", "--python", question.interpreter.path,
        "--exclude-newer", question.exclude_newer, "--out-dir", out, _unpacked(sdist, work),
    ]  # fmt: skip
    if question.index:
        words += ["--default-index", question.index]
    done = process.run(words, process.Options(cwd=work, env=_build_env(work), timeout=SECONDS, check=False))
    if done.returncode != 0:
        output = " ".join(done.stderr.replace(str(work), "").split())[:SAID]
        raise BuildError(
            f"{artefact.filename}: the index has no wheel of it for {question.interpreter.name}, and none can be built "
            f"({output}); use an interpreter from the time of its release"
        )
    wheels = sorted(out.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(f"{artefact.filename}: building it gave {len(wheels)} wheels, not one")
    return Gathered(_locked(artefact, wheels[0]), wheels[0], artefact)


def _unpacked(sdist: Path, work: Path) -> Path:
    """Unpack a verified source distribution; the compiler leaves the folder's name out of what it builds."""
    folder = make_folder(work / "source" / sdist.name)
    try:
        shutil.unpack_archive(sdist, folder)
        (source,) = folder.iterdir()
    except (shutil.ReadError, OSError, ValueError) as error:
        raise BuildError(f"{sdist.name}: not a source distribution: {error}") from error
    return source


def _build_env(work: Path) -> dict[str, str]:
    """Return the environment of a build whose bytes depend on the sources, not on the place and the time."""
    flags = f"-g0 -ffile-prefix-map={work}=."
    return {
        **os.environ,
        "SOURCE_DATE_EPOCH": BUILD_EPOCH,
        "PYTHONHASHSEED": "0",
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} {flags}".strip(),
        "CXXFLAGS": f"{os.environ.get('CXXFLAGS', '')} {flags}".strip(),
        "LDFLAGS": f"{os.environ.get('LDFLAGS', '')} -Wl,-s".strip(),
    }
