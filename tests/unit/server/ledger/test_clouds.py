"""What is kept sealed with a cloud."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from refstack_worker.contract.accounts import account_sections
from refstack_worker.server.db import account_tables
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.ledger.ledger import Ledger

PASSWORDS = {"identity": {"password": "pw-of-user"}, "auth": {"admin_password": "pw-of-admin"}}


def accounts(*names: str) -> dict[str, dict[str, Any]]:
    return account_sections([{"username": name, "password": f"pw-of-{name}"} for name in names])


def new(**given: Any) -> NewCloud:
    return NewCloud("c", "https://k.example/v3", **given)


@pytest.fixture
def cloud_id(ledger: Ledger) -> int:
    return ledger.clouds.add(new(conf_json=PASSWORDS, accounts=accounts("u1", "u2"))).cloud.id


def test_accounts_are_sealed_whole_and_counted(ledger: Ledger, cloud_id: int) -> None:
    assert ledger.clouds.get(cloud_id).accounts == 2
    assert ledger.clouds.saved_conf(cloud_id) == {**PASSWORDS, **accounts("u1", "u2")}
    with ledger.database.reading() as connection:
        row = connection.execute(select(account_tables.cloud_extra)).mappings().one()
    assert '"u1"' not in str(dict(row))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {**PASSWORDS, **accounts("u1", "u2")}),
        ({"accounts": accounts("u3")}, {**PASSWORDS, **accounts("u3")}),
        ({"accounts": {}}, PASSWORDS),
        ({"conf_json": {"identity": {"alt_password": "new"}}},
         {"identity": {"password": "pw-of-user", "alt_password": "new"}, "auth": PASSWORDS["auth"],
          **accounts("u1", "u2")}),
        ({"conf_json": {}}, accounts("u1", "u2")),
        ({"conf_json": {}, "accounts": {}}, {}),
    ],
    ids=["nothing", "others", "none", "a-password", "forget-passwords", "forget-all"],
)  # fmt: skip
def test_what_is_not_given_stays(ledger: Ledger, cloud_id: int, given: Any, kept: Any) -> None:
    changed = ledger.clouds.change(cloud_id, new(**given))
    assert ledger.clouds.saved_conf(cloud_id) == kept
    assert changed.keeps_passwords is bool(kept)


def test_a_list_of_clouds_survives_a_lost_key(ledger: Ledger, cloud_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger.database.writing() as connection:
        connection.execute(account_tables.cloud_extra.update().values(sealed_conf="nonsense"))
    (known,) = ledger.clouds.all(None)
    assert known.accounts == 0 and known.keeps_passwords
