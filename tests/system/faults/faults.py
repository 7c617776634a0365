"""The faults: each is injected while a run is held at a step, lasts, and is over."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import TOP, eventually
from tests.system.faults.gates import GARBAGE
from tests.system.faults.node import Node, fill, wait_ended
from tests.system.faults.place import OUTAGE, SILENCE, Place

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
HOUR = 3600
SET_CLOCK = """
import time
kept, file = time.time, "{file}"
def now():
    with open(file) as offset:
        return kept() + float(offset.read() or 0)
time.time = now
"""
RESTART = 2.0
"""Seconds until something that was killed is started again, as systemd would."""


Happens = Callable[[Place, Node], AbstractContextManager[None]]
"""What happens to an installation; or to one node of it."""


@dataclass(frozen=True)
class Fault:
    """What happens."""

    name: str
    what: str
    """For the table."""
    happens: Happens
    """Entered: the fault is injected; left: it is over."""
    seconds: float = SILENCE
    """How long it lasts."""
    queue: str = "libsqlite3"
    is_prepared: Happens = field(default=lambda *_: contextlib.nullcontext())
    """What the services need before the run is recorded."""


@contextlib.contextmanager
def _worker_killed(place: Place, node: Node) -> Iterator[None]:
    assert node.worker is not None
    before = node.pids()
    node.worker.kill()
    # what it ran sees that it is gone, and ends although the cloud and the server hold it; a site's hook sees nothing
    wait_ended({pid for pid in before if not _is_hook(pid)})
    yield
    place.start_node(node)
    wait_ended(before)


@contextlib.contextmanager
def _worker_frozen(place: Place, node: Node) -> Iterator[None]:
    assert node.worker is not None
    os.kill(node.worker.pid, signal.SIGSTOP)
    yield
    os.kill(node.worker.pid, signal.SIGCONT)


@contextlib.contextmanager
def _node_off(place: Place, node: Node) -> Iterator[None]:
    node.power_off()
    yield
    node.hold.unlink(missing_ok=True)
    node.power_on()
    place.start_node(node)


@contextlib.contextmanager
def _queue_killed(place: Place, node: Node) -> Iterator[None]:
    place.queue_server.program.kill()
    yield
    place.queue_server.start()


@contextlib.contextmanager
def _queue_frozen(place: Place, node: Node) -> Iterator[None]:
    os.kill(place.queue_server.program.pid, signal.SIGSTOP)
    yield
    os.kill(place.queue_server.program.pid, signal.SIGCONT)


@contextlib.contextmanager
def _black_hole(place: Place, node: Node) -> Iterator[None]:
    node.black_hole(True)
    yield
    node.black_hole(False)


@contextlib.contextmanager
def _api_down(place: Place, node: Node) -> Iterator[None]:
    assert place.http is not None
    place.http.kill()
    yield
    place.start_api()


def _answered_instead(status: int, body: bytes) -> Happens:
    @contextlib.contextmanager
    def happens(place: Place, node: Node) -> Iterator[None]:
        place.gate.instead = (status, body)
        yield
        place.gate.instead = None

    return happens


@contextlib.contextmanager
def _database_down(place: Place, node: Node) -> Iterator[None]:
    place.cluster.crash()
    yield
    place.cluster.start()


@contextlib.contextmanager
def _monitor_killed(place: Place, node: Node) -> Iterator[None]:
    for monitor in place.monitors:
        monitor.kill()
    place.monitors = []
    yield
    place.start_monitor()


@contextlib.contextmanager
def _two_monitors(place: Place, node: Node) -> Iterator[None]:
    """Both find at the same time that the node is gone."""
    place.start_monitor()
    second = place.monitors[-1]
    eventually("the second monitor watches", lambda: "watching" in second.text())
    with _node_off(place, node):
        yield
    place.monitors.remove(second)
    second.end()


@contextlib.contextmanager
def _server_off(place: Place, node: Node) -> Iterator[None]:
    place.kill_services()
    place.queue_server.program.kill()
    place.cluster.crash()
    yield
    place.cluster.start()
    place.queue_server.start()
    place.start_services()


def _disk_full(which: Callable[[Place, Node], Path]) -> Happens:
    @contextlib.contextmanager
    def happens(place: Place, node: Node) -> Iterator[None]:
        ballast = fill(which(place, node))
        place.release()  # the run goes on into the full disk
        yield
        ballast.unlink()

    return happens


@contextlib.contextmanager
def _queue_disk_full(place: Place, node: Node) -> Iterator[None]:
    with _disk_full(lambda place, _: place.queue_disk)(place, node):
        yield
    # once its disk was full gearmand refuses every job with QUEUE_ERROR, until it is started again
    place.queue_server.program.kill()
    place.queue_server.start()


def _jump(which: Callable[[Place, Node], Path], hours: int) -> Happens:
    @contextlib.contextmanager
    def happens(place: Place, node: Node) -> Iterator[None]:
        which(place, node).write_text(f"{hours * HOUR:+d}")
        yield

    return happens


def set_clocks_right(place: Place) -> None:
    """End what a jump began, for services and workers that go on: the clocks jump back."""
    for clock in (_server_time(place), *(_node_time(place, node) for node in place.nodes)):
        if clock.exists():
            clock.write_text("+0")


def _server_time(place: Place, _: object = None) -> Path:
    """The file by which the services' clock is wrong, in seconds."""
    return place.root / "clock"


