"""The note of an attempt that this node holds, on disk for as long as it does.

It is all that is needed to hand the attempt back when the worker was killed: the sealed payload and the claim's id.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from refstack_worker.contract.envelope import Opener
from refstack_worker.errors import RefstackError
from refstack_worker.filesystem import write_whole
from refstack_worker.worker.server_api.attempts import ClaimedAttempt

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notes:
    """The folder of notes, one file an attempt."""

    folder: Path

    def prepare(self) -> None:
        """Make the folder."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, held: ClaimedAttempt) -> None:
        """Note an attempt. :raises OSError: the disk does not take it."""
        text = {
            "payload": held.envelope.decode("ascii"),
            "claim": held.claim,
            "worker": held.worker,
            "tempest_version": held.tempest_version,
        }
        write_whole(self._path(held), json.dumps(text).encode(), 0o600)

    def remove(self, held: ClaimedAttempt) -> None:
        """Forget an attempt."""
        self._path(held).unlink(missing_ok=True)

    def left(self, opener: Opener) -> list[ClaimedAttempt]:
        """Return what an earlier life of this worker held when it ended; what cannot be read is removed."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                value = json.loads(path.read_bytes())
                envelope = value["payload"].encode("ascii")
                held = ClaimedAttempt(
                    opener.open(envelope), envelope, value["claim"], value["worker"], value["tempest_version"]
                )
                found.append(held)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RefstackError) as error:
                LOG.warning("%s: cannot be picked up again: %s", path, error)
                path.unlink(missing_ok=True)
        return found

    def _path(self, held: ClaimedAttempt) -> Path:
        return self.folder / f"{held.payload.test_id}-{held.payload.attempt}.json"
