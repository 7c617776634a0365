"""The files of a lock: downloaded, verified, and built where the index has only sources."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.builder.locks.build import WheelBuilder
from refstack_worker.builder.locks.resolve import Artefact, ResolveRequest
from refstack_worker.builder.locks.tempest_source import BuiltSource
from refstack_worker.builder.locks.uv import Uv
from refstack_worker.environments.lock import LockedWheel
from refstack_worker.environments.wheels.download import Downloader, Landing
from refstack_worker.environments.wheels.sources import PARALLEL
from refstack_worker.errors import BuildError
from refstack_worker.filesystem import make_folder


@dataclass(frozen=True)
class BuiltFrom:
    """What a wheel was built from here."""

    filename: str
    sha256: str
    commit: str = ""
    """Of the repository, if it is from one."""


@dataclass(frozen=True)
class Gathered:
    """A wheel on the disk, and what it was built from, if it was."""

    wheel: LockedWheel
    file: Path
    sdist: BuiltFrom | None = None


def gather(question: ResolveRequest, artefacts: Sequence[Artefact], uv: Uv, ca_file: str) -> list[Gathered]:
    """Download what was resolved into uv's work folder and build wheels of what is only source.

    :raises WheelError: a file cannot be downloaded, or differs from what the index announced.
    :raises BuildError: a wheel cannot be built.
    """
    downloader = Downloader(ca_file)
    landing = Landing(make_folder(uv.work / "parts"), make_folder(uv.work / "whole"))
    builder = WheelBuilder(uv, question.interpreter, question.exclude_newer)

    def fetch(artefact: Artefact) -> Path:
        # a source distribution arrives the same way; only its name differs
        file = LockedWheel(artefact.name, artefact.version, artefact.filename, artefact.sha256, artefact.size)
        path = downloader.wheel(uv.with_credentials(artefact.url), file, landing)
        if path is None:
            raise BuildError(f"{artefact.filename}: the index lists it but does not have it")
        return path.rename(make_folder(uv.work / "files" / artefact.sha256) / artefact.filename)

    with ThreadPoolExecutor(PARALLEL) as pool:
        paths = list(pool.map(fetch, artefacts))
    gathered = [
        _as_is(artefact, path) if artefact.is_wheel else _built(builder, artefact, path)
        for artefact, path in zip(artefacts, paths)
    ]
    return [*gathered, *([_from_source(question.source)] if question.source is not None else [])]


def _as_is(artefact: Artefact, path: Path) -> Gathered:
    return Gathered(_locked(artefact, path), path)


def _locked(artefact: Artefact, path: Path) -> LockedWheel:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    where = f"wheels/{path.name}"
    return LockedWheel(artefact.name, artefact.version, path.name, digest, path.stat().st_size, where)


def _built(builder: WheelBuilder, artefact: Artefact, sdist: Path) -> Gathered:
    wheel = builder.wheel(sdist, builder.uv.work / "built" / artefact.sha256)
    return Gathered(_locked(artefact, wheel), wheel, BuiltFrom(artefact.filename, artefact.sha256))


def _from_source(source: BuiltSource) -> Gathered:
    artefact = Artefact("tempest", source.version, source.wheel.name, "", "", 0, True)
    origin = BuiltFrom(source.sdist.name, source.sha256, source.commit)
    return Gathered(_locked(artefact, source.wheel), source.wheel, origin)
