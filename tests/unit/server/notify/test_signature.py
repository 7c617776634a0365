from __future__ import annotations

import pytest

from refstack_worker.errors import UsageError
from refstack_worker.server.notify import signature


def test_the_example_of_standard_webhooks() -> None:
    """The vector of their own libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = signature.headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_what_is_changed_on_the_way_has_no_good_signature() -> None:
    secret = signature.new_secret()
    headers = signature.headers(secret, "msg_1", 100, b"body")
    assert signature.is_signed(secret, headers, b"body")
    assert not signature.is_signed(secret, headers, b"bodY")
    assert not signature.is_signed(secret, {**headers, "webhook-timestamp": "101"}, b"body")
    assert not signature.is_signed(secret, {**headers, "webhook-id": "msg_2"}, b"body")
    assert not signature.is_signed(signature.new_secret(), headers, b"body")


def test_secrets_are_fresh_and_long() -> None:
    one, other = signature.new_secret(), signature.new_secret()
    assert one != other and one.startswith("whsec_") and len(one) > 40


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_***"])
def test_nothing_is_sent_unsigned(secret: str) -> None:
    with pytest.raises(UsageError, match="make a new one"):
        signature.headers(secret, "msg_1", 100, b"")
