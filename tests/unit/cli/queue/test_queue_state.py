"""``refstack-queue pause``, ``resume`` and ``status`` from anywhere, with an operator's token."""

from __future__ import annotations

from tests.system.web.site import Site
from tests.unit.cli.queue.conftest import CallAs


def test_the_queue_is_paused_with_a_reason_and_resumed(site: Site, call_as: CallAs) -> None:
    assert call_as("operator", "pause", "--reason", "new disks").status == 0
    shown = call_as("operator", "status", "-f", "json").json
    assert shown["paused"] is True and shown["pause_reason"] == "new disks" and "database" not in shown
    assert call_as("operator", "resume").status == 0
    assert call_as("operator", "status", "-f", "json").json["paused"] is False
    assert call_as("ann", "pause").status == 8
