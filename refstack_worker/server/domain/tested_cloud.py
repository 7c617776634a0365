"""Which cloud a result is about: the id that the node read there, and the Keystone server that the run's options named.

Results of several runs are judged together only where they are about the same cloud. What the options named is noted in
the summary of the result when it is stored, because the options are erased when the run ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.cpid import cpid_of
from refstack_worker.contract.keystone_address import server_of
from refstack_worker.contract.option_addresses import keystone_elsewhere

_NOTE = "keystone"
"""Key of a stored summary with what the server itself knows; a node's own value of it is dropped."""
ELSEWHERE = '"elsewhere":true'
"""How a stored summary says that its run's options named another server than its cloud's; lists look for it."""


@dataclass(frozen=True)
class TestedCloud:
    """What is known of the cloud that a run tested."""

    __test__ = False

    reported: str = ""
    """cpid that came with the result; empty: none did."""
    server: str = ""
    """Keystone's server as ``https://host:port``; empty: not known."""
    is_elsewhere: bool = False
    """The run's options named another server than the saved cloud's."""
    is_imported: bool = False

    def cpid_or_of(self, endpoint: str) -> str:
        """Return the id by which RefStack knows the cloud; empty: not known.

        :param endpoint: Keystone URL of the saved cloud, for results that do not say which server was asked.
        """
        address = self.server or endpoint
        return self.reported or (cpid_of(address) if address else "")

    def difference(self, now: TestedCloud) -> str:
        """Return why this result is not judged together with one that continues it; empty: it is the same cloud."""
        if self.is_imported != now.is_imported:
            return "it was imported, not run here"
        if self.is_elsewhere != now.is_elsewhere:
            return "the options of one of the two runs named another Keystone server than the saved cloud's"
        if self.reported and now.reported:
            is_same = self.reported == now.reported
            return "" if is_same else f"it tested another cloud (cpid {self.reported[:40]}, now {now.reported[:40]})"
        if self.server and now.server:
            return "" if self.server == now.server else "it tested another cloud (its Keystone is another server)"
        return "it is not known whether it tested the same cloud"


def noted(summary: Mapping[str, Any], conf: Mapping[str, Mapping[str, Any]], endpoint: str) -> dict[str, Any]:
    """Return the summary of a result with what its run's options say of the cloud.

    :param conf: options of the run.
    :param endpoint: Keystone URL of its saved cloud; empty: it has none.
    """
    identity = conf.get("identity", {})
    named = [str(identity[name]) for name in ("uri_v3", "uri") if identity.get(name)]
    note: dict[str, Any] = {}
    if server := _server(named[0] if named else endpoint):
        note["server"] = server
    if endpoint and keystone_elsewhere(conf, endpoint):
        note["elsewhere"] = True
    return {**without_note(summary), **({_NOTE: note} if note else {})}


def without_note(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a summary as the node sent it."""
    return {name: value for name, value in summary.items() if name != _NOTE}


def cloud_in(summary: Mapping[str, Any], *, is_imported: bool = False) -> TestedCloud:
    """Return what a stored summary says of the cloud."""
    cpid, note = summary.get("cpid"), summary.get(_NOTE)
    known = note if isinstance(note, dict) else {}
    reported = cpid if isinstance(cpid, str) else ""
    return TestedCloud(reported, str(known.get("server", "")), known.get("elsewhere") is True, is_imported)


def _server(address: str) -> str:
    scheme, host, port = server_of(address)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}" if host else ""
