"""Counters, events, messages, schedules, accounts and pins once more, on a real PostgreSQL."""

from __future__ import annotations

from tests.unit.server.ledger.test_account_changes import *  # noqa: F403
from tests.unit.server.ledger.test_deliveries import *  # noqa: F403
from tests.unit.server.ledger.test_events import *  # noqa: F403
from tests.unit.server.ledger.test_pins import *  # noqa: F403
from tests.unit.server.ledger.test_statistics import *  # noqa: F403
from tests.unit.server.monitor.test_due_schedules import *  # noqa: F403
