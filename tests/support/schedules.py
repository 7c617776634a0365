"""What the tests of schedules share: a cloud that stores its passwords, and a schedule on it."""

from __future__ import annotations

from typing import Any

from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.domain.schedules import NewSchedule, Schedule, Times
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import CONF


def stored_cloud(ledger: Ledger, owner_id: int | None = None, label: str = "stored") -> int:
    new = NewCloud(label, "https://cloud.example/v3", test_user="u", user_id=owner_id, conf_json=CONF)
    return int(ledger.clouds.add(new).cloud.id)


def schedule(ledger: Ledger, owner_id: int | None = None, **given: Any) -> Schedule:
    """Add a schedule: every day at 02:30, unless given otherwise."""
    values: dict[str, Any] = {
        "cloud_id": given.get("cloud_id") or stored_cloud(ledger, owner_id),
        "body": {"tempest_version": "47.0.0"},
        "times": Times.of("02:30"),
        "owner_id": owner_id,
        "created_by": "ann",
    }
    return ledger.schedules.add(NewSchedule(**{**values, **given}))
