"""The processes of a cloud end together, with what they started elsewhere."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from democloud.ports import CloudError
from democloud.services import MARK, Services

ESCAPES = "setsid sleep 300 & echo $! > {file}; exec sleep 300"
"""Leaves the process group, as privsep's and Erlang's helpers do."""


def wait_for(path: Path) -> int:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(path.read_text())


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def await_end(pid: int) -> None:
    deadline = time.monotonic() + 20
    while not ended(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_left_the_process_group_ends_too(tmp_path: Path) -> None:
    services = Services(tmp_path)
    services.start("escaping", ["/bin/sh", "-c", ESCAPES.format(file=tmp_path / "pid")], {})
    child = wait_for(tmp_path / "pid")
    assert not ended(child)
    services.stop()
    await_end(child)


def test_another_clouds_processes_stay(tmp_path: Path) -> None:
    first, second = Services(tmp_path / "first"), Services(tmp_path / "second")
    for services in (first, second):
        services.folder.mkdir()
        services.start("sleeping", ["/bin/sleep", "300"], {})
    try:
        first.stop()
        second.check("sleeping")
    finally:
        second.stop()


def test_a_service_that_ended_is_named_with_its_log(tmp_path: Path) -> None:
    services = Services(tmp_path)
    services.start("failing", ["/bin/sh", "-c", f"echo out of luck, ${MARK}; exit 3"], {})
    await_end(services.pids["failing"][0])
    with pytest.raises(CloudError, match=f"failing of the test cloud ended: out of luck, {tmp_path}"):
        services.check("failing")


def test_a_socket_is_passed_on(tmp_path: Path) -> None:
    read, write = os.pipe()
    services = Services(tmp_path)
    services.start("writing", [sys.executable, "-c", f"import os; os.write({write}, b'passed')"], {}, (write,))
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "passed"
    services.stop()
