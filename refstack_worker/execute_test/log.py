"""The log of a run, and the secrets that must not appear in it."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path

from refstack_worker.contract.execute_test import LOG_FILE
from refstack_worker.contract.messages import printable
from refstack_worker.contract.secrets import KnownSecrets

LOG = logging.getLogger("execute_test")

SECRETS = KnownSecrets()
"""The secrets of this run; nothing that is printed or kept may contain one."""


class MaskingFormatter(logging.Formatter):
    """Masks secrets in each record, and lets no record move a cursor or begin another."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record without secrets; only a traceback has lines of its own."""
        return printable(SECRETS.mask(super().format(record)), kept="\n")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).replace("\n", " ")


class _LogFile(logging.FileHandler):
    """A log file that stays silent when the disk is full; standard error has the same lines."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def open_log(folder: Path, verbosity: int) -> None:
    """Log to standard error and to a file in the work folder.

    :param verbosity: 1 for debugging, 0 for the usual, -1 for errors only.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    with contextlib.suppress(OSError):
        handlers.append(_LogFile(folder / LOG_FILE, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(MaskingFormatter("%(asctime)s %(levelname)s %(message)s"))
        LOG.addHandler(handler)
    LOG.setLevel({1: logging.DEBUG, 0: logging.INFO}.get(verbosity, logging.ERROR))
    LOG.propagate = False
