"""Runs the site's own programs before and after each run: ``pre-run.d`` and ``post-run.d``, in order of name."""

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
"""Time limit of one program."""


def run(folder: Path, claimed: ClaimedAttempt, mark: str, outcome: str = "") -> None:
    """Run the executable files of a folder, with the run's ids but no secret in their environment.

    :param mark: identifies the worker, so that it can end them after a restart (see ``leftovers``).
    :param outcome: how the run ended; empty before it.
    :raises RunError: a hook before a run failed. A failure after a run is only logged.
    """
    for program in _programs(folder):
        env = {
            "PATH": os.defpath,
            "LC_ALL": "C.UTF-8",
            leftovers.MARK: mark,
            "REFSTACK_TEST_ID": str(claimed.payload.test_id),
            "REFSTACK_ATTEMPT": str(claimed.payload.attempt),
            "REFSTACK_TEMPEST_VERSION": claimed.tempest_version,
            "REFSTACK_NODE": claimed.worker,
            "REFSTACK_ENDING": outcome,
        }
        try:
            process.run([program], process.Options(cwd=Path("/"), env=env, timeout=SECONDS))
        except ProcessError as error:
            if not outcome:
                raise RunError(f"hook {error}") from error
            LOG.warning("hook %s", error)


def _programs(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK))
    except OSError:
        return []
