"""Options that name another server than the cloud does, however they are written."""

from __future__ import annotations

from typing import Any

import pytest

from refstack_worker.contract.option_addresses import elsewhere, keystone_elsewhere

CLOUD = "https://cloud.example:5000/v3"
STORED = {"dashboard": {"dashboard_url": "https://dash.example/"}, "x": {"seen": ["https://a.example", "b"]}}


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("heat_plugin", "auth_url", "https://evil.example/v3"),
        ("Heat_Plugin", "auth-url", "https://evil.example/v3"),
        ("heat_plugin", "auth_url", "http://cloud.example:5000/v3"),
        ("heat_plugin", "auth_url", "https://cloud.example:5001/v3"),
        # what libraries read differently, or that has no scheme
        ("heat_plugin", "auth_url", "https://cloud.example:5000@evil.example/v3"),
        ("heat_plugin", "auth_url", "https://evil.example\\@cloud.example:5000/v3"),
        ("heat_plugin", "auth_url", "https://cloud.example:5000 x@evil.example/v3"),
        ("heat_plugin", "auth_url", "https://cloud.example:5000\tx@evil.example/v3"),
        ("heat_plugin", "auth_url", "evil.example/https://cloud.example:5000/v3"),
        ("heat_plugin", "auth_url", "evil.example:5000/v3"),
        ("heat_plugin", "auth_url", "https:\\\\evil.example"),
        ("heat_plugin", "auth_url", "//evil.example/v3"),
        ("any", "http_proxy", "evil.example:3128"),
        # a name that does not tell, in a list, in a text
        ("any", "where", "https://evil.example"),
        ("any", "where", ["https://cloud.example:5000/v3", "https://evil.example/v3"]),
        ("any", "where", ["https://cloud.example:5000", "x@evil.example/v3"]),
        ("any", "where", "alarm:https://cloud.example:5000/v3,log:https://evil.example/"),
        # what is stored for another option
        ("heat_plugin", "auth_url", "https://dash.example/"),
    ],
)
def test_an_address_of_another_server_is_found(section: str, option: str, value: Any) -> None:
    assert elsewhere({section: {option: value}}, STORED, CLOUD) == [f"{section}.{option}"]


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("heat_plugin", "auth_url", "https://CLOUD.example:5000/identity/v3"),
        ("heat_plugin", "auth_url", ""),
        ("dashboard", "dashboard_url", "https://dash.example/horizon"),
        ("Dashboard", "dashboard-url", "https://dash.example"),
        ("dashboard", "login_url", "/auth/login/"),
        ("x", "seen", ["https://a.example", "b"]),
        ("any", "use_proxy", "True"),
        ("any", "where", ["https://cloud.example:5000/a", "https://cloud.example:5000/b"]),
        ("image", "http_qcow2_image", "https://images.example/x.img"),
        ("baremetal", "whole_disk_image_url", "https://images.example/x.img"),
        ("image", "alternate_image_endpoint", "image-alt"),
        ("validation", "image_ssh_user", "cirros"),
        ("compute", "min_compute_nodes", 2),
        ("account.1", "username", "https://someone.example"),
    ],
)
def test_all_else_may_be_set(section: str, option: str, value: Any) -> None:
    assert elsewhere({section: {option: value}}, STORED, CLOUD) == []


def test_where_keystone_is_does_not_depend_on_what_is_stored() -> None:
    assert elsewhere({"identity": {"uri": "https://evil.example"}}, {}, CLOUD) == []
    conf = {"Identity": {"uri-v3": "https://evil.example"}, "identity": {"uri": CLOUD, "uri_v3": "", "region": "r"}}
    assert keystone_elsewhere(conf, CLOUD) == ["Identity.uri-v3"]


def test_a_long_value_takes_no_long_time() -> None:
    assert elsewhere({"any": {"text": "a" * 1_000_000 + "://"}}, {}, CLOUD) == ["any.text"]
