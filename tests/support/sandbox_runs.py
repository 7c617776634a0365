"""Runs a Python text in a sandbox and records what comes back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from refstack_worker.worker.sandbox.runner import Command, EmbeddedRunner, ProcessExit


class RecordingListener:
    """Keeps what a program says; ``heard`` is set with each event."""

    def __init__(self, on_event: Callable[[Mapping[str, Any]], None] = lambda event: None) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.lines: list[str] = []
        self.files: dict[str, bytes] = {}
        self.last: set[str] = set()
        self._on_event = on_event

    def event(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)
        self._on_event(event)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def file(self, name: str, data: bytes, last: bool) -> None:
        assert name not in self.last
        self.files[name] = self.files.get(name, b"") + data
        if last:
            self.last.add(name)


def python(text: str, *words: str, **more: Any) -> Command:
    return Command((sys.executable, "-c", text, *words), env={"PATH": os.defpath}, **more)


def run(
    embedded: EmbeddedRunner, command: Command, ears: RecordingListener | None = None
) -> tuple[ProcessExit, RecordingListener]:
    ears = ears or RecordingListener()
    with embedded.open("1-1-test") as sandbox:
        return sandbox.run(command, ears), ears
