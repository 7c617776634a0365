"""The daemon's log: to stderr, each line with test id and attempt, never with a secret."""

from __future__ import annotations

import contextvars
import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from refstack_worker import systemd
from refstack_worker.config.worker import LogSettings
from refstack_worker.contract.secrets import KnownSecrets

RUN: contextvars.ContextVar[str] = contextvars.ContextVar("run", default="")
"""``<test id>:<attempt>`` that this thread works for."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that move a terminal's cursor, start a line, or reverse text: runs write to this log."""


SECRETS = KnownSecrets()
"""The secrets of the runs at hand. Nothing should log them in the first place."""


class Formatter(logging.Formatter):
    """One line per record, plain or JSON; with the journal's priorities if stderr goes to the journal."""

    def __init__(self, form: str, journal: bool) -> None:
        super().__init__()
        self._json = form == "json"
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line to write for a record."""
        run = getattr(record, "run", "") or RUN.get()
        text = _CONTROL.sub("?", SECRETS.mask(super().format(record)))
        line = self._as_json(record, run, text) if self._json else self._plain(record, run, text)
        return f"<{_priority(record.levelno)}>{line}" if self._journal else line

    def _plain(self, record: logging.LogRecord, run: str, text: str) -> str:
        start = "" if self._journal else f"{_time(record)} {record.levelname} "
        test_id, _, attempt = run.partition(":")
        about = f"test {test_id} attempt {attempt}: " if run else ""
        return start + about + text.replace("\n", "\n  " if not self._journal else " | ")

    def _as_json(self, record: logging.LogRecord, run: str, text: str) -> str:
        shown: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": text,
        }
        if run:
            test_id, _, attempt = run.partition(":")
            shown.update(test_id=int(test_id), attempt=int(attempt))
        return json.dumps(shown)


def set_up(settings: LogSettings) -> None:
    """Log to stderr as the settings say, replacing any earlier set-up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(settings.format, systemd.is_journal(sys.stderr)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("refstack_worker").setLevel(settings.level.upper())


@contextmanager
def about(run: str) -> Iterator[None]:
    """Add a run (``<test id>:<attempt>``) to what this thread logs."""
    token = RUN.set(run)
    try:
        yield
    finally:
        RUN.reset(token)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _priority(level: int) -> int:
    # sd-daemon(3): 3 error, 4 warning, 6 info, 7 debug
    return 3 if level >= logging.ERROR else 4 if level >= logging.WARNING else 6 if level >= logging.INFO else 7
