from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.callers import Callers
from tests.support.schedules import stored_cloud
from tests.unit.cli.queue.test_notifications import call, callers, migrated

__all__ = ["call", "callers", "migrated"]


def test_from_create_to_delete(callers: Callers, call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    stored_cloud(callers.ledger, callers.ann.user_id, "Acme Cloud")

    def rows(*words: str) -> Any:
        assert call(callers.ann, "schedule", *words, "-f", "json") == 0
        return json.loads(capsys.readouterr().out)

    words = ("create", "Acme Cloud", "--at", "02:30", "--days", "mon,Thu", "--tempest-version", "47.0.0")
    assert rows(*words, "--label", "nightly")["days"] == "mon thu"
    (row,) = rows("list")
    assert (row["Cloud"], row["When (UTC)"], row["State"], row["Label"]) == (
        "Acme Cloud",
        "02:30 mon,thu",
        "active",
        "nightly",
    )
    assert call(callers.ann, "schedule", "pause", "1") == 0
    assert capsys.readouterr().out == "schedule 1 is paused\n" and rows("list")[0]["State"] == "paused"
    assert call(callers.ann, "schedule", "resume", "Nightly") == 0
    assert capsys.readouterr().out == "schedule 1 is active again\n" and rows("list")[0]["State"] == "active"
    assert call(callers.ann, "schedule", "delete", "weekly") != 0
    assert "there is no schedule 'weekly'" in capsys.readouterr().err
    assert call(callers.ann, "schedule", "delete", "nightly") == 0
    assert "its runs stay" in capsys.readouterr().out and rows("list") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere", "--at", "02:30", "--tempest-version", "47.0.0"), "there is no cloud 'nowhere'"),
        (("1", "--at", "02:30"), "--tempest-version"),
        (("1", "--at", "02:30", "--program", "storage"), "--guideline"),
        (("1", "--at", "25:00", "--tempest-version", "47.0.0"), "time of day"),
    ],
)
def test_what_is_wrong_is_said(
    callers: Callers, call: Callable[..., int], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert call(callers.ann, "schedule", "create", *words) != 0
    assert message in capsys.readouterr().err
