"""Which vendors a run is shared with."""

from __future__ import annotations

from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.accounts import Vendor
from refstack_worker.server.ledger.ledger import Ledger


def vendor_named(ledger: Ledger, name: str) -> Vendor:
    """Return the vendor of a name. :raises NotFoundError: there is none."""
    wanted = name.strip().casefold()
    found = next((one for one in ledger.accounts.vendors() if one.name.casefold() == wanted), None)
    if found is None:
        raise NotFoundError(f'There is no vendor "{name[:80]}". Write the name as the operator registered it.')
    return found


def vendors_of(ledger: Ledger, test_id: int) -> list[Vendor]:
    """Return the vendors that may look at a run, by id."""
    ids = ledger.accounts.shares(test_id)
    known = {vendor.id: vendor for vendor in ledger.accounts.vendors()} if ids else {}
    return [known[one] for one in ids if one in known]
