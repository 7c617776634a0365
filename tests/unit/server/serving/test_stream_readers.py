"""Who follows runs is looked up again while a stream goes on: what ends access ends streams, too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.serving import events
from tests.support.callers import Browser, Callers, Somebody
from tests.support.ledgers import new_run

Ends = Callable[[Callers], Any]


@pytest.fixture
def callers(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Callers:
    monkeypatch.setattr(events, "CHECK_SECONDS", 0.0, raising=False)
    monkeypatch.setattr(events, "ROUND_SECONDS", 0.01)
    return Callers(ledger)


def followed(reader: Somebody | Browser, path: str) -> Iterator[str]:
    answer = reader.get(path) if isinstance(reader, Browser) else reader("GET", path)
    return (piece.decode() for piece in answer.iter_encoded())


def revoke(callers: Callers) -> None:
    token = next(one for one in callers.ledger.tokens.all() if one.name == "ann")
    callers.ledger.tokens.revoke(token.id)


def disable(callers: Callers) -> None:
    callers.ledger.account_changes.disable_user(callers.ann.user_id or 0, "op")
    callers.ledger.tokens._cache.clear()  # as a second later


def move_away(callers: Callers) -> None:
    callers.ledger.account_changes.change_user(callers.ann.user_id or 0, {"vendor_id": callers.bravo})


@pytest.mark.parametrize("ends", [revoke, disable, move_away])
@pytest.mark.parametrize("kind", ["token", "browser"])
def test_a_stream_of_a_run_ends_with_the_access_to_it(callers: Callers, ends: Ends, kind: str) -> None:
    run = callers.ledger.runs.add(new_run(owner_id=callers.abe.user_id))
    is_browser = kind == "browser"
    reader = callers.ann.browser() if is_browser else callers.ann
    told = followed(reader, f"/runs/{run.test_id}/events" if is_browser else f"/v1/runs/{run.test_id}/events")
    assert '"queued"' in "".join(next(told) for _ in range(3))
    ends(callers)
    callers.ledger.runs.cancel(run.test_id, "a secret of Acme")
    assert "Acme" not in "".join(told)


@pytest.mark.parametrize("ends", [revoke, disable])
def test_a_stream_of_all_runs_ends_with_its_token(callers: Callers, ends: Ends) -> None:
    told = followed(callers.ann, "/v1/events")
    next(told)
    run = callers.ledger.runs.add(new_run(owner_id=callers.abe.user_id))
    assert '"queued"' in next(told)
    ends(callers)
    callers.ledger.runs.cancel(run.test_id, "a secret of Acme")
    assert "Acme" not in "".join(told)


def test_a_stream_of_all_runs_follows_its_reader_to_another_vendor(callers: Callers) -> None:
    told = followed(callers.ann, "/v1/events")
    next(told)
    theirs = callers.ledger.runs.add(new_run(owner_id=callers.abe.user_id))
    assert '"queued"' in next(told)
    move_away(callers)
    callers.ledger.runs.cancel(theirs.test_id, "a secret of Acme")
    mine = callers.ledger.runs.add(new_run(owner_id=callers.bob.user_id))
    heard = next(one for one in told if one.startswith(("id:", "event: run")))
    assert json.loads(heard.partition("data: ")[2])["test_id"] == mine.test_id


def test_a_stream_of_a_run_that_is_removed_ends(callers: Callers) -> None:
    run = callers.ledger.runs.add(new_run(owner_id=callers.ann.user_id))
    told = followed(callers.ann, f"/v1/runs/{run.test_id}/events")
    next(told), next(told), next(told)
    callers.ledger.runs.cancel(run.test_id, "ann")
    callers.ledger.retention.delete(run.test_id)
    list(told)
