from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from refstack_worker.worker.doctor import selftest
from refstack_worker.worker.doctor.selftest import SelfTestOutcome


def outcome(state: str) -> SelfTestOutcome:
    return SelfTestOutcome("47.0.0", state, "5 passed", 5, 0, "embedded", 0.1, 3.5)


@pytest.mark.parametrize(("state", "is_good"), [("finished", True), ("tests-failed", False), ("released", False)])
def test_the_exit_status_tells_whether_it_passed(
    worker: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    state: str,
    is_good: bool,
) -> None:
    monkeypatch.setattr(selftest, "run", lambda settings, version: outcome(state))
    assert (worker("selftest", "47.0.0", "-f", "json") == 0) is is_good
    assert json.loads(capsys.readouterr().out)["state"] == state


def test_root_must_not_leave_files_in_the_store(
    worker: Callable[..., int], config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config.write_text(config.read_text().replace('runner = "embedded"', 'runner = "auto"'))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert worker("selftest", "47.0.0") == 2
    assert "runuser -u refstack-worker -- refstack-worker selftest 47.0.0" in caplog.text
