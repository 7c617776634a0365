"""Many short real runs over a small fleet, with a fault every few seconds, until the last one has ended."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy

from tests.integration.conftest import Cloud, make_locks
from tests.support.processes import Program, eventually
from tests.system.faults.faults import make_clocks_movable
from tests.system.faults.place import Place
from tests.system.soak import verdict as verdicts
from tests.system.soak.feeder import Feeder
from tests.system.soak.watch import Watch
from tests.system.soak.weather import Weather

LOOK = 10.0
"""Seconds between two lines of progress."""
STUCK = 300.0
"""Seconds in which no run ends, although some wait: then none will any more."""


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    runs: int
    seconds: float
    """Of faults at least."""
    record_for: float
    """Seconds after which no further run is recorded; 0: all are."""
    nodes: int
    slots: int
    seed: int
    logs: Path | None
    fault: tuple[str, ...] = ()
    """Names of the faults that may happen; all of them if empty."""


class Soak:
    """One soak; :meth:`carry_out` returns its report."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._began = time.monotonic()
        self._last_end = (0, self._began)

    def carry_out(self) -> dict[str, Any]:
        """Do everything; the report's ``wrong`` is empty when all is accounted for."""
        make_locks()
        folder = Path(tempfile.mkdtemp(prefix="refstack-soak-cloud-"))
        load, busy = os.getloadavg()[0], _machine_seconds()
        try:
            with Cloud(folder / "cloud") as cloud:
                place = Place(0, cloud, self._plan.nodes, self._plan.slots)
                try:
                    report = self._in(place)
                finally:
                    self._keep_logs(place)
                    place.end()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        report["machine"] = {
            "cores": len(os.sched_getaffinity(0)),
            "load_before": round(load, 1),
            "busy_s": round(_machine_seconds() - busy),
            "own_children_s": round(children.ru_utime + children.ru_stime),
        }
        return report

    def _in(self, place: Place) -> dict[str, Any]:
        make_clocks_movable(place)
        place.start()
        for node in place.nodes:
            place.start_node(node)
        for node in place.nodes:
            eventually("the node has its queue", node.is_connected)
        return self._runs(place)

    def _runs(self, place: Place) -> dict[str, Any]:
        before = place.in_cloud()
        self._began = time.monotonic()
        self._last_end = (0, self._began)
        feeder = Feeder(place, self._plan.runs, self._records_no_more)
        weather, watch = Weather(place, self._plan.seed, self._plan.fault), Watch(_programs(place))
        feeder.start()
        weather.start()
        problems = self._wait(place, feeder, weather, watch)
        weather.stop()
        seconds = time.monotonic() - self._began
        problems += [text for text in (weather.problem, feeder.problem) if text]
        print(f"all has ended after {seconds:.0f} s; looking at what is left", file=sys.stderr, flush=True)
        verdict = verdicts.judge(place, feeder.recorded, before)
        verdict.wrong += [*problems, *watch.wrong(), *verdicts.passwords(place)]
        for text in verdict.wrong:
            print(f"WRONG: {text}", file=sys.stderr, flush=True)
        return {
            "plan": {**asdict(self._plan), "logs": None},
            "seconds": round(seconds),
            "recorded": len(feeder.recorded),
            "recordings_asked_again": feeder.repeated,
            "faults": dict(sorted(weather.counts.items())),
            "faults_total": weather.counts.total(),
            "programs": watch.report(),
            **verdict.report(),
        }

    def _records_no_more(self) -> bool:
        limit = self._plan.record_for
        return bool(limit) and time.monotonic() - self._began > limit

    def _wait(self, place: Place, feeder: Feeder, weather: Weather, watch: Watch) -> list[str]:
        """Wait until all has ended and there were faults for long enough; return what keeps it from that."""
        looked = 0.0
        while True:
            now = time.monotonic()
            states = _asked(lambda: verdicts.by_state(place))
            if now - looked >= LOOK:
                looked = now
                watch.look()
                print(f"{now - self._began:5.0f} s {states} {weather.now}", file=sys.stderr, flush=True)
            if not weather.is_alive():
                return ["there was no fault any more"]
            if self._is_stuck(states, now):
                return [f"no run has ended for {STUCK:.0f} s: {states}"]
            is_long_enough = now - self._began >= self._plan.seconds
            if feeder.has_ended and is_long_enough and states and verdicts.has_ended(states, len(feeder.recorded)):
                return []
            time.sleep(1)

    def _is_stuck(self, states: dict[str, int], now: float) -> bool:
        ended = sum(states.get(state, 0) for state in verdicts.ENDS)
        if not states or ended != self._last_end[0] or ended == sum(states.values()):
            self._last_end = (ended, now)
        return now - self._last_end[1] > STUCK

    def _keep_logs(self, place: Place) -> None:
        if self._plan.logs is None:
            return
        self._plan.logs.mkdir(parents=True, exist_ok=True)
        for path in [*place.folder.glob("*.log"), *place.root.glob("node-*/worker.log")]:
            shutil.copy(path, self._plan.logs / f"{path.parent.name}-{path.name}")


def _asked(question: Callable[[], dict[str, int]]) -> dict[str, int]:
    try:
        return question()
    except sqlalchemy.exc.OperationalError:
        return {}  # PostgreSQL is down


def _programs(place: Place) -> dict[str, Callable[[], int]]:
    """How to find the long-lived programs at any time."""

    def pid(program: Program | None) -> int:
        return program.pid if program is not None and program.process.returncode is None else 0

    return {
        "api": lambda: pid(place.http),
        "monitor": lambda: pid(place.monitors[0] if place.monitors else None),
        "gearmand": lambda: pid(place.queue_server.program),
        **{f"worker {at + 1}": lambda node=node: pid(node.worker) for at, node in enumerate(place.nodes)},
    }


def _machine_seconds() -> float:
    """CPU seconds of the whole machine that were spent at usual priority, by everybody."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()
    user, _nice, system = map(int, words[1:4])
    return (user + system) / os.sysconf("SC_CLK_TCK")
