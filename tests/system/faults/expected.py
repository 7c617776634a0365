"""What has to become of a run: for each fault at each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Expected:
    """The end that is right."""

    state: str = "finished"
    attempts: tuple[int, ...] = (1,)
    """How many there may be; more than one number: it depends on what is noticed first, and both are right."""

    @property
    def text(self) -> str:
        return " or ".join(map(str, self.attempts))


HELD = ("claimed", "building", "running", "posting")
"""Steps at which a worker holds the attempt: what ends the worker, or its voice, costs the attempt."""
COSTS_THE_ATTEMPT = ("worker-kill", "worker-stop", "power-off", "black-hole", "two-monitors")

ATTEMPTS: Mapping[tuple[str, str], tuple[int, ...]] = {
    **{(fault, step): (2,) for fault in COSTS_THE_ATTEMPT for step in HELD},
    ("gearmand-kill-builtin", "queued"): (2,),
    # either the node notices its disk before it takes the run (or gets by), or the run does
    **{("disk-full-worker", step): (1, 2) for step in ("queued", *HELD)},
}


def expected(fault: str, step: str) -> Expected:
    """Return what is right for a cell."""
    if step == "cleaning":
        return Expected("cancelled")
    return Expected(attempts=ATTEMPTS.get((fault, step), (1,)))
