"""Keys of nodes: a token works once and for its node, one key is active, and a revoked one is sealed to no more."""

from __future__ import annotations

import pytest
from nacl.public import PrivateKey

from refstack_worker.contract.enrolment import EnrolmentToken
from refstack_worker.contract.keys import key_id
from refstack_worker.contract.limits import MAX_RUN_SECONDS
from refstack_worker.errors import NotFoundError, RefusedError
from refstack_worker.server.ledger.node_keys import active_keys, check_speaks_for


def public() -> bytes:
    return bytes(PrivateKey.generate().public_key)


def enrolled(ledger, node: str, key: bytes | None = None) -> bytes:
    token = EnrolmentToken.parse(ledger.node_keys.new_token(node, "0" * 16, "olga").text)
    key = key or public()
    ledger.node_keys.enrol(node, token.secret, key)
    return key


def active(ledger) -> int:
    with ledger.database.reading() as connection:
        return len(active_keys(connection))


def test_a_token_works_once_and_for_its_node(ledger) -> None:
    text = ledger.node_keys.new_token("node-1", "0123456789abcdef", "olga").text
    token = EnrolmentToken.parse(text)
    assert token.server_key == "0123456789abcdef"
    for node, secret in (("node-2", token.secret), ("node-1", "A" * 43)):
        with pytest.raises(RefusedError) as no:
            ledger.node_keys.enrol(node, secret, public())
        assert no.value.reason == "enrolment"
    key = public()
    assert ledger.node_keys.enrol("node-1", token.secret, key).id == key_id(key)
    with pytest.raises(RefusedError):
        ledger.node_keys.enrol("node-1", token.secret, public())


def test_a_token_grows_old_and_a_newer_one_replaces_it(ledger) -> None:
    old = EnrolmentToken.parse(ledger.node_keys.new_token("node-1", "0" * 16, "olga", -1.0).text)
    with pytest.raises(RefusedError):
        ledger.node_keys.enrol("node-1", old.secret, public())
    first = EnrolmentToken.parse(ledger.node_keys.new_token("node-1", "0" * 16, "olga").text)
    ledger.node_keys.new_token("node-1", "0" * 16, "olga")
    with pytest.raises(RefusedError):
        ledger.node_keys.enrol("node-1", first.secret, public())


def test_a_node_has_one_active_key(ledger) -> None:
    first = enrolled(ledger, "node-1")
    enrolled(ledger, "node-2")
    second = public()
    ledger.node_keys.rotate("node-1", key_id(first), second)
    ledger.node_keys.rotate("node-1", key_id(first), second)  # the answer to the first did not arrive
    states = {key.id: key.state for key in ledger.node_keys.all() if key.node == "node-1"}
    assert states == {key_id(first): "replaced", key_id(second): "active"}
    assert active(ledger) == 2


def test_a_key_that_was_replaced_makes_no_further_one(ledger) -> None:
    """Anyone who finds it in an old backup would get the passwords of all runs from then on."""
    first = enrolled(ledger, "node-1")
    second = public()
    ledger.node_keys.rotate("node-1", key_id(first), second)
    with pytest.raises(RefusedError, match="was replaced before") as no:
        ledger.node_keys.rotate("node-1", key_id(first), public())
    assert no.value.reason == "key"
    assert [key.id for key in ledger.node_keys.all() if key.state == "active"] == [key_id(second)]


def speaks(ledger, key: bytes) -> bool:
    try:
        check_speaks_for(ledger.node_keys.get(key_id(key)), "node-1", ledger.clock())
    except RefusedError as error:
        assert error.reason == "key"
        return False
    return True


def test_a_key_that_was_replaced_speaks_until_the_new_one_has_spoken(ledger) -> None:
    """Security: its holder, who has it from a backup of the node, say, would take the node's commands."""
    first = enrolled(ledger, "node-1")
    second, third = public(), public()
    ledger.node_keys.rotate("node-1", key_id(first), second)
    ledger.node_keys.rotate("node-1", key_id(second), third)
    ledger.node_keys.note_spoken("node-1", key_id(first))
    ledger.node_keys.note_spoken("node-2", key_id(third))
    assert speaks(ledger, first) and speaks(ledger, second), "the worker reads the new key when its runs have ended"
    ledger.node_keys.note_spoken("node-1", key_id(third))
    assert not speaks(ledger, first) and not speaks(ledger, second) and speaks(ledger, third)
    assert {key.state for key in ledger.node_keys.all()} == {"replaced", "active"}
    assert not ledger.node_keys.is_revoked("node-1")
    assert len(ledger.node_keys.revoke("node-1", "olga")) == 3


def test_a_key_that_was_replaced_speaks_no_longer_than_a_run_lasts(ledger) -> None:
    first = enrolled(ledger, "node-1")
    second = public()
    ledger.node_keys.rotate("node-1", key_id(first), second)
    ledger.clock.forward(MAX_RUN_SECONDS)
    assert speaks(ledger, first)
    ledger.clock.forward(1)
    assert not speaks(ledger, first) and speaks(ledger, second)


def test_a_key_speaks_for_its_node_alone(ledger) -> None:
    key = enrolled(ledger, "node-1")
    for node, old in (("node-2", key_id(key)), ("node-1", "f" * 16)):
        with pytest.raises(RefusedError) as no:
            ledger.node_keys.rotate(node, old, public())
        assert no.value.reason == "key"


def test_a_revoked_node_is_sealed_to_no_more_and_enrols_again_with_a_token_alone(ledger) -> None:
    key = enrolled(ledger, "node-1")
    ledger.node_keys.rotate("node-1", key_id(key), public())
    assert {one.state for one in ledger.node_keys.revoke("node-1", "olga")} == {"revoked"}
    assert active(ledger) == 0
    with pytest.raises(RefusedError) as no:
        ledger.node_keys.rotate("node-1", key_id(key), public())
    assert no.value.reason == "revoked"
    with pytest.raises(NotFoundError):
        ledger.node_keys.revoke("node-1", "olga")
    with pytest.raises(RefusedError, match="enrolled before"):
        enrolled(ledger, "node-1", key)
    enrolled(ledger, "node-1")
    assert active(ledger) == 1


def test_one_key_of_an_id_can_be_revoked(ledger) -> None:
    key = enrolled(ledger, "node-1")
    enrolled(ledger, "node-2")
    assert [one.id for one in ledger.node_keys.revoke(key_id(key), "olga")] == [key_id(key)]
    assert active(ledger) == 1
