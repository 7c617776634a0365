"""Which vendors a run is shared with."""

from __future__ import annotations

from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.accounts import Vendor
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import access
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import invalid

MAX_SHARES = 100
"""Vendors that a run can be shared with."""


def share(ledger: Ledger, caller: Caller, test_id: int, vendor: str | int) -> None:
    """Let a vendor look at a run of the caller's.

    :param vendor: its name, or the id that the caller knows it by.
    :raises NotFoundError: there is none, or the caller has an id from elsewhere.
    """
    vendor_id = vendor_named(ledger, vendor).id if isinstance(vendor, str) else _known_id(ledger, caller, vendor)
    shared = ledger.accounts.shares(test_id)
    if vendor_id not in shared and len(shared) >= MAX_SHARES:
        raise invalid("vendor", f"the run is shared with {len(shared)} vendors; stop sharing it with one first")
    ledger.accounts.share(test_id, vendor_id)


def _known_id(ledger: Ledger, caller: Caller, vendor_id: int) -> int:
    """Return an id that the caller may use: by trying out ids, one vendor could learn the names of all."""
    scope = access.scope_of(ledger, caller)
    if scope is not None and vendor_id not in ledger.accounts.shared_with(scope.owner_ids):
        raise NotFoundError(f"You have not shared a run with a vendor {vendor_id} yet. Give the vendor's name.")
    return vendor_id


def vendor_named(ledger: Ledger, name: str) -> Vendor:
    """Return the vendor of a name, in any case if only one has it.

    :raises NotFoundError: there is none, or there are several and none is called exactly so.
    """
    wanted = name.strip()
    similar = [one for one in ledger.accounts.vendors() if one.name.strip().casefold() == wanted.casefold()]
    # RefStack's own table may have names that differ in nothing but case: a run is for one of them, not for the other
    named = [one for one in similar if one.name in (name, wanted)] or similar
    if len(named) > 1:
        raise NotFoundError(f'Several vendors are called "{wanted[:80]}". Write the name exactly, also its capitals.')
    found = named[0] if named else None
    if found is None:
        raise NotFoundError(f'There is no vendor "{name[:80]}". Write the name as the operator registered it.')
    return found


def vendors_of(ledger: Ledger, test_id: int) -> list[Vendor]:
    """Return the vendors that may look at a run, by id."""
    ids = ledger.accounts.shares(test_id)
    known = {vendor.id: vendor for vendor in ledger.accounts.vendors()} if ids else {}
    return [known[one] for one in ids if one in known]
