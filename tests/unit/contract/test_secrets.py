"""What counts as a secret, and how it is masked."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from refstack_worker.contract.secrets import KnownSecrets


@pytest.mark.parametrize("secret", ["pa$$w&rd<1>", 'quo"te\\d', "ünïcode-password", "with space and/slash"])
def test_every_spelling_is_masked(secret: str) -> None:
    mask = KnownSecrets()
    mask.add_conf({"auth": {"admin_password": secret, "admin_username": "somebody"}})
    spellings = [secret, json.dumps(secret), quote(secret, safe=""), base64.b64encode(secret.encode()).decode()]
    for spelled in spellings:
        masked = mask.mask(f"somebody said {spelled}, yes")
        assert secret not in masked and spelled.strip('"') not in masked
        assert masked.startswith("somebody said ") and masked.endswith(", yes")
        assert len(mask.masker.same_length(spelled.encode())) == len(spelled.encode())


def test_short_secret_is_masked_as_a_word_alone() -> None:
    mask = KnownSecrets()
    mask.add("admin")
    assert (
        mask.mask("user=x password=admin tempest.api.administration")
        == "user=x password=*** tempest.api.administration"
    )


def test_switches_and_numbers_are_no_secrets() -> None:
    mask = KnownSecrets()
    mask.add_conf({"identity": {"user_unique_last_password_count": 2}, "x": {"password_ok": "True", "secret": ""}})
    assert mask.mask("True 2 is fine") == "True 2 is fine"
