"""Records on disk of the attempts that this node has claimed.

A record holds the sealed payload and the claim's id: all that is needed to release the attempt if the worker is killed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refstack_worker.contract.envelope import Opener
from refstack_worker.errors import RefstackError
from refstack_worker.filesystem import write_whole
from refstack_worker.worker.server_api.attempts import ClaimedAttempt

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClaimRecords:
    """The folder of the records, one file for each attempt."""

    folder: Path

    def prepare(self) -> None:
        """Create the folder if it does not exist."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, claimed: ClaimedAttempt) -> None:
        """Record an attempt. :raises OSError: the disk is full or not writable."""
        record = {
            "payload": claimed.envelope.decode("ascii"),
            "claim": claimed.claim,
            "worker": claimed.worker,
            "tempest_version": claimed.tempest_version,
        }
        write_whole(self._path(claimed), json.dumps(record).encode(), 0o600)

    def remove(self, claimed: ClaimedAttempt) -> None:
        """Remove the record of an attempt. :raises OSError: it cannot be removed."""
        for path in self._candidates(claimed):
            if _claim_in(path) == claimed.claim:
                path.unlink(missing_ok=True)

    def left(self, opener: Opener) -> list[ClaimedAttempt]:
        """Return what an earlier process of this worker had claimed; unreadable records are removed."""
        attempts = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                attempts.append(_read(path, opener))
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RefstackError) as error:
                LOG.warning("%s: unreadable record of a claimed attempt, removed: %s", path, error)
                path.unlink(missing_ok=True)
        return attempts

    def _path(self, claimed: ClaimedAttempt) -> Path:
        # with the claim: two servers of this node may give out the same test id
        return self.folder / f"{claimed.payload.test_id}-{claimed.payload.attempt}-{claimed.claim[:8]}.json"

    def _candidates(self, claimed: ClaimedAttempt) -> Iterator[Path]:
        yield self._path(claimed)
        yield self.folder / f"{claimed.payload.test_id}-{claimed.payload.attempt}.json"  # written by version 0.1


def _read(path: Path, opener: Opener) -> ClaimedAttempt:
    record = json.loads(path.read_bytes())
    envelope = record["payload"].encode("ascii")
    return ClaimedAttempt(opener.open(envelope), envelope, record["claim"], record["worker"], record["tempest_version"])


def _claim_in(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())["claim"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
