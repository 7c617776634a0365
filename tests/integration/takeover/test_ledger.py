"""A ledger of before the move is migrated: every row stays, and the API shows what it showed then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from refstack_worker.contract import envelope, keys
from tests.support.takeover import OldServer, read_json

BY_THE_CLOCK = frozenset({"waited", "seconds", "last_used_at"})
"""Fields that depend on when they are asked for, at any depth."""

CHANGED = ("/v1/guidelines/1: programs[0]: tests[",)
"""What changed on purpose: a guideline's tests are listed by the names that decide, no longer by id alone."""


@pytest.fixture
def migrated(server: OldServer) -> OldServer:
    done = server.command("db", "upgrade")
    assert done.returncode == 0, done.stderr
    return server


def test_every_row_of_every_table_stays_as_it_was(server: OldServer) -> None:
    before = server.rows()
    assert len(before["queue_run"]) == 14 and len(before["queue_result_test"]) > 50 and before["apikey"]
    done = server.command("db", "upgrade")
    assert done.returncode == 0, done.stderr
    after = server.rows()
    for table, rows in before.items():
        kept = [{name: row[name] for name in rows[0]} for row in after[table]] if rows else after[table]
        assert kept == rows, table


def test_the_api_shows_what_it_showed(migrated: OldServer) -> None:
    migrated.start()
    then: dict[str, Any] = read_json("answers.json")["answers"]
    assert len(then) > 60
    # the dump of PostgreSQL was taken before this run was given to the queue
    unlike = f"/{migrated.facts['runs']['in the queue']}/" if migrated.kind == "postgresql" else None
    lost: list[str] = []
    for path, answer in then.items():
        if unlike is None or unlike not in f"{path}/":
            lost += differences(migrated.get(path), answer, path)
    assert [one for one in lost if not one.startswith(CHANGED)] == []


def differences(now: Any, then: Any, where: str) -> Iterator[str]:
    """Yield what an answer no longer has, or has otherwise; it may have more fields."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in sorted(then.keys() - BY_THE_CLOCK):
            yield from differences(now.get(name, "missing"), then[name], f"{where}: {name}")
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(now, then)):
            yield from differences(one, other, f"{where}[{number}]")
    elif now != then:
        yield f"{where}: {now!r} was {then!r}"


def test_tokens_of_then_open_what_they_opened(migrated: OldServer) -> None:
    migrated.start()
    labels = {run["label"] for run in migrated.get("/v1/runs", "ann")["runs"]}
    assert "First" in labels and "failed" not in labels
    assert {run["label"] for run in migrated.get("/v1/runs", "bob")["runs"]} == {"First", "failed"}
    assert migrated.get("/v1/nodes", "ann") == 403
    assert migrated.get("/v1/runs", "revoked") == 401 == migrated.get("/v1/runs", "expired")


def test_a_run_of_a_cloud_of_then_gets_the_passwords_that_it_keeps(migrated: OldServer) -> None:
    migrated.start()
    token = migrated.folder / "token"
    token.touch(mode=0o600)
    token.write_text(migrated.facts["tokens"][migrated.kind]["ann"])
    words = ["--url", f"http://127.0.0.1:{migrated.port}", "--token-file", str(token)]
    done = migrated.command(*words, "run", "create", "--cloud", "1", "--tempest-version", "47.0.0", "-f", "json")
    assert done.returncode == 0, done.stderr
    sealed = {row["test_id"]: row["sealed_conf"] for row in migrated.rows()["queue_run"]}
    assert open_sealed(migrated, max(sealed.items())[1]) == migrated.facts["kept_conf"]


def open_sealed(server: OldServer, sealed: str) -> Any:
    store_key = keys.load_seal_private(server.folder / "keys" / "store.key")
    return json.loads(envelope.open_at_rest(sealed.encode(), store_key))
