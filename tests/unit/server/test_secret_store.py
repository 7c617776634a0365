from __future__ import annotations

from refstack_worker.server import secret_store


def test_secret_values_are_the_texts_of_options_that_hold_secrets() -> None:
    conf = {
        "identity": {"password": "pw-12345", "username": "demo-user", "admin_password": "longer-pw-12345"},
        "auth": {"use_dynamic_credentials": True, "api_key": ["key-1", "key-2"], "short_secret": "abc"},
    }
    assert set(secret_store.secret_values(conf)) == {"longer-pw-12345", "pw-12345", "key-1", "key-2"}
    assert secret_store.secret_values(conf)[0] == "longer-pw-12345"


def test_a_secret_within_a_secret_is_masked_as_a_whole() -> None:
    assert secret_store.Masker(("pw-12345", "longer-pw-12345")).text("x longer-pw-12345 y") == "x *** y"
