"""The processes of the simulated nodes of ``tests/bench/scale.py``."""

# ruff: noqa: S603 - programs are our own

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
VERSIONS_A_NODE = 5


class Fleet:
    """The processes of simulated nodes."""

    def __init__(self, folder: Path, asked: argparse.Namespace, config: Path) -> None:
        share = -(-asked.workers // asked.processes)
        self._logs = (folder / "fleet.log").open("ab")
        self.processes = []
        for first in range(0, asked.workers, share):
            words = [sys.executable, str(Path(__file__).with_name("_fleet.py"))]
            env = {**os.environ, "PYTHONPATH": str(TOP)}
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._logs, text=True, env=env
            )
            self._say(process, {
                "first": first, "count": min(share, asked.workers - first), "versions": versions(asked.versions),
                "versions_a_node": min(VERSIONS_A_NODE, asked.versions), "run_seconds": asked.run_seconds,
                "config": str(config), "folder": str(folder / "nodes"), "pause": 0.02,
            })  # fmt: skip
            self.processes.append(process)
        for process in self.processes:
            assert process.stdout is not None and json.loads(process.stdout.readline())["ready"]

    def look(self) -> dict[str, Any]:
        """Return what all of them tell, added up."""
        told = self._ask("look")
        counts: Counter[str] = sum((Counter(one["counts"]) for one in told), Counter())
        sums = {name: sum(one[name] for one in told) for name in ("connected", "busy", "left")}
        return {**sums, "counts": dict(counts.most_common()), "times": _worst([one["times"] for one in told])}

    def connected(self) -> int:
        """Return how many nodes are connected to gearmand."""
        return sum(int(one["connected"]) for one in self._ask("connected"))

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        self._logs.close()

    def _ask(self, what: str) -> list[Any]:
        for process in self.processes:
            self._say(process, what)
        return [json.loads(process.stdout.readline()) for process in self.processes if process.stdout is not None]

    @staticmethod
    def _say(process: subprocess.Popen[str], what: Any) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()


def versions(count: int) -> list[str]:
    """Return so many Tempest versions."""
    return [f"{47 - number}.0.0" for number in range(count)]


def _worst(told: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Join percentiles of several processes: calls are added, of the rest the worst is taken."""
    found: dict[str, dict[str, float]] = {}
    for one in told:
        for what, numbers in one.items():
            old = found.setdefault(what, dict.fromkeys(numbers, 0.0))
            for name, value in numbers.items():
                old[name] = old[name] + value if name == "calls" else max(old[name], value)
    return found
