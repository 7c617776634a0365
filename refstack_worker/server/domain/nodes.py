"""Nodes, and how many of them are needed.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """The last status report of a node."""

    name: str
    versions: tuple[str, ...] = ()
    """What it can build: ``43.0.0``, and with plugins ``43.0.0,heat-tempest-plugin=3.0.0``."""
    slots: int = 0
    busy: int = 0
    tags: tuple[str, ...] = ()
    state: str = ""
    software: str = ""
    time: float = 0.0
    """The node's own clock in its last message."""
    seen_at: float = 0.0
    """This server's clock."""


@dataclass(frozen=True)
class Demand:
    """What waits for nodes of one Gearman function."""

    function: str
    version: str
    queued: int
    running: int
    waited: float
    """Seconds that the oldest of those that wait has waited."""
    slots: int
    """Of ready nodes that serve it."""
    needed: int
    """Further slots that would let all that waits run at once."""
