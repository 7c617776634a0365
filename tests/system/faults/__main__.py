"""The fault matrix: every fault at every step of a run, against real processes. Prints a table in Markdown.

    python -m tests.system.faults                                everything (see docs/faults.md for how long that takes)
    python -m tests.system.faults --fault worker-kill --step running
    python -m tests.system.faults --output docs/faults.md        writes the page as well

Needs root (network namespaces, small disks), gearmand, PostgreSQL, libfaketime, and a lock of Tempest, which is made
when it is missing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from tests.system.faults import table
from tests.system.faults.faults import FAULTS
from tests.system.faults.matrix import Matrix
from tests.system.faults.steps import STEPS


def main() -> int:
    # ended from outside, it puts everything away too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fault", action="append", choices=[fault.name for fault in FAULTS], default=[])
    parser.add_argument("--step", action="append", choices=[step.name for step in STEPS], default=[])
    parser.add_argument("--lanes", type=int, default=3, help="installations side by side (default: 3)")
    parser.add_argument("--logs", type=Path, help="keep the logs of cells that are not right here")
    parser.add_argument("--output", type=Path, help="write the page here")
    given = parser.parse_args()
    faults = [fault for fault in FAULTS if not given.fault or fault.name in given.fault]
    steps = [step for step in STEPS if not given.step or step.name in given.step]
    began = time.monotonic()
    matrix = Matrix([(fault, step) for fault in faults for step in steps], given.lanes, given.logs)
    outcomes = matrix.carry_out()
    command = "python -m tests.system.faults " + " ".join(sys.argv[1:])
    page = table.page(outcomes, command.strip(), time.monotonic() - began, given.lanes)
    print(page)
    if given.output:
        given.output.write_text(page + "\n", encoding="utf-8")
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
