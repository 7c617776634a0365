"""An operator reads in the journal that gearmand went and came back, also while no run waits."""

from __future__ import annotations

import logging

import pytest

from refstack_worker.server.monitor.monitor import Monitor, Pace
from tests.support.monitors import Site
from tests.support.processes import eventually


def test_a_queue_that_goes_and_comes_back_is_logged_once_each(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    monitor = Monitor(site.ledger, site.client, Pace(queue=3600, watch=0))
    with caplog.at_level(logging.WARNING):
        monitor.look()
        assert caplog.text == "", "it responds"
        address = f"gearman server 127.0.0.1:{site.server.port}"
        site.server.shutdown()
        for _ in range(3):
            monitor.look()
        assert caplog.text.count(f"{address} does not respond: ") == 1
        site.restart_queue()

        def is_back() -> bool:
            monitor.look()
            return f"{address} responds again" in caplog.text

        eventually("it is back", is_back)
        monitor.look()
    assert caplog.text.count("does not respond") == caplog.text.count("responds again") == 1


def test_it_is_asked_now_and_then(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter([{}])  # asked a second time it would fail
    monkeypatch.setattr(site.client, "servers", lambda: next(asked))
    monitor = Monitor(site.ledger, site.client, Pace(queue=3600, watch=3600))
    for _ in range(3):
        assert monitor.look() == ""
    assert list(asked) == []
