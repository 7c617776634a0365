"""What a run of ``execute_test`` leaves: results, events, processes, files."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

from subunit import ByteStreamToStreamResult
from testtools import StreamToDict


def results(stream: bytes) -> dict[str, str]:
    """Test to status, as python-subunit reads them."""
    found: dict[str, str] = {}
    result = StreamToDict(lambda test: found.update({test["id"]: test["status"]}))
    result.startTestRun()
    ByteStreamToStreamResult(io.BytesIO(stream), non_subunit_name="garbage").run(result)
    result.stopTestRun()
    return found


def wait_for_progress(process: subprocess.Popen[str], done: int) -> list[str]:
    """Read events until so many tests are done."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        event = json.loads(line)
        if event["event"] == "progress" and event["done"] >= done:
            break
    return lines


def below(folder: Path) -> list[int]:
    """Processes that have anything to do with a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def files(folder: Path) -> list[Path]:
    """The files below a folder that are still there."""
    return [path for path in folder.rglob("*") if path.is_file()]
