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


WIDE, SENT = "https://b\u00fccher.example:5000/v3", "https://xn--bcher-kva.example:5000/v3"


@pytest.mark.parametrize("endpoint", [WIDE, SENT])
@pytest.mark.parametrize("address", [WIDE, SENT, WIDE.replace("b", "B"), WIDE.replace("\u00fc", "\u00dc")])
def test_an_international_name_is_the_same_as_it_is_sent(address: str, endpoint: str) -> None:
    assert keystone_elsewhere({"identity": {"uri_v3": address}}, endpoint) == []
    assert elsewhere({"heat_plugin": {"auth_url": address}}, {}, endpoint) == []


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("https://b\u00fccher.evil:5000", WIDE),
        ("https://b\u00fccher.example:5001", WIDE),
        ("https://fass.example", "https://fa\u00df.example"),
        ("https://xn--fa-hia.example", "https://fa\u00df.example"),
        ("https://fa\u00df.example", "https://fass.example"),
        ("https://ss.example", "https://\u1e9e.example"),
        ("https://bu\u0308cher.example:5000", WIDE),
        ("https://b\u00fccher\u3002example:5000", WIDE),
        ("https://a\u115fb.example", "https://xn--ab-iuk.example"),
        ("https://a\u0558b.example", "https://xn--ab-lbd.example"),
        ("https://b\u00fccher@evil.example:5000", WIDE),
        ("https://\u2100.evil.example", "https://a"),
        ("https://" + "\u00fc" * 300 + ".example", WIDE),
        ("https://" + "\u00fc" * 80 + ".example", WIDE),
    ],
)
def test_where_libraries_may_see_different_names_the_server_is_another(address: str, endpoint: str) -> None:
    assert keystone_elsewhere({"identity": {"uri_v3": address}}, endpoint) == ["identity.uri_v3"]


def test_a_long_value_takes_no_long_time() -> None:
    assert elsewhere({"any": {"text": "a" * 1_000_000 + "://"}}, {}, CLOUD) == ["any.text"]
