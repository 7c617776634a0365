"""Looks at processes, database and queue every few seconds, for ``tests/bench/scale.py``."""

from __future__ import annotations

import json
import os
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.process_table import below

TICKS = os.sysconf("SC_CLK_TCK")
PAUSE = 5.0
"""Seconds between two looks."""
GROWTH = 1.10
"""What is flat may be so much larger in the last quarter of a time than in its first quarter, by the medians ..."""
SLACK = {"mb": 8.0, "": 10.0}
"""... and this much more: MiB of memory, or connections and files."""


@dataclass
class Group:
    """Processes that are counted as one."""

    pids: Callable[[], Iterable[int]]
    cpu: float = 0.0
    """Seconds of all of them since the first look."""
    _known: dict[int, float] = field(default_factory=dict)

    def look(self) -> dict[str, float]:
        """Return CPU seconds so far, memory of its own and with what it shares (MiB), open files and sockets."""
        found = dict.fromkeys(("own_mb", "rss_mb", "files", "sockets"), 0.0)
        seen: dict[int, float] = {}
        for pid in self.pids():
            with suppress(OSError, ValueError, IndexError):
                seen[pid] = cpu(pid)
                found["own_mb"] += _memory(pid, "Private_") / 1024
                found["rss_mb"] += _memory(pid, "Rss:") / 1024
                names = _files(pid)
                found["files"] += len(names)
                found["sockets"] += sum(name.startswith("socket:") for name in names)
        self.cpu += sum(max(0.0, now - self._known.get(pid, 0.0)) for pid, now in seen.items())
        self._known = seen
        return {"cpu_s": round(self.cpu, 2), **{name: round(value, 1) for name, value in found.items()}}


class Watch(threading.Thread):
    """Takes samples until it is stopped."""

    def __init__(self, groups: Mapping[str, Group], asked: Callable[[], Mapping[str, Any]]) -> None:
        """:param asked: what else belongs to a sample."""
        super().__init__(daemon=True)
        self.samples: list[dict[str, Any]] = []
        self._groups = groups
        self._asked = asked
        self._stopped = threading.Event()
        self._began = time.monotonic()

    def run(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._stopped.wait(PAUSE)

    def look(self) -> None:
        began = time.monotonic()
        sample: dict[str, Any] = {name: group.look() for name, group in self._groups.items()}
        try:
            sample.update(self._asked())
        except Exception as error:  # a server that is away at this moment is what is looked at
            sample["trouble"] = f"{type(error).__name__}: {error}"[:200]
        sample["at_s"] = round(began - self._began, 1)
        self.samples.append(sample)

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def flatness(samples: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Say of each series in these samples whether it is flat: see :data:`GROWTH`."""
    found = {}
    for path in ("api.own_mb", "monitor.own_mb", "gearmand.own_mb", "postgresql.own_mb", "api.files", "monitor.files",
                 "gearmand.sockets", "database.connections"):  # fmt: skip
        values = [float(value) for value in (_at(sample, path) for sample in samples) if value is not None]
        quarter = max(1, len(values) // 4)
        first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
        slack = SLACK["mb" if path.endswith("_mb") else ""]
        found[path] = {
            "first_quarter": first, "last_quarter": last, "most": max(values), "flat": last <= first * GROWTH + slack,
        }  # fmt: skip
    return found


def cores(samples: list[dict[str, Any]], name: str) -> float:
    """Return how many cores a group had on average between the first and the last of these samples."""
    seconds = samples[-1]["at_s"] - samples[0]["at_s"]
    return round((samples[-1][name]["cpu_s"] - samples[0][name]["cpu_s"]) / seconds, 3) if seconds else 0.0


def most_memory(samples: list[dict[str, Any]], names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return the most memory that each group had in any sample (MiB)."""
    kinds = ("own_mb", "rss_mb")
    return {name: {kind: max(sample[name][kind] for sample in samples) for kind in kinds} for name in names}


def tree(pid: int) -> set[int]:
    """Return a process and all below it."""
    return {pid, *below(pid)}


def queue_status(port: int) -> dict[str, Any]:
    """Return jobs and running jobs of all functions of a gearmand. :raises OSError: it does not answer."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"status\n")
        text = b""
        while not text.endswith(b".\n"):
            data = connection.recv(65536)
            if not data:
                raise ConnectionResetError("gearmand closed the connection")
            text += data
    rows = [line.split("\t") for line in text.decode().splitlines() if line != "."]
    return {
        "jobs": sum(int(row[1]) for row in rows),
        "running": sum(int(row[2]) for row in rows),
        "registrations": sum(int(row[3]) for row in rows),
    }


def saved(path: str, told: Mapping[str, Any], samples: list[dict[str, Any]]) -> None:
    """Write what was measured with all samples, a line each, if somewhere is named."""
    if path:
        head = json.dumps({name: value for name, value in told.items() if name != "samples"}, indent=1)
        lines = ",\n".join("  " + json.dumps(sample) for sample in samples)
        Path(path).write_text(f'{head[:-2]},\n "samples": [\n{lines}\n ]\n}}\n')


def _at(sample: Mapping[str, Any], path: str) -> Any:
    value: Any = sample
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def cpu_of_all(pids: Iterable[int]) -> float:
    """Return the CPU seconds of processes so far, without those that have ended, as PostgreSQL's autovacuum does."""
    spent = 0.0
    for pid in pids:
        with suppress(OSError):
            spent += cpu(pid)
    return spent


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def _memory(pid: int, start: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(start) and "Hugetlb" not in line)


def _files(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def growth_rule() -> str:
    return (
        f"samples every {PAUSE:g} s from the time at which a quarter of the runs were finished until the last was: the "
        f"median of their last quarter is at most {GROWTH:g} times that of their first, plus {SLACK['mb']:g} MiB or "
        f"{SLACK['']:g} connections or files"
    )
