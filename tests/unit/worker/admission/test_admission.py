from __future__ import annotations

import threading
from pathlib import Path

import pytest

from refstack_worker.errors import ConfigError
from refstack_worker.worker.admission.admission import Admission, NodeState


def test_pause_resume_and_drain() -> None:
    admission = Admission()
    changes: list[NodeState] = []
    admission.on_change(lambda: changes.append(admission.state))
    assert admission.is_open and not admission.is_ending
    admission.pause()
    assert not admission.is_open and not admission.is_ending
    admission.resume()
    assert admission.is_open
    admission.drain()
    admission.resume()
    admission.pause()
    assert admission.state is NodeState.DRAINING and admission.is_ending and not admission.is_open
    assert changes == [NodeState.PAUSED, NodeState.READY, NodeState.DRAINING]


def test_a_problem_closes_it_and_shows_as_paused() -> None:
    admission = Admission()
    admission.set_problem("disk full")
    assert not admission.is_open
    assert admission.reported_state is NodeState.PAUSED and admission.state is NodeState.READY
    admission.set_problem("")
    assert admission.is_open and admission.reported_state is NodeState.READY


def test_a_stopping_node_is_reported_as_draining() -> None:
    admission = Admission()
    admission.set_problem("disk full")
    admission.stop()
    assert admission.reported_state is NodeState.DRAINING


def test_a_waiting_slot_is_woken() -> None:
    admission = Admission()
    admission.pause()
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(admission.wait_open(30)))
    thread.start()
    admission.resume()
    thread.join(10)
    assert seen == [True]
    admission.stop()
    assert admission.wait_open(30) is False


@pytest.mark.parametrize("wake", [Admission.end_rests, Admission.stop, Admission.drain])
def test_a_resting_slot_is_woken_when_there_is_a_reason(wake: object) -> None:
    admission = Admission()
    resting = threading.Event()
    original = admission._changed.wait_for

    def wait_for(*args: object) -> bool:
        resting.set()
        return original(*args)  # type: ignore[arg-type]

    admission._changed.wait_for = wait_for  # type: ignore[method-assign, assignment]
    thread = threading.Thread(target=admission.rest, args=(600.0,))
    thread.start()
    assert resting.wait(10)
    wake(admission)  # type: ignore[operator]
    thread.join(10)
    assert not thread.is_alive()


def test_a_pause_survives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "paused"
    Admission(file).pause()
    again = Admission(file)
    assert again.state is NodeState.PAUSED and not again.is_open
    again.resume()
    assert Admission(file).is_open


def test_a_drain_is_over_with_the_process(tmp_path: Path) -> None:
    admission = Admission(tmp_path / "paused")
    admission.drain()
    admission.pause()
    assert Admission(tmp_path / "paused").is_open


def test_a_pause_that_cannot_be_kept_says_so_and_pauses_all_the_same(tmp_path: Path) -> None:
    admission = Admission(tmp_path / "absent" / "paused")
    with pytest.raises(ConfigError, match="will not survive a restart"):
        admission.pause()
    assert not admission.is_open
