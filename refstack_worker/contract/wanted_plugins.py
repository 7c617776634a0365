"""The sets of plugins that runs ask for and that a node with a large lock registers only when it is asked.

A lock with many plugins serves more subsets of them than gearmand should hold functions for. So the server's reply to a
node's status has those that runs wait for (``docs/protocol.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_SETS = 100
"""Sets in one reply; the oldest runs come first."""
MAX_PLUGINS = 50
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}\Z")
"""A name or a version."""


def read_wanted(reply: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the sets in the server's reply, plugin to version; what is malformed is left out."""
    value = reply.get("wanted_plugins")
    found = value[:MAX_SETS] if isinstance(value, list) else []
    return [dict(item) for item in found if _is_set(item)]


def _is_set(item: Any) -> bool:
    if not isinstance(item, Mapping) or not 0 < len(item) <= MAX_PLUGINS:
        return False
    return all(isinstance(word, str) and _WORD.match(word) for pair in item.items() for word in pair)
