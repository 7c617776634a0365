"""Logs when connections to Gearman servers are lost and made."""

from __future__ import annotations

import logging
from collections.abc import Iterable

LOG = logging.getLogger(__name__)


class ConnectionLog:
    """Compares the connected servers with those of the last look."""

    def __init__(self, servers: Iterable[str]) -> None:
        self._connected: dict[str, bool | None] = dict.fromkeys(servers)

    def look(self, connected: Iterable[str]) -> None:
        """Log what changed. At the first look a server without a connection gets the benefit of the doubt."""
        now = set(connected)
        for server, before in self._connected.items():
            is_connected = server in now
            if is_connected and not before:
                LOG.info("gearman server %s: connected", server)
            elif before and not is_connected:
                LOG.warning("gearman server %s: not connected; this node gets no runs from it", server)
            elif before is None:
                # the connection may still be under way: the next look counts as a loss
                LOG.debug("gearman server %s: not connected yet", server)
                self._connected[server] = True
                continue
            self._connected[server] = is_connected
