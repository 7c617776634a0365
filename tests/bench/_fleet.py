"""Simulated nodes for ``tests/bench/scale.py``: many workers in one process, all of them the worker's own parts.

A node here is the worker's slot, its connection to gearmand, its job with claim, heartbeats, reports and notes on disk,
and its voice; three things are missing: the environment is not made, the program that would run Tempest is a wait in a
thread, and one thread looks after all the slots. What that program asks and posts goes through ``execute_test``'s own
calls, from a folder that it was given as the real one is.

``python _fleet.py`` with the order (JSON) as the first line of stdin; further lines ``"connected"`` and ``"look"`` are
each answered with a line of JSON; the end of stdin ends the nodes.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from refstack_worker.config import worker as config
from refstack_worker.contract import gearman_functions, keys
from refstack_worker.contract.envelope import NodeChannel, Opener
from refstack_worker.contract.execute_test import ExitCode
from refstack_worker.environments.catalogue import Offer, Want
from refstack_worker.environments.environment import BuiltEnvironment
from refstack_worker.execute_test.arguments import Arguments, parse_arguments
from refstack_worker.execute_test.failures import Failure
from refstack_worker.execute_test.refstack_server import RefstackServer
from refstack_worker.worker.admission.admission import Admission
from refstack_worker.worker.attempt.attempt import AttemptExecution, NodeServices, OfferOrError
from refstack_worker.worker.attempt.claimed import ClaimRecords
from refstack_worker.worker.attempt.outcome import AttemptOutcome
from refstack_worker.worker.queue import slot
from refstack_worker.worker.sandbox.runner import Command, ProcessExit, ProcessListener
from refstack_worker.worker.server_api import connection
from refstack_worker.worker.server_api.node_status import NodeStatus, NodeStatusReporter
from refstack_worker.worker.spool.sender import SenderTools, SpoolSender
from refstack_worker.worker.spool.spool import Spool
from tests.support.ledgers import Event, stream

TESTS = 10
"""In the result of a run."""
COUNTS = {"total": TESTS, "done": TESTS, "passed": TESTS, "failed": 0, "skipped": 0, "seconds_left": 1.0, "test": "t"}


class Tally:
    """What happened in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}

    def add(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def time(self, what: str, seconds: float) -> None:
        with self._lock:
            self.times.setdefault(what, []).append(seconds)


TALLY = Tally()


class Executor:
    """In the place of a run's processes: waits as long as the tests would take, and posts a result."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._stopped = threading.Event()

    def run(self, command: Command, listener: ProcessListener, after_stop: bool = False) -> ProcessExit:
        """Do what ``execute_test`` does with the server when it is called so."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, data in command.files.items():
            (self._folder / name).write_bytes(data)
        settings = parse_arguments([word.replace("{run}", str(self._folder)) for word in command.argv[1:]])
        try:
            if settings.cleanup_only:
                TALLY.add("clean-ups")
                return ProcessExit(ExitCode.PASSED)
            server = RefstackServer(settings)
            if settings.post_only is None and not self._tests(server, settings, listener):
                return ProcessExit(ExitCode.STOPPED, "stopped")
            listener.event({"event": "state", "state": "posting"})
            server.post(settings.workdir)
        except Failure as failure:
            TALLY.add(f"execute_test: {failure.reason}")
            listener.event({"event": "end", "reason": failure.reason, "message": str(failure)})
            return ProcessExit(failure.exit_code)
        TALLY.add("results posted")
        listener.event({"event": "end", "exit_code": 0, "reason": "passed", "message": ""})
        return ProcessExit(ExitCode.PASSED)

    def _tests(self, server: RefstackServer, settings: Arguments, listener: ProcessListener) -> bool:
        """Ask what a run asks, wait, and leave a result; return whether it was not stopped meanwhile."""
        server.miniconf()
        if settings.testcases is None:
            server.testcases()
        TALLY.add("executions")
        listener.event({"event": "state", "state": "running"})
        listener.event({"event": "progress", **COUNTS, "done": 1})
        if self._stopped.wait(self._seconds):
            return False
        listener.event({"event": "progress", **COUNTS})
        settings.workdir.mkdir(parents=True)
        name = f"tempest.api.scale.test_{settings.test_id}_{settings.attempt}"
        (settings.workdir / "subunit").write_bytes(_most_of_it() + stream([Event(name)]))
        summary = {"test_id": settings.test_id, "attempt": settings.attempt, "exit_code": 0, "reason": "passed"}
        (settings.workdir / "summary.json").write_text(json.dumps(summary))
        return True

    def stop(self) -> None:
        self._stopped.set()


def _most_of_it(kept: dict[int, bytes] = {}) -> bytes:  # noqa: B006 - made once
    if not kept:
        kept[0] = stream([Event(f"tempest.api.scale.test_{number}") for number in range(TESTS - 1)])
    return kept[0]


class Executors:
    """In the place of a runner."""

    name = "simulated"

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds

    @contextmanager
    def open(self, run_id: str) -> Any:
        folder = self._folder / run_id
        try:
            # scattered, so that the fleet does not act as one
            yield Executor(folder, self._seconds * random.uniform(0.7, 1.3))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class AnyVersion:
    """In the place of a catalogue."""

    def find(self, want: Want) -> Offer:
        return Offer(want.version)


class NoEnvironment:
    """In the place of an environment."""

    def __init__(self, built: BuiltEnvironment) -> None:
        self._built = built

    def __enter__(self) -> BuiltEnvironment:
        return self._built

    def remove(self) -> None:
        pass


class SimulatedAttempt(AttemptExecution):
    """A job without an environment."""

    def _environment(self, folder: Path, offer: OfferOrError) -> Any:
        assert isinstance(offer, Offer)
        return NoEnvironment(BuiltEnvironment(folder, offer.version, TESTS))


class Node:
    """One node of one slot."""

    def __init__(
        self, settings: config.WorkerSettings, opener: Opener, order: Mapping[str, Any], versions: Any
    ) -> None:
        self.settings = settings
        self.versions = versions
        state = settings.node.state_folder
        self.services = NodeServices(
            settings, opener, Executors(state / "runs", order["run_seconds"]), AnyVersion(),  # type: ignore[arg-type]
            ClaimRecords(settings.claims_folder), Spool(settings.spool_folder, settings.spool), ("execute_test",),
        )  # fmt: skip
        self.services.claims.prepare()
        self.services.spool.prepare()
        self.admission = Admission()
        self.slot = slot.Slot(0, self.services, self.admission, self._ended)
        channel = NodeChannel.of_node(opener.private, opener.servers)
        tools = SenderTools(settings, opener, self.services.runner, self.services.program)
        self.sender = SpoolSender(self.services.spool, tools)
        self.reporter = NodeStatusReporter(settings, [channel], self._status, lambda _: None)

    def start(self) -> None:
        self.slot.connect(
            self.settings.gearman.addresses, [gearman_functions.for_version(name) for name in self.versions]
        )
        self.slot.start()
        self.sender.start()
        self.reporter.start()

    def left(self) -> int:
        """Return what of its runs lies on its disk."""
        state = self.settings.node.state_folder
        return len(self.services.spool.entries()) + sum(1 for _ in (*state.glob("held/*"), *state.glob("runs/*")))

    def _ended(self, outcome: AttemptOutcome, _seconds: float) -> None:
        TALLY.add(f"{outcome.kind.value} {outcome.reason}".strip())
        self.sender.nudge()
        self.reporter.nudge()

    def _status(self) -> NodeStatus:
        return NodeStatus(tuple(self.versions), 1, int(self.slot.busy), (), "ready", "simulated")


class Warnings(logging.Handler):
    """Counts what is logged, numbers left out."""

    def emit(self, record: logging.LogRecord) -> None:
        message = re.sub(r"0x[0-9a-f]+", "N", record.getMessage())
        TALLY.add("log: " + re.sub(r"[0-9][0-9.]*", "N", message)[:160])


def main() -> None:
    order = json.loads(sys.stdin.readline())
    logging.basicConfig(level=logging.WARNING, handlers=[Warnings()])
    logging.getLogger("execute_test").propagate = True
    # nodes are machines of their own: what they compute must not be taken from the server, nor from one another
    os.nice(10)
    sys.setswitchinterval(0.05)
    threading.stack_size(512 * 1024)
    slot.AttemptExecution = SimulatedAttempt  # type: ignore[attr-defined]
    _time_the_calls()
    nodes = _nodes(order)
    for node in nodes:
        node.start()
        time.sleep(order["pause"])
    threading.Thread(target=_look_after, args=(nodes,), daemon=True).start()
    print(json.dumps({"ready": len(nodes)}), flush=True)
    for line in sys.stdin:
        told = _told(nodes) if json.loads(line) == "look" else {"connected": _connected(nodes)}
        print(json.dumps(told), flush=True)
    for node in nodes:
        node.admission.stop()


def _nodes(order: Mapping[str, Any]) -> list[Node]:
    base = config.load(Path(order["config"]))
    opener = Opener(keys.load_seal_private(base.keys.fleet_private), keys.load_sign_public(base.keys.server_public))
    made = []
    for number in range(order["first"], order["first"] + order["count"]):
        name = f"node-{number:04}"
        own = replace(base.node, name=name, state_folder=Path(order["folder"]) / name)
        run = replace(base.run, environments=own.state_folder / "environments")
        versions = [order["versions"][(number + k) % len(order["versions"])] for k in range(order["versions_a_node"])]
        made.append(Node(replace(base, node=own, run=run), opener, order, sorted(versions)))
    return made


def _look_after(nodes: list[Node]) -> None:
    while True:
        time.sleep(3.0)  # as often as the daemon does
        for node in nodes:
            node.slot.tick()


def _told(nodes: list[Node]) -> dict[str, Any]:
    return {
        "connected": _connected(nodes),
        "busy": sum(node.slot.busy for node in nodes),
        "left": sum(node.left() for node in nodes),
        "counts": dict(TALLY.counts),
        "times": {what: _percentiles(sorted(times)) for what, times in TALLY.times.items()},
    }


def _connected(nodes: list[Node]) -> int:
    return sum(bool(node.slot.queue is not None and node.slot.queue.connected()) for node in nodes)


def _percentiles(times: list[float]) -> dict[str, float]:
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    found = {name: round(times[min(len(times) - 1, int(len(times) * part))] * 1000, 1) for name, part in at.items()}
    return {"calls": len(times), **found}


def _time_the_calls() -> None:
    """Take the time of each call that a worker makes, whatever becomes of it."""
    post: Callable[..., Any] = connection.ServerConnection.post

    def timed(self: connection.ServerConnection, path: str, *rest: Any, **more: Any) -> Any:
        what = "node" if "/nodes/" in path else path.strip("/").rpartition("/")[2]
        began = time.perf_counter()
        try:
            return post(self, path, *rest, **more)
        finally:
            TALLY.time(what, time.perf_counter() - began)

    connection.ServerConnection.post = timed  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
