"""Memory and open files of the long-lived programs, looked at every few seconds."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MB = 1024 * 1024
YOUNG = 15.0
"""Seconds in which a program that was just started still loads what it needs."""
GROWTH, MORE_MB, MORE_FILES = 1.3, 15.0, 30
"""What the end may have beside the time after the first tenth: this many times, and so much more."""


@dataclass(frozen=True)
class Sample:
    """One program at one moment."""

    at: float
    """Seconds since the beginning."""
    pid: int
    memory_mb: float
    files: int


class Watch:
    """Samples by program; a program that is killed lives on as its successor."""

    def __init__(self, programs: Mapping[str, Callable[[], int]]) -> None:
        """:param programs: how to find the process id of each at any time; 0: it is down."""
        self._programs = programs
        self._began = time.monotonic()
        self._since: dict[int, float] = {}
        self._samples: dict[str, list[Sample]] = defaultdict(list)

    def look(self) -> None:
        """Take a sample of each."""
        now = time.monotonic() - self._began
        for name, find in self._programs.items():
            pid = find()
            if not pid or now - self._since.setdefault(pid, now) < YOUNG:
                continue
            with contextlib.suppress(OSError, IndexError, ValueError):
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                files = len(os.listdir(f"/proc/{pid}/fd"))
                if not pages:
                    continue  # it has just ended
                self._samples[name].append(Sample(now, pid, pages * os.sysconf("SC_PAGE_SIZE") / MB, files))

    def report(self) -> dict[str, dict[str, Any]]:
        """Return for each program what it had after the first tenth and at the end, and its longest life."""
        return {name: self._of(samples) for name, samples in self._samples.items() if samples}

    def wrong(self) -> list[str]:
        """Say what has grown."""
        found = []
        for name, told in self.report().items():
            for what, more in (("memory_mb", MORE_MB), ("files", MORE_FILES)):
                early, late = told[what]["after_tenth"], told[what]["end"]
                if late > early * GROWTH + more:
                    found.append(f"{name}: {what} grew from {early} to {late}")
        return found

    def _of(self, samples: list[Sample]) -> dict[str, Any]:
        all_of_it = max(sample.at for sample in samples)
        early = [sample for sample in samples if all_of_it * 0.05 <= sample.at <= all_of_it * 0.2] or samples[:1]
        late = [sample for sample in samples if sample.at >= all_of_it * 0.9]
        lives: dict[int, list[Sample]] = defaultdict(list)
        for sample in samples:
            lives[sample.pid].append(sample)
        longest = max(lives.values(), key=lambda life: life[-1].at - life[0].at)
        told: dict[str, Any] = {"lives": len(lives), "longest_life_s": round(longest[-1].at - longest[0].at)}
        for what in ("memory_mb", "files"):
            told[what] = {
                "after_tenth": _median(early, what),
                "end": _median(late, what),
                "most": round(max(getattr(sample, what) for sample in samples), 1),
                "longest_life": [round(getattr(one, what), 1) for one in (longest[0], longest[-1])],
            }
        return told


def _median(samples: list[Sample], what: str) -> float:
    return round(statistics.median(getattr(sample, what) for sample in samples), 1)