def _node_time(place: Place, node: Node) -> Path:
    return place.root / f"clock-{node.name}"


def _preload(place: Place) -> dict[str, str]:
    assert FAKETIME.exists(), "libfaketime is not installed: apt-get install libfaketime"
    _server_time(place).write_text("+0")
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(_server_time(place)),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@contextlib.contextmanager
def _server_clock(place: Place, node: Node) -> Iterator[None]:
    place.kill_services()
    place.preload = _preload(place)
    place.start_services()
    yield
    place.kill_services()
    place.preload = {}
    place.start_services()


@contextlib.contextmanager
def _worker_clock(place: Place, node: Node) -> Iterator[None]:
    """With libfaketime 0.9.10 Python's time.sleep fails, so the worker's wall clock is set in its Python."""
    assert node.worker is not None
    node.environment = _python_clock(_node_time(place, node))
    node.worker.end()
    place.start_node(node)
    yield
    node.environment = {}
    node.worker.end()
    place.start_node(node)


def make_clocks_movable(place: Place) -> None:
    """Let the clocks of services and workers jump at any time from their next start on, without another start.

    The services' too are set in their Python: with libfaketime their waits return at once, and cost a third of a core.
    """
    place.preload = _python_clock(_server_time(place))
    for node in place.nodes:
        node.environment = _python_clock(_node_time(place, node))


def _python_clock(clock: Path) -> dict[str, str]:
    """Return the environment of a Python whose wall clock is wrong by what stands in a file."""
    clock.write_text("+0")
    folder = clock.with_name(f"{clock.name}-python")
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SET_CLOCK.format(file=clock))
    return {"PYTHONPATH": f"{folder}:{TOP}"}


def _is_hook(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"10-slow" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


FAULTS = (
    Fault("worker-kill", "the worker is killed (`kill -9`) and started again", _worker_killed, RESTART),
    Fault(
        "worker-stop",
        "the worker is stopped (SIGSTOP) for longer than the heartbeat limit, then continued",
        _worker_frozen,
    ),
    Fault(
        "power-off",
        "the node loses power: network and processes end at once, the disk stays; it is started again",
        _node_off,
    ),
    Fault("gearmand-kill", "gearmand with libsqlite3 is killed (`kill -9`) and started again", _queue_killed, RESTART),
    Fault(
        "gearmand-kill-builtin",
        "the same with the built-in queue, which loses its jobs",
        _queue_killed,
        RESTART,
        "builtin",
    ),
    Fault(
        "gearmand-stop",
        "gearmand is stopped (SIGSTOP) for longer than the heartbeat limit, then continued",
        _queue_frozen,
    ),
    Fault(
        "black-hole",
        "packets between node and server are dropped in both directions for longer than the limit",
        _black_hole,
    ),
    Fault("api-down", 'the API is killed (`kill -9`) and started again after "ten minutes"', _api_down, OUTAGE),
    Fault("api-500", "the API answers every call with 500 for longer than the limit", _answered_instead(500, b"oops")),
    Fault("api-garbage", "the API answers every call with 200 and garbage", _answered_instead(200, GARBAGE)),
    Fault("postgresql-down", "PostgreSQL crashes and is down for longer than the limit", _database_down),
    Fault(
        "monitor-kill",
        "the monitor is killed (`kill -9`) and started again after longer than the limit",
        _monitor_killed,
    ),
    Fault("two-monitors", "two monitors notice at the same time that the node lost power", _two_monitors),
    Fault(
        "server-off", "API, monitor, gearmand and PostgreSQL are killed at once and started again later", _server_off
    ),
    Fault("disk-full-worker", "the node's disk is full for a while", _disk_full(lambda _, node: node.folder)),
    Fault("disk-full-server", "the disk for uploads is full for a while", _disk_full(lambda place, _: place.disk)),
    Fault(
        "disk-full-queue",
        "the disk of gearmand's libsqlite3 is full for a while; then gearmand is started again",
        _queue_disk_full,
    ),
    Fault(
        "clock-ahead-server",
        "the server's clock jumps an hour ahead",
        _jump(_server_time, 1),
        is_prepared=_server_clock,
    ),
    Fault(
        "clock-back-server", "the server's clock jumps an hour back", _jump(_server_time, -1), is_prepared=_server_clock
    ),
    Fault(
        "clock-ahead-worker", "the worker's clock jumps an hour ahead", _jump(_node_time, 1), is_prepared=_worker_clock
    ),
    Fault(
        "clock-back-worker", "the worker's clock jumps an hour back", _jump(_node_time, -1), is_prepared=_worker_clock
    ),
)
