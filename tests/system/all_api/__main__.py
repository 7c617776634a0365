"""All API tests of a Tempest version through the queue on a whole cloud, as the interop procedure asks. Prints a page.

    python -m tests.system.all_api --output docs/results/all-api.md       Tempest 43.0.0; half an hour on two cores
    python -m tests.system.all_api --tempest 47.0.0
    python -m tests.system.all_api --small --tests tempest.api.object_storage    Keystone and Swift alone, minutes

The run is followed from its start to its end: progress, console, memory of all parts. Then its result is read in every
form: tests, exports, page, verdict. What failed is run once more by plain Tempest with a tempest.conf by hand. The exit
status is 1, and the page says why, if a part contradicts another, a test that failed passes by hand, or something is
left in the cloud that ``execute_test --cleanup-only`` with the run's record does not remove. Needs root, and the
guideline 2020.06 (``REFSTACK_TEST_INTEROP``). The cloud and Tempest come from PyPI; for an older Tempest,
``REFSTACK_TEST_CONSTRAINTS`` names the folder of the upper constraints.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.census import added, census
from tests.support.cleanup_by_record import clean_up_by_record
from tests.support.standalone import GUIDELINE, INTEROP, Standalone, standalone
from tests.system.accounts.comparison import of_projects_that_stay
from tests.system.accounts.programs import PLATFORM
from tests.system.all_api import memory, table
from tests.system.all_api.by_hand import again
from tests.system.all_api.kept import KeptResult
from tests.system.all_api.long_run import LongRun
from tests.system.execute_test.conftest import TOP, Cloud, Options, cache_folder

from democloud.openstack.whole import WholeCloud  # isort: skip - found by what is imported above

TEMPEST_OF_PROCEDURE = "43.0.0"
MAX_AGAIN = 60
"""Tests that failed and are run once more."""
SETTLE_SECONDS = 30.0
"""For what is being deleted when the run ends."""


def main() -> int:
    # ended from outside, it puts everything away too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = _parsed()
    os.environ.setdefault("PYTHONPATH", str(TOP))
    make = Cloud if given.small else WholeCloud
    with tempfile.TemporaryDirectory(prefix="all-api-", dir="/var/tmp") as name:  # noqa: S108
        folder = Path(name)
        with (
            make(folder / "cloud", Options(cache_folder(), say=_say)) as cloud,
            standalone(folder, tempest=given.tempest) as queue,
        ):
            text, wrong = carry_out(cloud, queue, given, folder)
    print(text)
    if given.output:
        given.output.write_text(text + "\n", encoding="utf-8")
    return 1 if wrong else 0


def carry_out(
    cloud: Cloud | WholeCloud, queue: Standalone, given: argparse.Namespace, folder: Path
) -> tuple[str, list[str]]:
    """Run, follow, read, compare; returns the page and what is wrong."""
    before = census(cloud)
    load = os.getloadavg()
    with queue.api() as api:
        number = int(api.post("/v1/runs", _body(cloud, queue, given))["test_id"])
        pids = [pid for pid, _started in cloud.services.pids.values()]
        run = LongRun(api, number, lambda: memory.parts(pids, queue.program.pid), _say)
        run.follow()
    kept = KeptResult(queue, number, _made(folder / "exports"))
    wrong = list(run.wrong)
    if run.run["state"] == "finished":
        kept.collect(run.run)
        wrong += [*kept.wrong, *table.differences(run, kept)]
    else:
        wrong.append(f"the run is {run.run['state']}: {run.run['message']}\n{queue.logs()}")
    left, (said, stays) = _leftovers(before, cloud, queue, number)
    wrong += [f"left in the cloud after --cleanup-only: {what}" for what in stays]
    failed = [test["name"] for test in kept.tests if test["status"] == "failed"]
    _say(f"{len(failed)} tests failed; once more by hand")
    by_hand = again(failed[:MAX_AGAIN], given.tempest, cloud.tempest_conf(), folder / "again") if failed else {}
    wrong += [f"{name} failed and passes by hand" for name, status in by_hand.items() if status == "passed"]
    command = " ".join(["python -m tests.system.all_api", *given.words])
    about = table.About(command, given.tempest, load, left, said)
    return table.page(run, kept, by_hand, wrong, about), wrong


def _leftovers(
    before: dict[str, list[str]], cloud: Cloud | WholeCloud, queue: Standalone, number: int
) -> tuple[tuple[str, ...], tuple[str, tuple[str, ...]]]:
    """Return what is left in the cloud; what a clean-up by the run's record says, and what is left after it."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (left := of_projects_that_stay(added(before, census(cloud)))) and time.monotonic() < deadline:
        time.sleep(2)
    if not left:
        return (), ("", ())
    said = clean_up_by_record(queue, number, _vendor_conf(cloud))
    return left, (said, of_projects_that_stay(added(before, census(cloud))))


def _vendor_conf(cloud: Cloud | WholeCloud) -> dict[str, dict[str, Any]]:
    return cloud.vendor_conf() if isinstance(cloud, WholeCloud) else cloud.tempest_conf()


def _body(cloud: Cloud | WholeCloud, queue: Standalone, given: argparse.Namespace) -> dict[str, Any]:
    """What the run is asked for: with what a vendor gives, address and administrator."""
    body = {"tempest_version": given.tempest, "conf_json": _vendor_conf(cloud), "concurrency": given.concurrency,
            "timeout": 60 * given.minutes}  # fmt: skip
    if given.tests:
        return {**body, "testcases": {"names": given.tests}}
    added_file = queue.command("guideline", "add", Path(INTEROP) / f"{GUIDELINE}.json")
    assert added_file.status == 0, added_file.err
    return {**body, "guideline": {"name": GUIDELINE, "program": PLATFORM.name, "tests": "api"}}


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.all_api", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--tempest", default=TEMPEST_OF_PROCEDURE, metavar="V", help="(%(default)s)")
    parser.add_argument("--tests", nargs="+", default=[], metavar="TEST", help="these in place of all API tests")
    parser.add_argument("--small", action="store_true", help="on the small cloud: Keystone and Swift")
    parser.add_argument("--concurrency", type=int, default=2, metavar="N", help="test processes (%(default)s)")
    parser.add_argument("--minutes", type=int, default=60, metavar="N", help="time limit of the run (%(default)s)")
    parser.add_argument("--output", type=Path, help="write the page here too")
    given = parser.parse_args()
    if not given.tests and not INTEROP:
        parser.error("name the folder of the interop guidelines in REFSTACK_TEST_INTEROP")
    given.words = [word for word in sys.argv[1:] if word not in ("--output", str(given.output))]
    return given


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
