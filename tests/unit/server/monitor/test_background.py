"""Work beside the monitor's watch is done once for each wish at least, and never twice at a time."""

from __future__ import annotations

import threading

from refstack_worker.server.monitor.background import BackgroundWork


def test_what_is_wanted_while_it_is_done_is_done_once_more() -> None:
    began, go_on, done = threading.Semaphore(0), threading.Semaphore(0), []

    def work() -> None:
        began.release()
        go_on.acquire(timeout=30)
        done.append(threading.current_thread().name)

    background = BackgroundWork("some work", work)
    background.want()
    assert began.acquire(timeout=30) and not background.wait(0.0)
    for _ in range(3):
        background.want()
    go_on.release()
    assert began.acquire(timeout=30), "what is new since it began may have been passed"
    go_on.release()
    assert background.wait(30) and done == ["some work"] * 2
    assert not began.acquire(timeout=0.2)


def test_it_can_be_wanted_again_after_its_end() -> None:
    done: list[int] = []
    background = BackgroundWork("some work", lambda: done.append(1))
    for count in (1, 2, 3):
        background.want()
        assert background.wait(30) and len(done) == count
