from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.callers import Callers
from tests.support.ledgers import new_run
from tests.unit.cli.queue.test_notifications import call, callers, migrated

__all__ = ["call", "callers", "migrated"]


def test_vendors_and_users_are_changed_by_name(
    callers: Callers, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def done(*words: str) -> None:
        assert call(callers.operator, *words) == 0, capsys.readouterr().err

    changes = callers.ledger.account_changes
    done("vendor", "update", "Acme", "--name", "Acme Inc", "--max-open-runs", "3")
    assert changes.states().limits == {callers.acme: 3}
    done("vendor", "update", "Acme Inc", "--max-open-runs", "server")
    assert changes.states().limits == {}
    done("vendor", "disable", "Acme Inc")
    assert callers.acme in changes.states().vendors
    done("vendor", "enable", "Acme Inc")
    done("user", "disable", "ann")
    assert changes.is_disabled(callers.ann.user_id)
    done("user", "enable", "ann@x.example")
    run = callers.ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id
    done("user", "update", "ann", "--vendor", "Bravo", "--email", "ann@y.example")
    done("user", "transfer", "ann", "bob")
    assert callers.ledger.runs.get(run).owner_id == callers.bob.user_id
    done("user", "delete", "ann")
    done("user", "update", "abe", "--vendor", "Bravo")
    done("vendor", "delete", "Acme Inc")
    assert [vendor.name for vendor in callers.ledger.accounts.vendors()] == ["Bravo"]


def test_a_vendor_sees_why_a_run_waits(
    callers: Callers, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run = callers.ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id
    assert call(callers.operator, "pause", "--reason", "new disks") == 0
    assert call(callers.ann, "run", "show", str(run)) == 0
    assert "the operator paused the queue: new disks (since 2" in capsys.readouterr().out


def test_pins_tokens_and_versions(
    callers: Callers, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run = callers.ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id
    callers.ledger.runs.cancel(run, "ann")
    assert call(callers.ann, "run", "pin", str(run)) == 0 and callers.ledger.pins.get(run) is not None
    assert call(callers.ann, "run", "unpin", str(run)) == 0 and callers.ledger.pins.get(run) is None
    number = callers.ledger.tokens.all()[0].id
    callers.ledger.tokens.revoke(number)
    assert call(callers.operator, "token", "delete", str(number)) == 0
    assert number not in [token.id for token in callers.ledger.tokens.all()]
    capsys.readouterr()
    assert call(callers.operator, "about", "-f", "json") == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert shown["database"].startswith("sqlite") and shown["library Flask"]
