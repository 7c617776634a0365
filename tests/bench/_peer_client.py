"""The client's side of a peer's measurement, the same for each: ``python _peer_client.py MODULE JOBS``.

It warms the peer up, says ``warm``, waits for a line on stdin, triggers the jobs from 8 threads and says in JSON how
long it took until the end of each was recorded, and how much CPU this process used.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

THREADS = 8
WARM = 60
PATIENCE = 120.0
"""Seconds for all jobs to end."""
PAUSE = 0.02
"""Seconds between two looks at how many have ended."""


def main() -> None:
    importlib.import_module(sys.argv[1]).client(measure)


def measure(trigger: Callable[[int], object], ended: Callable[[], int]) -> None:
    """Measure a peer. :param ended: returns how many jobs have a recorded end so far."""
    jobs = int(sys.argv[2])
    _all(trigger, ended, WARM)
    print("warm", flush=True)
    sys.stdin.readline()
    spent = time.process_time()
    took = _all(trigger, ended, jobs)
    print(json.dumps({"seconds": took, "cpu": time.process_time() - spent}), flush=True)


def _all(trigger: Callable[[int], object], ended: Callable[[], int], jobs: int) -> float:
    before = ended()
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(trigger, range(jobs)))
    while ended() < before + jobs:
        if time.perf_counter() - began > PATIENCE:
            raise SystemExit(f"{ended() - before} of {jobs} jobs ended within {PATIENCE:g} s")
        time.sleep(PAUSE)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
