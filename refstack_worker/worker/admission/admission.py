"""Decides whether the node takes runs: ready, paused or draining, and enough disk space."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from refstack_worker.errors import ConfigError


class NodeState(str, enum.Enum):
    """The state of the node, as the server and operators see it."""

    READY = "ready"
    PAUSED = "paused"
    """Takes no runs until it is resumed."""
    DRAINING = "draining"
    """Takes no more runs and ends when the running ones are done."""


class Admission:
    """Every slot asks here before it asks the queue for a job."""

    def __init__(self, pause_file: Path | None = None) -> None:
        """
        :param pause_file: exists while the node is paused, so that it stays paused after a restart.
        """
        self._changed = threading.Condition()
        self._pause_file = pause_file
        is_paused = pause_file is not None and pause_file.exists()
        self._state = NodeState.PAUSED if is_paused else NodeState.READY
        self._stopping = False
        self._problem = ""
        self._rests = 0
        self._listeners: list[Callable[[], None]] = []

    @property
    def state(self) -> NodeState:
        """What was asked of the node: to be ready, paused or draining."""
        return self._state

    @property
    def reported_state(self) -> NodeState:
        """What servers see: draining also while it stops, and paused while it lacks disk space."""
        if self.is_ending:
            return NodeState.DRAINING
        return NodeState.PAUSED if self._problem else self._state

    @property
    def stopping(self) -> bool:
        """Whether the worker ends now, without waiting for runs."""
        return self._stopping

    @property
    def problem(self) -> str:
        """Why the node cannot take runs; empty if it can."""
        return self._problem

    @property
    def is_open(self) -> bool:
        """Whether a slot may take a run."""
        return self._state is NodeState.READY and not self._stopping and not self._problem

    @property
    def is_ending(self) -> bool:
        """Whether slots end as soon as they are idle."""
        return self._stopping or self._state is NodeState.DRAINING

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change."""
        self._listeners.append(listener)

    def pause(self) -> None:
        """Take no runs until :meth:`resume`, also after a restart.

        :raises ConfigError: it is paused, but would not be after a restart.
        """
        if self._state is NodeState.READY:
            self._set(_state=NodeState.PAUSED)
        if self._state is NodeState.PAUSED and self._pause_file is not None:
            try:
                self._pause_file.touch()
            except OSError as error:
                why = f"{self._pause_file}: {error.strerror}"
                raise ConfigError(
                    f"paused, but the pause could not be saved and will not survive a restart: {why}"
                ) from error

    def resume(self) -> None:
        """Take runs again. A draining node stays draining: its operator may count on its end."""
        if self._pause_file is not None:
            with suppress(FileNotFoundError):
                self._pause_file.unlink()
        if self._state is NodeState.PAUSED:
            self._set(_state=NodeState.READY)

    def drain(self) -> None:
        """Take no more runs until the process ends."""
        self._set(_state=NodeState.DRAINING)

    def stop(self) -> None:
        """End the process without waiting for runs."""
        self._set(_stopping=True)

    def set_problem(self, problem: str) -> None:
        """Set or clear why the node cannot take runs."""
        if problem != self._problem:
            self._set(_problem=problem)

    def end_rests(self) -> None:
        """Wake the slots that rest: what made their last run fail may be fixed."""
        self._set(_rests=self._rests + 1)

    def wait_open(self, seconds: float) -> bool:
        """Wait until a slot may take a run, or the node ends. :returns: :attr:`is_open`"""
        with self._changed:
            self._changed.wait_for(lambda: self.is_open or self.is_ending, seconds)
            return self.is_open

    def rest(self, seconds: float) -> None:
        """Wait until the time is over, the node ends, or :meth:`end_rests` is called."""
        with self._changed:
            rests = self._rests
            self._changed.wait_for(lambda: self.is_ending or self._rests != rests, seconds)

    def _set(self, **values: object) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, name, value)
            self._changed.notify_all()
        for listener in self._listeners:
            listener()
