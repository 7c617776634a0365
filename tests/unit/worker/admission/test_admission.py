from __future__ import annotations

import threading
from pathlib import Path

from refstack_worker.worker.admission import admission
from refstack_worker.worker.admission.admission import Gate, NodeState


def test_pause_resume_and_drain() -> None:
    made = Gate()
    changes: list[NodeState] = []
    made.on_change(lambda: changes.append(made.state))
    assert made.is_open and not made.is_ending
    made.pause()
    assert not made.is_open and not made.is_ending
    made.resume()
    assert made.is_open
    made.drain()
    made.resume()
    made.pause()
    assert made.state is NodeState.DRAINING and made.is_ending and not made.is_open
    assert changes == [NodeState.PAUSED, NodeState.READY, NodeState.DRAINING]


def test_a_shortage_closes_it_and_shows_as_paused() -> None:
    made = Gate()
    made.note_shortage("no room")
    assert not made.is_open and made.told_state is NodeState.PAUSED and made.state is NodeState.READY
    made.note_shortage("")
    assert made.is_open and made.told_state is NodeState.READY


def test_who_waits_is_woken() -> None:
    made = Gate()
    made.pause()
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(made.wait_open(30)))
    thread.start()
    made.resume()
    thread.join(10)
    assert seen == [True]
    made.stop()
    assert made.wait_open(30) is False and made.wait_ending(30) is True


def test_a_disk_below_the_limit_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "made" / "yet"
    assert admission.shortage([folder], 0) == ""
    assert admission.free_mb(folder) == admission.free_mb(tmp_path)
    said = admission.shortage([folder, tmp_path], 10**9)
    assert said.startswith(f"{folder}: ") and said.endswith("limits.min_free_mb is 1000000000; make room")
