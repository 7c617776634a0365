from __future__ import annotations

from typing import Any

import pytest

from refstack_worker.contract.service_settings import interface_kind, why_unused, with_services


def test_settings_of_a_service_lie_over_those_of_all() -> None:
    conf = {"identity": {"uri_v3": "u"}, "compute": {"endpoint_type": "internal"}}
    values = {"compute_interface": "public", "image_service_type": "img", "identity_interface": "admin", "x": 1}
    assert with_services(conf, values) == {
        "identity": {"uri_v3": "u", "v3_endpoint_type": "admin"},
        "compute": {"endpoint_type": "public"},
        "image": {"catalog_type": "img"},
    }
    assert with_services(conf, {}) == conf


def test_todays_name_of_a_service_counts_more_than_an_older_one() -> None:
    values = {"volume_interface": "admin", "block_storage_interface": "internal"}
    assert with_services({}, values) == {"volume": {"endpoint_type": "internal"}}


@pytest.mark.parametrize(
    ("value", "kind"),
    [("internalURL", "internal"), (["admin", "public"], "admin"), ([], ""), (None, ""), (" Public ", "public")],
)
def test_an_interface_as_catalogues_call_it(value: Any, kind: str) -> None:
    assert interface_kind(value) == kind


@pytest.mark.parametrize(
    "name",
    [
        "compute_interface",
        "compute_region_name",
        "identity_interface",
        "region_name",
        "interface",
        "volume_api_version",
    ],
)
def test_what_is_used_or_of_no_service(name: str) -> None:
    assert why_unused(name) == ""


@pytest.mark.parametrize("name", ["dns_interface", "dns_service_type", "identity_region_name", "endpoint_override"])
def test_what_is_not_used(name: str) -> None:
    assert why_unused(name)
