"""What nodes and another vendor feel while one vendor's token does the worst that it can."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench._server import cluster
from tests.support import hostile


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests/bench/run hostile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--processes", type=int, default=1, help="of the API")
    parser.add_argument("--keep", type=Path, help="add the result to this file")
    asked = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    with ExitStack() as ends, tempfile.TemporaryDirectory() as folder:
        url = ends.enter_context(cluster()).new_database() if asked.database == "postgresql" else ""
        with hostile.site(Path(folder), asked.nodes, url, asked.processes) as site:
            calm = hostile.measure(site, min(30.0, asked.seconds / 4), 0)
            found = hostile.measure(site, asked.seconds, asked.connections)
    told = {
        "name": f"hostile token, {asked.database}, {asked.processes} process{'es' * (asked.processes > 1)} of the API",
        "seconds": asked.seconds,
        "connections": asked.connections,
        "nodes": asked.nodes,
        "cores": os.cpu_count(),
        "load before": round(load, 2),
        "date": time.strftime("%Y-%m-%d"),
        "calm": _figures(calm),
        "attacked": {**_figures(found), "attacks": dict(sorted(found.attacks.items()))},
    }
    print(json.dumps(told, indent=1))
    if asked.keep:
        kept = json.loads(asked.keep.read_text()) if asked.keep.exists() else []
        others = [one for one in kept if one["name"] != told["name"]]
        asked.keep.write_text(json.dumps([*others, told], indent=1) + "\n")
    figures = _figures(found)
    limits = (("heartbeat max s", 2.0), ("other vendor p95 s", 1.0), ("largest process's peak MB", 300.0))
    missed = [name for name, most in limits if float(str(figures[name])) > most]
    print(f"missed: {', '.join(missed) or 'nothing'}", file=sys.stderr)
    return int(bool(found.wrong or missed))


def _figures(found: hostile.Measured) -> dict[str, object]:
    return {
        "heartbeats": len(found.heartbeats),
        "heartbeat median s": round(statistics.median(found.heartbeats), 4),
        "heartbeat p99 s": round(sorted(found.heartbeats)[int(len(found.heartbeats) * 0.99)], 3),
        "heartbeat max s": round(max(found.heartbeats), 3),
        "other vendor's calls": len(found.calls),
        "other vendor p95 s": round(sorted(found.calls)[int(len(found.calls) * 0.95)], 3),
        "largest process's peak MB": round(max(found.peaks) / 1024),
        "sum of the processes' peaks MB": round(sum(found.peaks) / 1024),
        "wrong": dict(found.wrong),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
