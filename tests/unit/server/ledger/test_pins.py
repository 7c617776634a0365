from __future__ import annotations

import pytest

from refstack_worker.errors import StateError
from refstack_worker.server.ledger import pins
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock, new_run


def ended(ledger: Ledger, owner_id: int | None = None) -> int:
    return ledger.runs.cancel(ledger.runs.add(new_run(owner_id=owner_id)).test_id, "me").test_id


def test_a_pinned_run_outlives_retention_and_deletion(ledger: Ledger, clock: Clock) -> None:
    kept, gone = ended(ledger), ended(ledger)
    ledger.pins.add(kept, "op")
    ledger.pins.add(kept, "another")
    found = ledger.pins.get(kept)
    assert found is not None and (found.by, found.at) == ("op", clock()) and ledger.pins.get(gone) is None
    clock.forward(1)
    assert ledger.retention.count(clock()) == 1 and ledger.retention.prune(clock()) == 1
    with pytest.raises(StateError, match="unpin it first"):
        ledger.retention.delete(kept)
    assert ledger.overview.facts([kept])[kept].is_pinned
    ledger.pins.remove(kept)
    assert ledger.retention.prune(clock()) == 1


def test_what_runs_cannot_be_pinned(ledger: Ledger) -> None:
    with pytest.raises(StateError, match="has not ended"):
        ledger.pins.add(ledger.runs.add(new_run()).test_id, "op")


def test_a_vendor_pins_only_so_many(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "MAX_OF_VENDOR", 1)
    user = ledger.accounts.add_user("ann", "ann@x").id
    first, second = ended(ledger, user), ended(ledger, user)
    ledger.pins.add(first, "ann", (user,))
    with pytest.raises(StateError, match="unpin one first"):
        ledger.pins.add(second, "ann", (user,))
    ledger.pins.add(second, "op")
