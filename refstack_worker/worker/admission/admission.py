"""Whether the node takes runs: ready, paused or draining, and room on its disks."""

from __future__ import annotations

import enum
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path


class NodeState(str, enum.Enum):
    """What the node tells the server and whoever asks."""

    READY = "ready"
    PAUSED = "paused"
    """Takes no run until somebody says 'resume'."""
    DRAINING = "draining"
    """Takes no further run and ends when those it has are done."""


class Gate:
    """Every slot asks here before it asks the queue."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._state = NodeState.READY
        self._stopping = False
        self._shortage = ""
        self._listeners: list[Callable[[], None]] = []

    @property
    def state(self) -> NodeState:
        """Ready, paused or draining."""
        return self._state

    @property
    def told_state(self) -> NodeState:
        """The same as others see it: without room on its disks a node is as good as paused."""
        return NodeState.PAUSED if self._state is NodeState.READY and self._shortage else self._state

    @property
    def stopping(self) -> bool:
        """Whether the worker ends now, without waiting for runs."""
        return self._stopping

    @property
    def shortage(self) -> str:
        """What the node lacks to take runs; empty when nothing."""
        return self._shortage

    @property
    def is_open(self) -> bool:
        """Whether a slot may take a run."""
        return self._state is NodeState.READY and not self._stopping and not self._shortage

    @property
    def is_ending(self) -> bool:
        """Whether slots that are free may end."""
        return self._stopping or self._state is NodeState.DRAINING

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this after each change."""
        self._listeners.append(listener)

    def pause(self) -> None:
        """Take no further run, until :meth:`resume`. A draining node goes on draining."""
        if self._state is NodeState.READY:
            self._set(_state=NodeState.PAUSED)

    def resume(self) -> None:
        """Take runs again. A draining node goes on draining: its services may count on its end."""
        if self._state is NodeState.PAUSED:
            self._set(_state=NodeState.READY)

    def drain(self) -> None:
        """Take no further run, ever."""
        self._set(_state=NodeState.DRAINING)

    def stop(self) -> None:
        """End now."""
        self._set(_stopping=True)

    def note_shortage(self, what: str) -> None:
        """Note what the node lacks, or that it lacks nothing."""
        if what != self._shortage:
            self._set(_shortage=what)

    def wait_open(self, seconds: float) -> bool:
        """Wait until a slot may take a run, or the node ends. :returns: :attr:`is_open`"""
        with self._changed:
            self._changed.wait_for(lambda: self.is_open or self.is_ending, seconds)
            return self.is_open

    def wait_ending(self, seconds: float) -> bool:
        """Wait until the node ends. :returns: :attr:`is_ending`"""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_ending, seconds)

    def _set(self, **values: object) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, name, value)
            self._changed.notify_all()
        for listener in self._listeners:
            listener()


def free_mb(path: Path) -> int:
    """Return the free space of the disk that a folder is, or will be, on (MiB, as the worker's user may use it)."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free >> 20


def shortage(folders: Iterable[Path], limit_mb: int) -> str:
    """Return which disk has less than ``limit_mb`` free; empty when none."""
    seen: set[int] = set()
    for folder in folders:
        place = folder
        while not place.exists() and place != place.parent:
            place = place.parent
        device = os.stat(place).st_dev
        if device in seen:
            continue
        seen.add(device)
        free = free_mb(place)
        if free < limit_mb:
            return f"{folder}: {free} MiB free, limits.min_free_mb is {limit_mb}; make room"
    return ""
