"""Faults, one after the other, for as long as there are runs."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.system.faults.faults import FAULTS, Fault, set_clocks_right
from tests.system.faults.node import Node
from tests.system.faults.place import SILENCE, Place

PERIOD = 20.0
"""Seconds from one fault to the next."""
LEFT_OUT = ("gearmand-kill-builtin",)
"""The queue is libsqlite3 all the time: the built-in one would lose a backlog at each restart."""

NAMES = tuple(fault.name for fault in FAULTS if fault.name not in LEFT_OUT)


class Weather(threading.Thread):
    """Every kind of fault in turn, in an order and on nodes that a seed determines; each is over before the next."""

    def __init__(self, place: Place, seed: int, only: Sequence[str] = ()) -> None:
        """Plan it.

        :param only: names of the faults that may happen; all of them if empty.
        """
        super().__init__(name="weather", daemon=True)
        self._place = place
        self._only = only
        self._random = random.Random(seed)
        self._is_to_stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.now = ""
        """The fault that is on."""
        self.problem = ""

    def stop(self) -> None:
        """Let the fault that is on come to its end, and have no further one."""
        self._is_to_stop.set()
        self.join()

    def run(self) -> None:
        try:
            for fault in self._faults():
                began = time.monotonic()
                self._one(fault, self._random.choice(self._place.nodes))
                if self._is_to_stop.wait(max(0.0, began + PERIOD - time.monotonic())):
                    return
        except Exception as error:  # what was broken did not come back
            self.problem = f"{self.now}: was not over: {type(error).__name__}: {error}"[:3000]

    def _faults(self) -> Iterator[Fault]:
        kinds = [fault for fault in FAULTS if fault.name in (self._only or NAMES)]
        while True:
            yield from self._random.sample(kinds, len(kinds))

    def _one(self, fault: Fault, node: Node) -> None:
        number = self._place.nodes.index(node) + 1
        self.now = f"{fault.name} (node {number})"
        began = time.monotonic()
        with fault.happens(self._place, node):
            time.sleep(min(fault.seconds, SILENCE))
        set_clocks_right(self._place)
        self.counts[fault.name] += 1
        print(f"   {self.now}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        self.now = ""
