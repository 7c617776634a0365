"""What a run knows about its tests beforehand: their names from the store, their durations from the server.

Both only save time. Where one is missing, the run finds out by itself, or goes on without.
"""

from __future__ import annotations

import logging

from refstack_worker.config.worker import WorkerSettings
from refstack_worker.environments.environment import BuiltEnvironment
from refstack_worker.errors import RefstackError
from refstack_worker.worker.sandbox.commands import NOTHING_KNOWN, KnownTests
from refstack_worker.worker.server_api.attempts import AttemptApi, ClaimedAttempt

LOG = logging.getLogger(__name__)


def known_tests(environment: BuiltEnvironment, claimed: ClaimedAttempt, settings: WorkerSettings) -> KnownTests:
    """Return the names of the environment's tests and, for a run of several processes, how long they took before.

    A configured ``run.execute_test`` gets nothing: it may be of another version.
    """
    if environment.names_file is None or settings.run.execute_test:
        return NOTHING_KNOWN
    try:
        names = environment.names_file.read_bytes()
    except OSError as error:
        LOG.warning("%s: %s; Tempest will be asked for its tests", environment.names_file, error)
        return NOTHING_KNOWN
    if claimed.payload.concurrency == 1:  # nothing to divide
        return KnownTests(names)
    api = AttemptApi(claimed, settings.server)
    try:
        return KnownTests(names, api.durations())
    except RefstackError as error:  # a server of before does not know the call
        LOG.info("test durations are unknown: %s", error)
        return KnownTests(names)
    finally:
        api.close()
