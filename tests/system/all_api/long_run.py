"""One long run, looked at all the time: progress, console, how fast the API answers, memory of all parts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from refstack_worker.cli.api_client import Api
from refstack_worker.contract.states import ENDS, RunState

LOOK_SECONDS = 1.0
MEMORY_SECONDS = 10.0
CONSOLE_PAGE = 2000
SAY_SECONDS = 30.0


@dataclass
class LongRun:
    """What was seen of a run from its start to its end."""

    api: Api
    test_id: int
    memory_of: Callable[[], Mapping[str, int]]
    """Each part to the MiB that it has."""
    say: Callable[[str], None]
    run: dict[str, Any] = field(default_factory=dict)
    """As the API showed it last."""
    seconds: float = 0.0
    """From its trigger to its accepted result."""
    first_test: float = 0.0
    """Until the first test had ended."""
    console: Counter[str] = field(default_factory=Counter)
    """Lines that were read while they came: ``started``, ``passed`` … of tests, ``request``."""
    shown: dict[str, str] = field(default_factory=dict)
    """Test to how it ended, as the console had it."""
    dropped: int = 0
    slowest: float = 0.0
    """Longest time in seconds that the API took to show the run."""
    memory: dict[str, int] = field(default_factory=dict)
    """Most MiB of each part at one time, and of ``all`` together."""
    wrong: list[str] = field(default_factory=list)

    def follow(self) -> None:
        """Return when the run has ended."""
        began, after, next_memory, next_word = time.monotonic(), -1, 0.0, 0.0
        while not self.run or RunState(self.run["state"]) not in ENDS:
            self._look(time.monotonic() - began)
            after = self._read_console(after)
            now = time.monotonic()
            if now >= next_memory:
                self._weigh()
                next_memory = now + MEMORY_SECONDS
            if now >= next_word:
                self.say(self._word(now - began))
                next_word = now + SAY_SECONDS
            time.sleep(LOOK_SECONDS)
        self.seconds = time.monotonic() - began
        while (more := self._read_console(after)) != after:
            after = more
        self.say(self._word(self.seconds))

    def _look(self, at: float) -> None:
        before = self.run.get("progress", {})
        began = time.monotonic()
        self.run = self.api.get(f"/v1/runs/{self.test_id}")
        self.slowest = max(self.slowest, time.monotonic() - began)
        now = self.run["progress"]
        if _done(now) < _done(before):
            self.wrong.append(f"progress fell from {before} to {now}")
        if now["total"] and _done(now) > now["total"]:
            self.wrong.append(f"more tests than there are: {now}")
        if _done(now) and not self.first_test:
            self.first_test = at

    def _read_console(self, after: int) -> int:
        """Read on from a line; returns the last line that there is now."""
        while True:
            query = {"limit": CONSOLE_PAGE, **({"after": after} if after >= 0 else {})}
            page = self.api.get(f"/v1/runs/{self.test_id}/console", query)
            self.dropped = max(self.dropped, page["dropped"])
            for line in page["lines"]:
                if line["number"] != after + 1:
                    self.wrong.append(f"console: line {line['number']} follows line {after}")
                after = line["number"]
                self._count(line)
            if len(page["lines"]) < CONSOLE_PAGE:
                return after

    def _count(self, line: Mapping[str, Any]) -> None:
        if line["event"] == "request":
            self.console["request"] += 1
            return
        self.console[line["status"]] += 1
        if line["status"] != "started":
            self.shown[line["test"].partition("[")[0]] = line["status"]

    def _weigh(self) -> None:
        now = dict(self.memory_of())
        for part, size in {**now, "all": sum(now.values())}.items():
            self.memory[part] = max(self.memory.get(part, 0), size)

    def _word(self, at: float) -> str:
        now = self.run["progress"]
        counts = ", ".join(f"{now[kind]} {kind}" for kind in ("passed", "failed", "skipped"))
        return f"{at:5.0f} s: {self.run['state']}: {_done(now)} of {now['total']}: {counts}; {self.memory}"


def _done(progress: Mapping[str, Any]) -> int:
    return sum(int(progress.get(kind) or 0) for kind in ("passed", "failed", "skipped"))
