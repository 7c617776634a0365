"""Where wheels come from, and how they arrive: verified byte for byte, several at once, nothing half-written in sight.

A source is a folder, a site (HTTP or HTTPS) or an index. :class:`Fetcher` asks one after the other, best first. A
wheel is read once to verify it and stays open until it is unpacked, so that what was verified is what is unpacked.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from refstack_worker.environments.lock import LockedWheel
from refstack_worker.environments.wheels.download import Downloader, Landing
from refstack_worker.errors import WheelError
from refstack_worker.filesystem import disk_errors, sha256_of

LOG = logging.getLogger(__name__)

PARALLEL = 8
"""Wheels that are fetched at once."""

PROGRESS_SECONDS = 2.0
"""How often progress is logged while wheels arrive."""


class Source(Protocol):
    """Something that may have wheels."""

    def fetch(self, wheel: LockedWheel, landing: Landing) -> Path | None:
        """Return where the wheel is, or ``None`` when this source does not have it.

        :raises WheelError: it has it, but cannot give it.
        """


@dataclass(frozen=True)
class FolderSource:
    """A folder on this machine: that of an installed package, or of a wheelhouse."""

    folder: Path

    def fetch(self, wheel: LockedWheel, landing: Landing) -> Path | None:
        """Look where the lock says, then in ``wheels/``, then in the folder itself."""
        for path in (wheel.path, f"wheels/{wheel.filename}", wheel.filename):
            if path and (self.folder / path).is_file():
                return self.folder / path
        return None

    def __str__(self) -> str:
        return str(self.folder)


@dataclass(frozen=True)
class SiteSource:
    """One version's folder on a static site, as ``refstack-package publish-wheelhouse`` makes it."""

    url: str
    downloader: Downloader

    def fetch(self, wheel: LockedWheel, landing: Landing) -> Path | None:
        path = wheel.path or f"wheels/{wheel.filename}"
        # a local version's '+' means a blank to some servers
        return self.downloader.wheel(f"{self.url.rstrip('/')}/{path.replace('+', '%2B')}", wheel, landing)

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class IndexSource:
    """A package index with the simple interface (PEP 503); only asked where the configuration names one."""

    url: str
    downloader: Downloader

    def fetch(self, wheel: LockedWheel, landing: Landing) -> Path | None:
        """Look the file up on the project's page and download it."""
        link = self.downloader.link(f"{self.url.rstrip('/')}/{wheel.name}/", wheel.filename)
        return self.downloader.wheel(link, wheel, landing) if link else None

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class Fetcher:
    """Gets wheels from the first source that has them."""

    sources: Sequence[Source]
    parts: Path
    """Folder for what is under way."""

    def __call__(
        self, wheels: Sequence[LockedWheel], folder: Path
    ) -> Generator[tuple[LockedWheel, BinaryIO], None, None]:
        """Yield each wheel, verified and open, in the order in which they arrive.

        :param folder: for what is downloaded; whatever is in there later may be thrown away.

        :raises WheelError: one cannot be had or is not what the lock says, with its name.
        """
        progress = _Progress(wheels)
        landing = Landing(self.parts, folder)
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch") as pool:
            futures = {pool.submit(self._fetch, wheel, landing): wheel for wheel in wheels}
            try:
                for future in as_completed(futures):
                    wheel, path = futures.pop(future), future.result()
                    progress.arrived(wheel)
                    with disk_errors(f"reading {wheel.filename}"), path.open("rb") as stream:
                        verify(wheel, stream, path)
                        yield wheel, stream
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _fetch(self, wheel: LockedWheel, landing: Landing) -> Path:
        problems = []
        for source in self.sources:
            try:
                path = source.fetch(wheel, landing)
            except WheelError as error:
                LOG.warning("%s", error)
                problems.append(str(error))
                continue
            if path is not None:
                return path
        if problems:
            raise WheelError("; ".join(problems))
        asked = ", ".join(str(source) for source in self.sources) or "no source is configured"
        raise WheelError(
            f"{wheel.filename}: not found (looked in: {asked}); install the version's package or name a wheelhouse"
        )


def verify(wheel: LockedWheel, stream: BinaryIO, path: Path) -> None:
    """Read a wheel to its end and rewind it.

    :raises WheelError: its size or SHA-256 is not that of the lock.
    """
    size = os.fstat(stream.fileno()).st_size
    if wheel.size and size != wheel.size:
        raise WheelError(f"{path}: has {size} bytes, the lock says {wheel.size}; refused: replace the file")
    digest = sha256_of(stream)
    if digest != wheel.sha256:
        raise WheelError(f"{path}: SHA-256 is {digest}, the lock says {wheel.sha256}; refused: replace the file")
    stream.seek(0)


class _Progress:
    """Says now and then how much has arrived."""

    def __init__(self, wheels: Sequence[LockedWheel]) -> None:
        self._count, self._bytes = len(wheels), sum(wheel.size for wheel in wheels)
        self._done = self._done_bytes = 0
        self._said = time.monotonic()

    def arrived(self, wheel: LockedWheel) -> None:
        self._done += 1
        self._done_bytes += wheel.size
        if time.monotonic() - self._said >= PROGRESS_SECONDS:
            self._said = time.monotonic()
            LOG.info(
                "%d of %d wheels, %.1f of %.1f MB",
                self._done, self._count, self._done_bytes / 1e6, self._bytes / 1e6,
            )  # fmt: skip
