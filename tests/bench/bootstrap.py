"""From a booted bare Debian 12 to a node: registered with gearmand, the environment of Tempest 47.0.0 warm.

    tests/bench/run bootstrap [--runs N] [--idle SECONDS]

The packages come from a repository on this host, Debian's through a cache on this host. Beside it the historic
way, on this host: virtualenv and ``pip install tempest`` from the index, nothing cached. Prints the table of steps
(stderr) and JSON. Needs root, mmdebstrap, systemd-container, gearmand.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench._measure import Result, report, say
from tests.support import installer_nodes as nodes

TEMPEST = nodes.TEMPEST
TICKS = os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str]) -> int:
    """Measure and report; the status is 0 when every limit was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds over which the idle worker's CPU is counted")
    asked = parser.parse_args(arguments)
    if os.geteuid() != 0:
        parser.exit(2, "booting machines needs root\n")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, nodes.site(Path(folder)) as site:
        measured = [bootstrap(site, asked.idle) for _ in range(asked.runs)]
        historic = the_historic_way()
    middle = {name: statistics.median(each[name] for each in measured) for name in measured[0]}
    runs = asked.runs
    results = [
        Result("bare to registered and warm", middle["whole"], historic, "s", runs,
               "virtualenv + pip install tempest", 1, limit=60.0),
        Result("of it not the package manager's", middle["own"], None, "s", runs, limit=5.0),
        Result("plan on a finished node", middle["plan"], None, "s", runs, limit=1.0),
        Result("idle worker, proportional memory (PSS)", middle["pss"], None, "MB", runs, limit=40.0),
        Result("idle worker, resident memory (RSS)", middle["rss"], None, "MB", runs),
        Result("idle worker, of a core", middle["core"], None, "%", runs, limit=0.1),
    ]  # fmt: skip
    return report(results, load)


def bootstrap(site: nodes.Site, idle: float) -> dict[str, float]:
    """Make one node; return its figures."""
    with nodes.Node(site) as node:
        began = time.perf_counter()
        code, told = node.install("apply")
        whole = time.perf_counter() - began
        if code != 0:
            sys.exit(f"apply: {told['error']['message']}")
        table(told)
        plans = []
        for _ in range(5):
            began = time.perf_counter()
            code, _ = node.install("plan")
            plans.append(time.perf_counter() - began)
            assert code == 0
        by_packages = sum(step["package_manager_seconds"] for step in told["steps"])
        memory, core = at_rest(node, idle)
        return {"whole": whole, "own": whole - by_packages, "plan": statistics.median(plans), "core": core, **memory}


def table(told: dict[str, Any]) -> None:
    """Say how long each step took."""
    say(f"{'step':<14}{'state':<12}{'seconds':>9}{'package manager':>17}")
    for step in told["steps"]:
        say(f"{step['name']:<14}{step['state']:<12}{step['seconds']:>9.2f}{step['package_manager_seconds']:>17.2f}")


def at_rest(node: nodes.Node, seconds: float) -> tuple[dict[str, float], float]:
    """Return the idle worker's memory in MB, and how much of a core it takes in per cent."""
    machine = node.machine
    pid = machine.sh("systemctl show -p MainPID --value refstack-worker").strip()
    before = ticks(machine.sh(f"cat /proc/{pid}/stat"))
    time.sleep(seconds)
    after = ticks(machine.sh(f"cat /proc/{pid}/stat"))
    rollup = dict(
        line.split(":", 1) for line in machine.sh(f"cat /proc/{pid}/smaps_rollup").splitlines() if ":" in line
    )
    memory = {name.lower(): int(rollup[name].split()[0]) / 1024 for name in ("Pss", "Rss")}
    return memory, 100.0 * (after - before) / TICKS / seconds


def ticks(stat: str) -> int:
    """Return user and system time out of ``/proc/PID/stat``."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def the_historic_way() -> float:
    """Return the seconds of virtualenv and pip with an empty cache, on this host's network."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "virtualenv", "-q", "-p", "/usr/bin/python3", folder], check=True)
        install = [f"{folder}/bin/pip", "install", "-q", "--no-cache-dir", f"tempest=={TEMPEST}"]
        subprocess.run(install, check=True)
        return time.perf_counter() - began
