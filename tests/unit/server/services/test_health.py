"""``/health`` says no when this process could not do its work."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from refstack_worker.errors import KeyFileError, LedgerError
from refstack_worker.server.app import create_app
from refstack_worker.server.services import health
from tests.support.ledgers import make_settings


def asked(ledger) -> tuple[int, str]:
    done = create_app(ledger).test_client().get("/health", headers={"Accept": "application/json"})
    return done.status_code, done.get_data(as_text=True)


def test_all_is_well(ledger) -> None:
    assert asked(ledger)[0] == 200


def test_keys_that_cannot_be_used(ledger, caplog) -> None:
    ledger.settings.keys.sign.chmod(0o644)
    status, said = asked(ledger)
    assert status == 503 and "keys: cannot be used; the log of this server says why" in said
    assert str(ledger.settings.keys.sign) not in said and "others can read it" in caplog.text


def test_a_database_that_takes_no_changes(ledger, monkeypatch) -> None:
    with ledger.database.writing() as connection:
        connection.execute(text("INSERT INTO queue_setting VALUES ('health', '', 0, '')"))
        connection.execute(
            text("CREATE TRIGGER no BEFORE UPDATE ON queue_setting BEGIN SELECT RAISE(FAIL, 'read-only'); END")
        )
    with pytest.raises(Exception, match="read-only"):
        health.check_writing(ledger)


def test_an_answer_holds_for_a_moment(ledger, monkeypatch) -> None:
    asks = []
    monkeypatch.setattr(health, "check_keys", asks.append)
    one = health.HealthCheck(ledger)
    one.check()
    one.check()
    assert len(asks) == 1


def test_a_server_that_only_enrolled_nodes_serve_needs_no_fleet_key(ledger) -> None:
    folder = ledger.settings.keys.sign.parent.parent
    ledger.settings.keys.fleet.unlink()
    with pytest.raises(KeyFileError):
        health.check_keys(make_settings(folder, SEAL_TO="fleet"))
    health.check_keys(make_settings(folder, SEAL_TO="nodes"))


def test_a_folder_that_cannot_be_written(ledger, monkeypatch) -> None:
    ledger.settings.data.mkdir(exist_ok=True)
    monkeypatch.setattr(health.os, "access", lambda *_: False)
    with pytest.raises(LedgerError, match="cannot be written by this user"):
        health.check_folder(ledger.settings)
