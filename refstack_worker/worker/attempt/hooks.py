"""The site's own programs before and after each run: ``pre-run.d`` and ``post-run.d``, in the order of their names."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from refstack_worker import process
from refstack_worker.errors import ProcessError, RunError
from refstack_worker.worker.sandbox import leftovers
from refstack_worker.worker.server_api.attempts import ClaimedAttempt

LOG = logging.getLogger(__name__)

SECONDS = 60.0
"""For one program."""


def run(folder: Path, held: ClaimedAttempt, mark: str, ending: str = "") -> None:
    """Run the executable files of a folder; they get the run's ids in their environment, and no secret.

    :param mark: the owner, so that a restarted worker can end them (:mod:`refstack_worker.worker.sandbox.leftovers`).
    :param ending: how the run ended; empty before it.
    :raises RunError: one that runs before a run failed: the run is given back. Afterwards it is only logged.
    """
    for program in _programs(folder):
        env = {
            "PATH": os.defpath,
            "LC_ALL": "C.UTF-8",
            leftovers.MARK: mark,
            "REFSTACK_TEST_ID": str(held.payload.test_id),
            "REFSTACK_ATTEMPT": str(held.payload.attempt),
            "REFSTACK_TEMPEST_VERSION": held.tempest_version,
            "REFSTACK_NODE": held.worker,
            "REFSTACK_ENDING": ending,
        }
        try:
            process.run([program], process.Options(cwd=Path("/"), env=env, timeout=SECONDS))
        except ProcessError as error:
            if not ending:
                raise RunError(f"hook {error}") from error
            LOG.warning("hook %s", error)


def _programs(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK))
    except OSError:
        return []
