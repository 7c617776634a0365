"""The runs and clouds that a caller may see and use; those of other vendors look as if they did not exist."""

from __future__ import annotations

from refstack_worker.errors import StateError
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.clouds import CloudRecord
from refstack_worker.server.domain.runs import SHARD, Run
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.transactions import no_run
from refstack_worker.server.services.callers import Caller


def scope_of(ledger: Ledger, caller: Caller) -> AccessScope | None:
    """Return what a caller sees; None: everything."""
    return None if caller.is_operator else ledger.accounts.access_scope(caller.token.user_id)


def visible_run(ledger: Ledger, caller: Caller, test_id: int) -> Run:
    """Return a run that the caller may look at. :raises NotFoundError: there is none."""
    run = ledger.runs.get(test_id)
    scope = scope_of(ledger, caller)
    if scope is not None and not ledger.runs.is_visible(test_id, scope):
        raise no_run(test_id)
    return run


def is_owner(ledger: Ledger, caller: Caller, run: Run) -> bool:
    """Return whether a run is the caller's or the caller's vendor's, and not only shared with them."""
    scope = scope_of(ledger, caller)
    return scope is None or run.owner_id in scope.owner_ids


def owned_run(ledger: Ledger, caller: Caller, test_id: int) -> Run:
    """Return a run of the caller's or the caller's vendor's.

    :raises NotFoundError: there is none.
    :raises StateError: it is a shard of one.
    """
    run = visible_run(ledger, caller, test_id)
    if not is_owner(ledger, caller, run):
        raise no_run(test_id)
    if run.kind == SHARD:
        parent = ledger.shards.parent_of(test_id)
        raise StateError(f"run {test_id} is a shard: cancel, rerun or delete run {parent}, which it belongs to")
    return run


def visible_cloud(ledger: Ledger, caller: Caller, cloud_id: int) -> CloudRecord:
    """Return a cloud of the caller's or the caller's vendor's. :raises NotFoundError: there is none."""
    return ledger.clouds.get(cloud_id, scope_of(ledger, caller))
