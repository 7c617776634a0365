"""Changes to a node's keys at the same time: one is active afterwards, and none after a revocation."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from nacl.public import PrivateKey

from refstack_worker.contract.enrolment import EnrolmentToken
from refstack_worker.contract.keys import key_id
from refstack_worker.errors import RefusedError
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.node_keys import NodeKeys, active_keys


def public() -> bytes:
    return bytes(PrivateKey.generate().public_key)


def while_rotating(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, old: str, other: Callable[[], object]) -> int:
    """Do something else in the midst of a rotation, and return how many keys are active in the end."""
    replace, ended = NodeKeys._replace, threading.Event()

    def run() -> None:
        try:
            other()
        except RefusedError as error:
            assert error.reason in ("key", "revoked")
        finally:
            ended.set()

    thread = threading.Thread(target=run)

    def slow(self: NodeKeys, *values):
        if threading.current_thread() is thread:
            return replace(self, *values)
        made = replace(self, *values)
        thread.start()
        ended.wait(1)
        return made

    monkeypatch.setattr(NodeKeys, "_replace", slow)
    ledger.node_keys.rotate("node-1", old, public())
    thread.join(20)
    with ledger.database.reading() as connection:
        return len(active_keys(connection))


@pytest.fixture
def old(ledger: Ledger) -> str:
    token, key = EnrolmentToken.parse(ledger.node_keys.new_token("node-1", "0" * 16, "op").text), public()
    ledger.node_keys.enrol("node-1", token.secret, key)
    return key_id(key)


def test_two_rotations_leave_one_active_key(ledger, old, monkeypatch) -> None:
    """Security: who has a copy of the key must not get a second one beside the node's."""
    assert while_rotating(ledger, monkeypatch, old, lambda: ledger.node_keys.rotate("node-1", old, public())) == 1


def test_no_key_outlives_a_revocation(ledger, old, monkeypatch) -> None:
    """Security: a thief who rotates without end must not get past it."""
    assert while_rotating(ledger, monkeypatch, old, lambda: ledger.node_keys.revoke("node-1", "op")) == 0
