"""A soak: many short real runs over three nodes, with a fault every 20 seconds. Prints JSON.

    python -m tests.system.soak                               2,000 runs, and faults for 30 minutes at least
    python -m tests.system.soak --runs 30 --seconds 120
    python -m tests.system.soak --output docs/results/soak.json

Each run is two tests of a real Tempest against a real Keystone. All of them must end as they should: the exit status is
1, and "wrong" in the JSON says why, if anything is not accounted for. Needs root (network namespaces, small disks),
gearmand, PostgreSQL, libfaketime, and a lock of Tempest, which is made when it is missing.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from tests.system.soak.soak import Plan, Soak
from tests.system.soak.weather import NAMES


def main() -> int:
    # ended from outside, it puts everything away too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1800, help="have faults for so long at least (default: 1800)")
    parser.add_argument("--record-for", type=float, default=0, help="record no run after so many seconds")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2, help="runs side by side on each node (default: 2)")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--fault", action="append", choices=NAMES, default=[], help="only these (default: all)")
    parser.add_argument("--logs", type=Path, help="keep the logs here")
    parser.add_argument("--output", type=Path, help="write the JSON here too")
    given = vars(parser.parse_args())
    output = given.pop("output")
    report = {"command": " ".join(["python -m tests.system.soak", *sys.argv[1:]]), **Soak(Plan(**given)).carry_out()}
    text = json.dumps(report, indent=1)
    print(text)
    if output:
        output.write_text(text + "\n", encoding="utf-8")
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
