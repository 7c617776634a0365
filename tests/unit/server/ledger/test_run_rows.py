"""Which runs a list has: by program and vendor."""

from __future__ import annotations

from refstack_worker.server.domain.guidelines import Choice, StoredGuideline
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import new_run
from tests.system.web.site import PROGRAM, guideline


def test_by_program_and_vendor(ledger: Ledger) -> None:
    stored = ledger.guidelines.add(guideline(), StoredGuideline(0, "", ""))
    vendors = [ledger.accounts.add_vendor(name).id for name in ("Acme", "Bravo")]
    owners = [ledger.accounts.add_user(f"user {vendor}", f"{vendor}@x", vendor).id for vendor in vendors]
    ids = [ledger.runs.add(new_run(owner_id=owner)).test_id for owner in owners]
    ledger.guidelines.choose(ids[0], Choice(stored.id, PROGRAM))

    def found(**narrow: object) -> list[int]:
        return [run.test_id for run in ledger.runs.find(RunQuery(**narrow))]  # type: ignore[arg-type]

    assert found(program="powered STORAGE") == [ids[0]] and found(program="Compute") == []
    assert found(vendor_id=vendors[1]) == [ids[1]]
    assert found(program=PROGRAM, vendor_id=vendors[1]) == []
