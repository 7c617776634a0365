"""So many threads of all processes work at the same time, and a killed process gives its turn back."""

from __future__ import annotations

import signal
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
        assert len(list(tmp_path.iterdir())) == 1
