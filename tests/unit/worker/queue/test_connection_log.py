from __future__ import annotations

import pytest

from refstack_worker.worker.queue.connection_log import ConnectionLog


def test_a_server_that_goes_and_comes_back_is_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="refstack_worker")
    log = ConnectionLog(["a:4730", "b:4730"])
    for connected in (["a:4730", "b:4730"], ["b:4730"], ["b:4730"], ["a:4730", "b:4730"], ["a:4730", "b:4730"]):
        log.look(connected)
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "WARNING", "INFO"]
    assert caplog.messages[2] == "gearman server a:4730: not connected; this node gets no runs from it"
    assert caplog.messages[3] == "gearman server a:4730: connected"


def test_a_server_that_never_came_is_logged_at_the_second_look(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="refstack_worker")
    log = ConnectionLog(["a:4730"])
    log.look([])
    assert caplog.messages == []
    for _ in range(3):
        log.look([])
    assert len(caplog.messages) == 1 and "not connected" in caplog.messages[0]
