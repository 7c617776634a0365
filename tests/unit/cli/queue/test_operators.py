"""``refstack-queue audit list`` and ``announcement …``."""

from __future__ import annotations

from tests.unit.cli.queue.conftest import CallAs


def test_what_is_announced_is_shown_and_audited(call_as: CallAs) -> None:
    assert call_as("operator", "announcement", "set", "Maintenance on Sunday").status == 0
    assert call_as("ann", "announcement", "show", "-f", "json").json["text"] == "Maintenance on Sunday"
    entries = call_as("operator", "audit", "list", "-f", "json").json
    assert ("operator", "announce", "/v1/announcement") in {(one["Who"], one["Action"], one["What"]) for one in entries}
    assert len(call_as("operator", "audit", "list", "--limit", "1", "-f", "json").json) == 1
    assert call_as("ann", "announcement", "set", "Mine").status == 8
