from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.server.domain.notifications import Sent
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.callers import Callers, commands
from tests.support.ledgers import Clock, make_settings
from tests.unit.server.conftest import migrated

__all__ = ["migrated"]
URL = "https://1.1.1.1/hook"


@pytest.fixture
def callers(tmp_path: Path, migrated: Path) -> Iterator[Callers]:
    settings = make_settings(tmp_path)
    shutil.copy(migrated, settings.database.url.partition(":///")[2])
    ledger = Ledger(settings, Clock())
    yield Callers(ledger)
    ledger.close()


@pytest.fixture
def call(callers: Callers, tmp_path: Path) -> Iterator[Callable[..., int]]:
    with commands(callers, tmp_path) as made:
        yield made


def test_from_create_to_delete(callers: Callers, call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    def rows(*words: str) -> Any:
        assert call(callers.ann, "notification", *words, "-f", "json") == 0
        return json.loads(capsys.readouterr().out)

    made = rows("create", URL, "--on", "run.ended", "--on", "run.waiting", "--vendor", "--label", "chat")
    assert made["secret"].startswith("whsec_") and made["kinds"] == "run.ended run.waiting"
    assert rows("list") == [
        {"Id": 1, "To": URL, "When": "run.ended run.waiting", "Runs of": "vendor", "State": "active", "Label": "chat"}
    ]
    assert call(callers.ann, "notification", "test", "chat") == 0
    assert "'notification log 1' shows" in capsys.readouterr().out
    (due,) = callers.ledger.deliveries.take(9)
    callers.ledger.deliveries.note(due.id, Sent(True, 200))
    assert [(row["About"], row["State"]) for row in rows("log", "1")] == [("test", "accepted")]
    assert call(callers.ann, "notification", "pause", URL) == 0
    assert capsys.readouterr().out == "notification 1 is paused\n" and rows("list")[0]["State"] == "paused"
    assert call(callers.ann, "notification", "resume", "1") == 0
    assert capsys.readouterr().out == "notification 1 is active again\n" and rows("list")[0]["State"] == "active"
    again = rows("secret", "1")["secret"]
    assert again.startswith("whsec_") and again != made["secret"]
    assert call(callers.bob, "notification", "delete", "1") != 0
    assert call(callers.ann, "notification", "delete", "1") == 0
    assert capsys.readouterr().out == "notification 1 is deleted\n" and rows("list") == []


def test_an_address_makes_an_email(
    callers: Callers, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(callers.ann, "notification", "create", "ann@x.example") != 0
    assert "SMTP_SERVER" in capsys.readouterr().err
