from __future__ import annotations

import json

import pytest

from refstack_worker.contract.payload import Payload
from refstack_worker.contract.payload_identity import read_identity
from refstack_worker.errors import PayloadError


def test_the_identity_is_read_from_what_is_not_a_valid_payload(payload: Payload) -> None:
    broken = {**payload.to_json(), "testcases": {"regexes": [".++"]}, "from_a_newer_server": 1}
    identity = read_identity(json.dumps(broken).encode())
    expected = (payload.test_id, payload.attempt, payload.callback, payload.secret)
    assert (identity.test_id, identity.attempt, identity.callback, identity.secret) == expected
    assert identity.conf_json == {} and identity.testcases is None


@pytest.mark.parametrize(
    "change",
    [
        {"test_id": "7"},
        {"attempt": 0},
        {"attempt": True},
        {"secret": "short"},
        {"secret": None},
        {"callback": "ftp://x"},
        {"callback": 3},
    ],
)
def test_an_identity_that_makes_no_sense_is_refused(payload: Payload, change: dict[str, object]) -> None:
    with pytest.raises(PayloadError):
        read_identity(json.dumps({**payload.to_json(), **change}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_no_identity_in_noise(data: bytes) -> None:
    with pytest.raises(PayloadError):
        read_identity(data)
