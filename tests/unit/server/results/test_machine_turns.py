"""So many threads of all processes work at the same time, and a killed process gives its turn back."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refstack_worker.server.results.machine_turns import MachineTurns, NoTurnError

TOP = Path(__file__).resolve().parents[4]
HOLDER = """
import sys, time
from pathlib import Path
from refstack_worker.server.results.machine_turns import MachineTurns
with MachineTurns("work", 1).turn(Path(sys.argv[1]), 0.0):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("most", [1, 2])
def test_so_many_at_the_same_time_and_no_file_is_left(tmp_path: Path, most: int) -> None:
    # each with locks of its own, as processes have them
    turns = [MachineTurns("work", most) for _ in range(4)]
    lock, now, highest = threading.Lock(), [0], [0]

    def work(number: int) -> None:
        with turns[number % 4].turn(tmp_path, 30.0):
            with lock:
                now[0] += 1
                highest[0] = max(highest[0], now[0])
            time.sleep(0.02)
            with lock:
                now[0] -= 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(24)))
    assert highest[0] == most
    assert list(tmp_path.iterdir()) == []


def test_who_gets_no_turn_is_told_so_and_takes_none(tmp_path: Path) -> None:
    turns = MachineTurns("work", 1)
    with MachineTurns("work", 1).turn(tmp_path, 0.0):
        for _ in range(3):
            with pytest.raises(NoTurnError), turns.turn(tmp_path, 0.01):
                pass
    with turns.turn(tmp_path, 0.0):
        with pytest.raises(NoTurnError), turns.turn(tmp_path, 0.01):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_gives_its_turn_back(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(words, cwd=TOP, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(NoTurnError), MachineTurns("work", 1).turn(tmp_path, 0.1):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with MachineTurns("work", 1).turn(tmp_path, 0.0):
        assert [path.name for path in tmp_path.iterdir()] == ["work-0"]


def test_a_process_with_many_threads_leaves_turns_to_others(tmp_path: Path) -> None:
    busy, other = MachineTurns("work", 2), MachineTurns("work", 2)
    is_over = threading.Event()
    waited: list[float] = []

    def keep_busy() -> None:
        while not is_over.is_set():
            with busy.turn(tmp_path, 30.0):
                time.sleep(0.1)

    with ThreadPoolExecutor(6) as pool:
        for _ in range(6):
            pool.submit(keep_busy)
        try:
            for _ in range(10):
                began = time.monotonic()
                with other.turn(tmp_path, 30.0):
                    waited.append(time.monotonic() - began)
        finally:
            is_over.set()
    # its turn comes after those that hold one now, not after all that wait
    assert sorted(waited)[5] < 1.0


@pytest.mark.skipif(os.geteuid() != 0, reason="a file of root's")
def test_a_file_that_root_left_can_be_opened_by_others(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with MachineTurns("work", 1).turn(tmp_path, 0.0):
            assert stat.S_IMODE((tmp_path / "work-0").stat().st_mode) == 0o644
    finally:
        os.umask(before)
