"""Two gearmands in ``GEARMAN_SERVER``, of which the first goes away: what docs/scale.md says of several."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from refstack_worker.gearman import Address
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.monitor.monitor import Monitor, Pace
from refstack_worker.server.queue.client import QueueClient
from refstack_worker.worker.queue.gearman_worker import SlotQueue
from tests.support.ledgers import make_settings, new_run
from tests.support.processes import Gearmand, eventually

FUNCTION = "refstack:tempest:47.0.0"


@pytest.fixture
def gearmands(tmp_path: Path) -> Iterator[list[Gearmand]]:
    started = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        started.append(Gearmand(tmp_path / name))
    yield started
    for one in started:
        one.end()


@pytest.fixture
def slot(gearmands: list[Gearmand]) -> Iterator[SlotQueue]:
    """A worker's slot that is connected to both."""
    queue = SlotQueue("node-1:0", [FUNCTION], lambda: True)
    queue.connect([Address("127.0.0.1", one.port) for one in gearmands])
    eventually("the slot is connected to both", lambda: len(queue.connected()) == 2)
    yield queue
    queue.shutdown()


class Side:
    """The server's side, with these gearmands configured."""

    def __init__(self, folder: Path, gearmands: list[Gearmand]) -> None:
        names = [f"127.0.0.1:{one.port}" for one in gearmands]
        settings = make_settings(folder, GEARMAN_SERVER=names)
        self.ledger = Ledger(settings)
        self.ledger.upgrade()
        self.client = QueueClient(settings, timeout=2)
        self.monitor = Monitor(self.ledger, self.client, Pace(queue=0.0, grace=0.0))

    def record(self) -> int:
        return self.ledger.runs.add(new_run()).test_id

    def where(self, test_id: int) -> tuple[int, str]:
        """Return a run's attempt and the gearmand that has it."""
        attempt = self.ledger.attempts.of_run(test_id)[-1]
        return attempt.key.attempt, attempt.server

    def close(self) -> None:
        self.client.close()
        self.ledger.close()


@pytest.fixture
def side(tmp_path: Path, gearmands: list[Gearmand]) -> Iterator[Side]:
    made = Side(tmp_path, gearmands)
    yield made
    made.close()


def take(slot: SlotQueue) -> str:
    """Return the unique of the next job, and say that it is done."""
    got: list[str] = []

    def wait() -> None:
        job = slot.next_job()
        slot.done(job)
        got.append(job.unique.decode())

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(30)
    assert got, "no job came"
    return got[0]


def test_runs_go_to_the_first_and_while_it_is_away_to_the_second(
    gearmands: list[Gearmand], slot: SlotQueue, side: Side
) -> None:
    first, second = (f"127.0.0.1:{one.port}" for one in gearmands)
    before = side.record()
    assert side.monitor.look() == ""
    assert side.where(before) == (1, first)
    gearmands[0].kill()
    after = side.record()
    assert side.monitor.look() == ""
    assert side.where(after) == (1, second)
    assert side.monitor.look() == ""
    assert side.where(before) == (1, first), "who cannot be asked has lost nothing: its disk has the job"
    assert take(slot) == f"{after}:1"
    gearmands[0].start()
    assert take(slot) == f"{before}:1"


def test_what_a_removed_gearmand_had_goes_to_the_other(
    gearmands: list[Gearmand], slot: SlotQueue, side: Side, tmp_path: Path
) -> None:
    run = side.record()
    side.monitor.look()
    gearmands[0].kill()
    left = Side(tmp_path, gearmands[1:])
    try:
        left.monitor.look()
        assert left.where(run) == (2, f"127.0.0.1:{gearmands[1].port}")
        assert take(slot) == f"{run}:2"
    finally:
        left.close()
