"""How many runs the users of a vendor may have open, and how much of the database their runs may take."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select
from sqlalchemy.engine import Connection

from refstack_worker.config.server import RunRules
from refstack_worker.contract.states import RunState
from refstack_worker.server.db import legacy_tables, queue_tables
from refstack_worker.server.db.operator_tables import vendor_state
from refstack_worker.server.domain.runs import SPLIT
from refstack_worker.server.ledger.transactions import refused

_OWNER, _COLLEAGUE = legacy_tables.user.alias("owner"), legacy_tables.user.alias("colleague")
_OF_VENDOR = queue_tables.run.join(_COLLEAGUE, _COLLEAGUE.c.id == queue_tables.run.c.owner_id).join(
    _OWNER, (_OWNER.c.id == _COLLEAGUE.c.id) | (_OWNER.c.vendor_id == _COLLEAGUE.c.vendor_id)
)
_STORED = (
    select(func.coalesce(func.sum(queue_tables.run.c.stored_kib), 0))
    .select_from(_OF_VENDOR)
    .where(_OWNER.c.id == bindparam("of_owner"))
)
"""KiB that the runs of a user and of the users of the same vendor take."""
_OPEN_RUNS = (
    select(func.count())
    .select_from(_OF_VENDOR)
    .where(
        _OWNER.c.id == bindparam("of_owner"),
        queue_tables.run.c.state.in_([state.value for state in RunState if not state.is_end]),
        queue_tables.run.c.kind != SPLIT,
    )
)
"""How many runs of a user and of the users of the same vendor have not ended; each shard counts as one."""
_OWN_LIMIT = (
    select(vendor_state.c.max_open_runs)
    .select_from(vendor_state.join(_OWNER, _OWNER.c.vendor_id == vendor_state.c.vendor_id))
    .where(_OWNER.c.id == bindparam("of_owner"))
)
"""The limit that operators gave a user's vendor; NULL or no row: the server's."""
_OPEN_AND_LIMIT = select(
    _OPEN_RUNS.scalar_subquery().label("open"),
    func.coalesce(_OWN_LIMIT.scalar_subquery(), bindparam("usual")).label("most"),
)


def check(connection: Connection, rules: RunRules, owner_id: int | None, more: int) -> None:
    """Refuse further runs of an owner whose vendor has as many, or as much, as it may have.

    :param more: how many there will be.
    :raises RefusedError: ``open-runs``, ``storage``.
    """
    _check_open_runs(connection, rules, owner_id, more)
    check_storage(connection, rules, owner_id)


def check_storage(connection: Connection, rules: RunRules, owner_id: int | None) -> None:
    """Refuse a run of an owner whose vendor's runs take too much. :raises RefusedError: ``storage``."""
    limit = rules.max_stored
    if owner_id is None or not limit:
        return
    stored = connection.execute(_STORED, {"of_owner": owner_id}).scalar_one() // 1024
    if stored >= limit:
        raise refused("storage", f"stored: {stored} of {limit} MiB; delete runs that you no longer need")


def _check_open_runs(connection: Connection, rules: RunRules, owner_id: int | None, more: int) -> None:
    if owner_id is None:
        return
    found = connection.execute(_OPEN_AND_LIMIT, {"of_owner": owner_id, "usual": rules.max_open_runs}).mappings().one()
    count, limit = found["open"], found["most"]
    if limit and count + more > limit:
        needed = f", and this one counts {more}" if more > 1 else ""
        raise refused("open-runs", f"open runs: {count} of {limit}{needed}; wait until one ends, or cancel one")
