"""The log of a run."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path

import pytest

from refstack_worker.execute_test.log import LOG, SECRETS, MaskingFormatter, open_log
from refstack_worker.execute_test.progress import EventWriter


def test_log_lines_are_masked() -> None:
    SECRETS.add("hidden-thing")
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed with %s", ("hidden-thing",), None)
    assert MaskingFormatter("%(message)s").format(record) == "failed with ***"


def test_a_full_disk_costs_the_log_file_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # line by line, as "w" would write it, into a device that is always full
    (tmp_path / "execute_test.log").symlink_to("/dev/full")
    before = list(LOG.handlers)
    try:
        open_log(tmp_path, 0)
        LOG.error("machine: no room")
    finally:
        for handler in set(LOG.handlers) - set(before):
            LOG.removeHandler(handler)
            with contextlib.suppress(OSError):
                handler.close()
    told = capsys.readouterr().err
    assert told.count("machine: no room") == 1
    assert "Traceback" not in told


def test_what_a_cloud_says_begins_no_record_and_moves_no_cursor() -> None:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "image %s", ("a\n2026 INFO passed\r\x1b]0;b\x07",), None)
    shown = MaskingFormatter("%(message)s").format(record)
    assert shown.isprintable() and "INFO passed" in shown


def test_what_a_cloud_says_moves_no_cursor_of_who_reads_the_events() -> None:
    out = io.StringIO()
    EventWriter(False, out).message("image a\x1b]0;b\x07\nfailed (exit 1)")
    assert out.getvalue() == "image a?]0;b??failed (exit 1)\n"
