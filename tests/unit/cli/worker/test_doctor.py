from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from refstack_worker.worker.doctor import checks
from refstack_worker.worker.doctor.finding import BAD, GOOD, WARNING, Finding


@pytest.mark.parametrize(("worst", "status"), [(GOOD, 0), (WARNING, 0), (BAD, 1)])
def test_the_exit_status_tells_whether_something_is_bad(
    worker: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    worst: str,
    status: int,
) -> None:
    findings = [Finding("keys", GOOD, "there"), Finding("disk", worst, "3 MiB", "free up space")]
    monkeypatch.setattr(checks, "examine", lambda settings: findings)
    assert worker("doctor", "-f", "json") == status
    rows = json.loads(capsys.readouterr().out)
    assert [row["Check"] for row in rows] == ["keys", "disk"] and rows[1]["To do"] == "free up space"
