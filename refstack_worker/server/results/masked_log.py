"""Tempest's own log of a run, written again without the secrets of the run."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from refstack_worker.contract import run_log
from refstack_worker.contract.secrets import Masker

LOG = logging.getLogger(__name__)

_PIECE = 1024 * 1024


def masked_log(log: Path | None, to: Path, secrets: Collection[str]) -> Path | None:
    """Write a compressed log into another file, secrets masked; return that file.

    A log that is not there, too large or cannot be read costs the result nothing: None.
    """
    if log is None or log.stat().st_size > run_log.MAX_PACKED:
        return None
    masker, rest = Masker(secrets), b""
    try:
        with gzip.open(to, "wb", compresslevel=4) as out:
            for text in run_log.unpacked(_pieces(log)):
                good, rest = masker.split(rest + text, False)
                out.write(good)
            out.write(masker.split(rest, True)[0])
    except ValueError as error:
        LOG.info("a log was not kept: %s", error)
        return None
    return to


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(_PIECE):
            yield data
