"""The ledger's rules once more, on a real PostgreSQL: the fixtures beside this file hand over another database."""

from __future__ import annotations

import time

import pytest

from refstack_worker.config.server import ServerSettings
from refstack_worker.server.db import clock as clocks
from refstack_worker.server.ledger.ledger import Ledger
from tests.unit.server.ledger.test_attempts import *  # noqa: F403
from tests.unit.server.ledger.test_deadlines import *  # noqa: F403
from tests.unit.server.ledger.test_new_runs import *  # noqa: F403
from tests.unit.server.ledger.test_nodes import *  # noqa: F403
from tests.unit.server.ledger.test_recording import *  # noqa: F403
from tests.unit.server.ledger.test_results import *  # noqa: F403
from tests.unit.server.ledger.test_submissions import *  # noqa: F403
from tests.unit.server.ledger.test_tokens import *  # noqa: F403


def test_the_databases_clock_counts(ledger: Ledger, settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines of the server, whose own clocks are two minutes apart."""
    times = []
    for skew in (-65.0, 65.0):
        monkeypatch.setattr(clocks.time, "time", lambda skew=skew: time.monotonic() + skew)
        other = Ledger(settings)
        times.append(other.clock())
        other.close()
    assert abs(times[0] - times[1]) < 30
