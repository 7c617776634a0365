"""A client of the API, callers, and runs that they see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from refstack_worker.server.app import create_app
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.api_calls import UUID, Queue, token
from tests.support.ledgers import Event, claimed, stream
from tests.support.two_vendors import World


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def client(ledger: Ledger, queue: Queue) -> FlaskClient:
    return create_app(ledger, queue).test_client()


@pytest.fixture
def users(ledger: Ledger) -> None:
    with ledger.database.writing() as connection:
        for number, name in ((1, "ann"), (2, "bob")):
            connection.execute(insert(legacy_tables.user).values(id=number, name=name, email=name, openid=name))


@pytest.fixture
def operator(ledger: Ledger) -> dict[str, str]:
    return token(ledger)


@pytest.fixture
def finished(ledger: Ledger, tmp_path: Path) -> Callable[..., int]:
    def make(**given: Any) -> int:
        job = claimed(ledger, **given)
        file = tmp_path / "result"
        tests = [Event(f"a.B.test_{name}[id-{UUID}]", how) for name, how in (("c", "success"), ("d", "fail"))]
        file.write_bytes(stream([*tests, Event("e", "fail")]))
        acceptance.accept(ledger, job.proof, Upload.of(file, {"exit_code": 1}))
        return job.submission.key.test_id

    return make


@pytest.fixture
def world(ledger: Ledger, tmp_path: Path) -> World:
    return World(ledger, tmp_path)
