"""Memory of the parts of a test: the cloud, the queue, its worker, what the worker runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.process_table import below, command_lines

WORKER, TESTS = "refstack_worker.worker.main", "--tempest-home"


def parts(cloud: Iterable[int], queue: int) -> Mapping[str, int]:
    """Return each part to its MiB: what a page shared by several processes costs is divided among them (PSS).

    :param cloud: ids of the processes that a cloud started.
    :param queue: id of ``refstack-queue standalone``, below which all of its is.
    """
    lines = command_lines()
    services = {pid for one in cloud for pid in (one, *below(one))}
    workers = {pid for pid in below(queue) if WORKER in lines.get(pid, "")}
    runs = {pid for pid in below(queue) if _is_run(lines.get(pid, ""))}
    tests = {pid for one in runs for pid in (one, *below(one))}
    node = {pid for one in workers for pid in (one, *below(one))} - tests
    server = {queue, *below(queue)} - node - tests
    return {"cloud": pss(services), "server": pss(server), "worker": pss(node), "tests": pss(tests)}


def _is_run(line: str) -> bool:
    return TESTS in line or TESTS.replace("-h", "_h") in line


def pss(pids: Iterable[int]) -> int:
    """Return the MiB of these processes together."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total // 1024
