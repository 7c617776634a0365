"""What the benchmarks share: time a thing, compare it with its peer's, print JSON."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Result:
    """One comparison. ``ratio`` is ours to the peer's; it holds when ``ours`` and ``ratio`` are below their limits."""

    name: str
    ours: float
    peer: float | None
    unit: str
    runs: int
    peer_name: str = ""
    peer_runs: int = 0
    limit: float | None = None
    ratio_limit: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's."""
        return self.ours / self.peer if self.peer else None

    @property
    def holds(self) -> bool:
        """Whether the limits are kept."""
        return (self.limit is None or self.ours <= self.limit) and (
            self.ratio_limit is None or (self.ratio or 0) <= self.ratio_limit
        )


def medians(runs: int, *each: Callable[[], float]) -> list[float]:
    """Return the median of what each returns; they take turns, so that a busy moment of the machine hits all."""
    taken = [[once() for once in each] for _ in range(runs)]
    return [statistics.median(column) for column in zip(*taken)]


def seconds(do: Callable[[], object]) -> float:
    """Return how long something took."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def say(text: str) -> None:
    """Tell the person who waits what is going on, beside the JSON."""
    print(text, file=sys.stderr, flush=True)


def report(results: list[Result], load_before: float) -> int:
    """Print the results and return the exit status: 0 when every limit was kept."""
    rows = [{**asdict(r), "ratio": r.ratio, "holds": r.holds} for r in results]
    machine = {"cores": len(os.sched_getaffinity(0)), "load_before": load_before, "load_after": os.getloadavg()[0]}
    print(json.dumps({"machine": machine, "results": rows}, indent=1))
    return 0 if all(r.holds for r in results) else 1
