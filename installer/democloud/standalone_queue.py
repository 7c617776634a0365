"""``refstack-queue standalone`` of this checkout, and the commands that talk to it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from democloud.ports import CloudError, wait
from democloud.software import Say
from refstack_worker import process

TOP = Path(__file__).resolve().parents[2]
READY_SECONDS = 120.0
STOP_SECONDS = 90.0


def module(python: Path, command: str, words: Sequence[str | Path]) -> list[str]:
    """Command line of one of the project's commands out of this checkout."""
    return [str(python), "-m", f"refstack_worker.cli.{command}.main", *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    """The environment of the project's commands."""
    return {**os.environ, "PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1", **more}


@dataclass
class Queue:
    """``refstack-queue standalone`` and the commands that talk to it."""

    python: Path
    folder: Path
    locks: Path
    tied: bool
    say: Say
    """Called with each event."""
    url: str = ""
    token_file: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it is ready.

        :raises CloudError: it ended or is not ready in time.
        """
        ready = self.folder / "queue-ready.json"
        words: list[str | Path] = ["standalone", "--folder", self.folder / "queue", "--locks", self.locks]
        tie = ["setpriv", "--pdeathsig", "TERM", "--"] if self.tied else []
        command = [*tie, *module(self.python, "queue", [*words, "--ready-file", ready])]
        with open(self.folder / "queue.log", "ab") as log:
            self._process = process.start(
                command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait(lambda: self._is_ready(ready), "the queue to start", READY_SECONDS)
        told = json.loads(ready.read_text())
        self.url, self.token_file = told["url"], told["token_file"]

    def _is_ready(self, ready: Path) -> bool:
        if self._process is not None and self._process.poll() is not None:
            log = (self.folder / "queue.log").read_text(errors="replace")
            raise CloudError(f"the queue did not start: {log[-1500:]}")
        return ready.is_file() and ready.stat().st_size > 0

    def stop(self) -> None:
        """End it and all that it started."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.say("the queue does not end and is killed")
        process.kill_group(self._process.pid)
        self._process.wait()
        self._process = None

    def ask(self, *words: str | Path) -> Any:
        """One ``refstack-queue …`` command; its answer as JSON."""
        options = process.Options(env=self._environment())
        return json.loads(process.run(module(self.python, "queue", [*words, "-f", "json"]), options).stdout)

    def show(self, *words: str | Path) -> int:
        """One ``refstack-queue run …`` command whose output is for the person; returns its exit status."""
        command = module(self.python, "queue", ["run", *words])
        return subprocess.run(command, env=self._environment()).returncode  # noqa: S603

    def _environment(self) -> dict[str, str]:
        return environment(REFSTACK_URL=self.url, REFSTACK_TOKEN_FILE=self.token_file)
