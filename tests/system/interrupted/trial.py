"""One whole cloud and one queue, and runs that are cut short on them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refstack_worker.cli.api_client import Api
from refstack_worker.contract.payload import MIN_RUN_SECONDS
from refstack_worker.contract.states import ENDS, RunState
from tests.support.census import added, census
from tests.support.cleanup_by_record import clean_up_by_record
from tests.support.process_table import below, command_lines
from tests.support.processes import TOP, eventually
from tests.support.standalone import TEMPEST, Standalone, standalone
from tests.system.execute_test.conftest import Cloud, Options, cache_folder
from tests.system.interrupted.moments import CANCEL, KILL, KILL_CLEANUP, TIME_LIMIT, Census, Moment

from democloud.openstack.whole import WholeCloud  # isort: skip - found by what is imported above

COME_SECONDS = 240.0
"""For the run to have in the cloud what a moment wants."""
END_SECONDS = 1200.0
"""For a run, with its second attempt, to end."""
CLEAN_SECONDS = 300.0
"""For the clean-up after it."""
SETTLE_SECONDS = 60.0
"""For the clean-up of an earlier attempt to begin and to end."""
WORKER = "refstack_worker.worker.main"


@dataclass
class Trial:
    """A cloud and a queue that all runs share."""

    cloud: Cloud | WholeCloud
    queue: Standalone
    api: Api

    def cut_short(self, moment: Moment, tests: Sequence[str]) -> dict[str, Any]:
        """Cut one run short; returns what was in the cloud then, and what is left."""
        began = time.monotonic()
        before = census(self.cloud)
        run = self.create(tests, MIN_RUN_SECONDS if moment.how == TIME_LIMIT else 0)
        had = self._wait_for(moment, run, before)
        ended = self._cut(moment, run)
        state, attempt, counts = ended["state"], ended["attempt"], ended["counts"]
        by_hand = self._clean_up_by_record(run) if moment.how == KILL_CLEANUP else ""
        left = self._left(before)
        expected = {CANCEL: "cancelled", TIME_LIMIT: "failed", KILL: "finished", KILL_CLEANUP: "cancelled"}[moment.how]
        wrong = [f"it ended as {state} and not as {expected}"] * (state != expected)
        wrong += [f"tests failed: {counts}"] * (state == "finished" and counts["failed"] > 0)
        wrong += [f"left in the cloud: {json.dumps(left)}"] * bool(left)
        return {"name": moment.name, "had": _numbers(had), "state": state, "attempt": attempt, "counts": counts,
                "left": left, **({"cleanup_only": by_hand} if by_hand else {}),
                "seconds": round(time.monotonic() - began), "wrong": "; ".join(wrong)}  # fmt: skip

    def side_by_side(self, tests: Sequence[str]) -> dict[str, Any]:
        """Cancel one of two runs of the same tests while it has servers; the other one has to pass all its tests."""
        began = time.monotonic()
        before = census(self.cloud)
        cut, other = self.create(tests), self.create(tests)
        kinds = ("servers", "projects") if isinstance(self.cloud, WholeCloud) else ("containers", "projects")
        moment = Moment("side-by-side", CANCEL, kinds)
        had = self._wait_for(moment, cut, before)
        state = self._cut(moment, cut)["state"]
        ended = self._ended(other)
        counts = ended["counts"]
        left = self._left(before)
        wrong = [f"the other run: {ended['state']}, {counts}"] * (ended["state"] != "finished" or counts["failed"] > 0)
        wrong += [f"left in the cloud: {json.dumps(left)}"] * bool(left)
        return {"name": moment.name, "had": _numbers(had), "state": state, "other": counts, "left": left,
                "seconds": round(time.monotonic() - began), "wrong": "; ".join(wrong)}  # fmt: skip

    def create(self, tests: Sequence[str], timeout: int = 0) -> int:
        """Trigger a run with what a vendor gives: address and administrator."""
        body = {"tempest_version": TEMPEST, "conf_json": self._vendor_conf(), "concurrency": 2,
                "testcases": {"names": list(tests)}, "timeout": timeout}  # fmt: skip
        return int(self.api.post("/v1/runs", body)["test_id"])

    def _vendor_conf(self) -> dict[str, dict[str, Any]]:
        return self.cloud.vendor_conf() if isinstance(self.cloud, WholeCloud) else self.cloud.tempest_conf()

    def _wait_for(self, moment: Moment, run: int, before: Census) -> Census:
        found: Census = {}

        def has_come() -> bool:
            nonlocal found
            shown = self.api.get(f"/v1/runs/{run}")
            assert RunState(shown["state"]) not in ENDS, f"run {run} ended before its moment: {shown['message']}"
            # resources come and go while they are listed
            with contextlib.suppress(OSError, KeyError, RuntimeError):
                found = added(before, census(self.cloud))
            return moment.has_come(found)

        eventually(lambda: f"{moment.name}\n{self.queue.logs()}", has_come, COME_SECONDS)
        return found

    def _cut(self, moment: Moment, run: int) -> dict[str, Any]:
        """Cut the run short and wait for its end; returns it as the API shows it."""
        if moment.how in (CANCEL, KILL_CLEANUP):
            self.api.post(f"/v1/runs/{run}/cancel")
        if moment.how == KILL_CLEANUP:
            eventually("the clean-up begins", lambda: any("--cleanup-only" in line for line in self._commands()))
        if moment.how in (KILL, KILL_CLEANUP):
            os.kill(self._worker(), signal.SIGKILL)
        return self._ended(run)

    def _ended(self, run: int) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            shown: dict[str, Any] = self.api.get(f"/v1/runs/{run}")
            return shown if RunState(shown["state"]) in ENDS else None

        return eventually(lambda: f"the end of run {run}\n{self.queue.logs()}", over, END_SECONDS) or {}

    def _left(self, before: Census) -> Census:
        """Wait until no run is on the node any more and a while for the rest; returns what is in the cloud more."""

        def is_quiet() -> bool:
            return not any("--tempest-home" in line or "--tempest_home" in line for line in self._commands())

        eventually(lambda: f"the clean-up ends\n{self.queue.logs()}", is_quiet, CLEAN_SECONDS)
        deadline = time.monotonic() + SETTLE_SECONDS
        # what a killed attempt left is removed after the next one has ended: seconds later
        while (left := self._more_than(before)) and time.monotonic() < deadline:
            time.sleep(2)
        return left

    def _more_than(self, before: Census) -> Census:
        found = added(before, census(self.cloud))
        # Neutron makes one for each project and keeps it when the project goes, also after a run that was not stopped
        groups = found.pop("security_groups", [])
        found["security_groups"] = [name for name in groups if not name.startswith("default ")]
        return {kind: names for kind, names in found.items() if names}

    def _clean_up_by_record(self, run: int) -> str:
        """Remove what is left with nothing but the run's record and the vendor's credentials; returns the output."""
        eventually("the killed clean-up has ended", lambda: not any("--cleanup-only" in x for x in self._commands()))
        return clean_up_by_record(self.queue, run, self._vendor_conf())

    def _commands(self) -> list[str]:
        lines = command_lines()
        return [lines.get(pid, "") for pid in below(self.queue.program.pid)]

    def _worker(self) -> int:
        lines = command_lines()
        own = sorted(below(self.queue.program.pid))
        found = [pid for pid in own if WORKER in lines.get(pid, "")]
        assert found, f"no worker among {[lines.get(pid, '') for pid in own]}"
        return found[0]


@contextmanager
def trial(folder: Path, is_small: bool = False) -> Iterator[Trial]:
    """Give a cloud and a queue; what is started here ends with the block."""
    make = Cloud if is_small else WholeCloud
    os.environ.setdefault("PYTHONPATH", str(TOP))
    with (
        make(folder / "cloud", Options(cache_folder(), say=lambda text: print(text, file=sys.stderr))) as cloud,
        standalone(folder, slots=2) as queue,
        queue.api() as api,
    ):
        yield Trial(cloud, queue, api)


def _numbers(found: Census) -> dict[str, int]:
    return {kind: len(names) for kind, names in found.items() if names}
