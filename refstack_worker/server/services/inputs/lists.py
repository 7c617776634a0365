"""Where lists of tests and guidelines may be fetched from: below addresses that the operator names, nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from refstack_worker.server.services.inputs.checks import invalid


def check_url(allowed: Sequence[str], url: str, field: str) -> None:
    """Raise :class:`InvalidInput` unless a URL is below one that the operator allows (``LIST_URLS``)."""
    # %2e is a dot to the server that is asked
    climbs = {".", ".."} & set(unquote(url).replace("\\", "/").partition("?")[0].split("/"))
    if climbs or "\\" in url or not any(_is_below(url, start) for start in allowed):
        places = ", ".join(allowed) or "none"
        raise invalid(field, f"the operator does not allow this address; allowed: {places}")


def _is_below(url: str, start: str) -> bool:
    return url.startswith(start if start.endswith("/") else f"{start}/") or url == start
