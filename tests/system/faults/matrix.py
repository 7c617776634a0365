"""Carries out cells in several installations side by side."""

from __future__ import annotations

import contextlib
import queue
import shutil
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from tests.integration.conftest import Cloud, make_locks
from tests.system.faults.cells import Outcome, carry_out
from tests.system.faults.faults import Fault
from tests.system.faults.place import Place
from tests.system.faults.steps import Step

Cell = tuple[Fault, Step]


class Matrix:
    """Cells that wait, and the lanes that take them: each lane has a cloud and an installation of its own."""

    def __init__(self, cells: list[Cell], lanes: int, logs: Path | None) -> None:
        self._cells = cells
        self._lanes = min(lanes, len(cells))
        self._logs = logs
        self._todo: queue.SimpleQueue[Cell] = queue.SimpleQueue()
        self._done: list[Outcome] = []

    def carry_out(self) -> list[Outcome]:
        """Do all, and return what came of each in the order of the cells."""
        make_locks()
        for cell in self._cells:
            self._todo.put(cell)
        with ThreadPoolExecutor(self._lanes) as pool:
            lanes: list[Future[None]] = []
            try:
                lanes += [pool.submit(self._lane, number) for number in range(self._lanes)]
                # not Thread.join: interrupted, Python 3.11 takes a thread that goes on for one that has ended
                wait(lanes)
            except KeyboardInterrupt:
                # each lane ends what it has begun and puts everything away
                self._drop()
                wait(lanes)
                raise
        for lane in lanes:
            lane.result()
        self._once_more()
        order = {(fault.name, step.name): number for number, (fault, step) in enumerate(self._cells)}
        return sorted(self._done, key=lambda outcome: order[outcome.fault, outcome.step])

    def _once_more(self) -> None:
        """Do alone, a second time, what was not right: this machine was busy. The page says which that were."""
        again = {(one.fault, one.step): one for one in self._done if one.wrong}
        for cell in self._cells:
            if (cell[0].name, cell[1].name) in again:
                self._todo.put(cell)
        if again:
            self._lane(0)
        first = {id(one) for one in again.values()}
        self._done = [one for one in self._done if id(one) not in first]
        for one in self._done:
            if (one.fault, one.step) in again:
                one.first_try = "; ".join(again[one.fault, one.step].wrong)

    def _drop(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._todo.get_nowait()

    def _lane(self, number: int) -> None:
        folder = Path(tempfile.mkdtemp(prefix="refstack-faults-cloud-"))
        try:
            with Cloud(folder / "cloud") as cloud:
                while not self._todo.empty():
                    self._with_place(number, cloud)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _with_place(self, number: int, cloud: Cloud) -> None:
        """Do cells in one installation, until one is not right: who knows what state it is in then."""
        place = Place(number, cloud)
        try:
            place.start()
            place.start_node(place.node)
            while True:
                try:
                    fault, step = self._todo.get_nowait()
                except queue.Empty:
                    return
                outcome = carry_out(place, fault, step)
                self._note(place, outcome)
                if outcome.wrong:
                    return
        finally:
            place.end()

    def _note(self, place: Place, outcome: Outcome) -> None:
        self._done.append(outcome)
        said = "right" if not outcome.wrong else "WRONG: " + "; ".join(outcome.wrong)[:1500]
        attempts = ", ".join(outcome.attempts)
        print(
            f"{len(self._done)}/{len(self._cells)} {outcome.fault} {outcome.step}: {outcome.state} ({attempts}) "
            f"{outcome.seconds:.0f} s: {said}",
            file=sys.stderr,
            flush=True,
        )
        if outcome.wrong and self._logs:
            self._logs.mkdir(parents=True, exist_ok=True)
            (self._logs / f"{outcome.fault}-{outcome.step}.log").write_text(place.logs())
