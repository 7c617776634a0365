"""Who is disabled: a user alone, or with the whole vendor."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, or_, select

from refstack_worker.server.db.legacy_tables import user
from refstack_worker.server.db.operator_tables import user_state, vendor_state

_USER = user.alias("disabled_user")


def is_disabled(user_id: Any) -> Any:
    """Return the condition that the user in a column is disabled; of no user it is false."""
    alone = select(user_state.c.user_id).where(user_state.c.user_id == user_id)
    joined = _USER.join(vendor_state, vendor_state.c.vendor_id == _USER.c.vendor_id)
    with_vendor = select(_USER.c.id).select_from(joined).where(_USER.c.id == user_id, vendor_state.c.disabled_at > 0)
    return or_(exists(alone.correlate_except(user_state)), exists(with_vendor.correlate_except(_USER, vendor_state)))
