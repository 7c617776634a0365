"""Times as users write them in a query."""

from __future__ import annotations

from datetime import datetime, timezone

from refstack_worker.server.services.inputs.checks import invalid


def moment(text: str, field: str) -> float:
    """Return the time in a text, in seconds since 1970; 0 for an empty one.

    A date is its first moment; what names no zone is UTC.

    :raises InvalidInput: it is neither a date nor a time of RFC 3339.
    """
    if not text:
        return 0.0
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        raise invalid(field, "must be a date or a time, such as 2026-11-25 or 2026-11-25T21:36:00Z") from None
