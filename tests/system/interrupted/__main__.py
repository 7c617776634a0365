"""Runs against a whole cloud that are cut short: what is in the cloud is counted before and after. Prints JSON.

    python -m tests.system.interrupted                              every moment, then two runs side by side
    python -m tests.system.interrupted --moment kill-servers        only this one
    python -m tests.system.interrupted --moment none                only the two runs side by side
    python -m tests.system.interrupted --tests tempest.api.volume   other tests than the usual selection
    python -m tests.system.interrupted --small                      Keystone and Swift alone: minutes, not half an hour

One cloud, one queue with one worker that carries out two runs at a time. The exit status is 1, and "wrong" in the JSON
says why, if anything is left in the cloud, or the run beside one that is cut short does not pass all its tests. Needs
root, and a lock of Tempest, which is made when it is missing.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.system.interrupted.moments import MOMENTS, SMALL_MOMENTS, SMALL_TESTS, TESTS
from tests.system.interrupted.trial import trial


def main() -> int:
    """Carry out what was asked for; returns the exit status."""
    # ended from outside, it puts everything away too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.interrupted", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    names = [*dict.fromkeys(moment.name for moment in (*MOMENTS, *SMALL_MOMENTS))]
    parser.add_argument("--moment", action="append", choices=[*names, "none"], default=[])
    parser.add_argument("--small", action="store_true", help="on the small cloud: Keystone and Swift")
    parser.add_argument("--tests", nargs="+", default=[], metavar="TEST")
    parser.add_argument("--no-pair", action="store_true", help="without the two runs side by side")
    parser.add_argument("--output", type=Path, help="write the JSON here too")
    given = parser.parse_args()
    known, usual = (SMALL_MOMENTS, SMALL_TESTS) if given.small else (MOMENTS, TESTS)
    moments = [moment for moment in known if not given.moment or moment.name in given.moment]
    tests = given.tests or list(usual)
    with (
        tempfile.TemporaryDirectory(prefix="interrupted-", dir="/var/tmp") as folder,
        trial(Path(folder), is_small=given.small) as made,
    ):
        report = {
            "command": " ".join(["python -m tests.system.interrupted", *sys.argv[1:]]),
            "tests": tests,
            "moments": [_told(made.cut_short(moment, tests)) for moment in moments],
            "pair": None if given.no_pair else _told(made.side_by_side(tests)),
        }
    found = [*report["moments"], *([report["pair"]] if report["pair"] else [])]
    report["wrong"] = [f"{one['name']}: {one['wrong']}" for one in found if one["wrong"]]
    text = json.dumps(report, indent=1)
    print(text)
    if given.output:
        given.output.write_text(text + "\n", encoding="utf-8")
    return 1 if report["wrong"] else 0


def _told(report: dict[str, Any]) -> dict[str, Any]:
    """Print how one went while the others are still to come."""
    print(json.dumps(report), file=sys.stderr, flush=True)
    return report


if __name__ == "__main__":
    sys.exit(main())
