"""What a Tempest can do."""

from __future__ import annotations

from pathlib import Path

from refstack_worker.execute_test.tempest.installation import Tempest


def test_options_that_tempest_does_not_know_are_named_with_what_was_meant() -> None:
    names = frozenset({"auth", "admin_password", "identity", "uri_v3", "identity-feature-enabled", "api_v3"})
    tempest = Tempest(Path("tempest"), "47.0.0", True, True, names)
    conf = {
        "auth": {"admin_pasword": "x", "admin_password": "x"},
        "identity": {"uri_v3": "http://c", "uri-v3": "http://c", "zzzzzz": 1},
        "identity-feature-enabled": {"api_v3": True},
        "a_plugins_own": {"whatever": 1},
        "DEFAULT": {"debug": True},
    }
    assert tempest.unknown_options(conf) == ["[auth] admin_pasword (did you mean admin_password?)", "[identity] zzzzzz"]
