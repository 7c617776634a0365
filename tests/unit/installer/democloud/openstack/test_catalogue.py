"""Which services the catalogue lists, and at which addresses."""

from __future__ import annotations

from typing import Any

import pytest
from democloud.openstack import catalogue

from tests.unit.installer.democloud.openstack.sites import NUMBERS, TLS, site


@pytest.mark.parametrize(
    ("shape", "missing"),
    [
        ({}, set()),
        ({"catalog_volume": ("volumev3",)}, {"block-storage"}),
        ({"catalog_volume": ("block-storage",)}, {"volumev3"}),
        ({"services": ("identity", "compute", "network")}, {"object-store", "image", "volumev3", "block-storage"}),
        ({"services": ("identity", "volume")}, {"object-store", "image", "compute", "network", "placement"}),
    ],
)
def test_only_what_the_cloud_has_is_listed(shape: dict[str, Any], missing: set[str]) -> None:
    assert set(catalogue.types(site(**shape))) == set(catalogue.NAMES) - missing


def test_addresses_are_public_with_tls_and_inner_without() -> None:
    lines = [line for line in catalogue.statements(site(tls=True)) if "type = 'compute'" in line]
    inner, public = lines
    assert f"http://127.0.0.1:{NUMBERS['compute']}/v2.1" in inner
    assert f"https://127.0.0.1:{TLS['compute-tls']}/v2.1" in public and public.endswith("interface = 'public'")


def test_a_second_region_leads_nowhere() -> None:
    assert not any("region" in line for line in catalogue.statements(site()))
    lines = "\n".join(catalogue.statements(site(second_region="RegionZero")))
    assert "VALUES ('RegionZero', '', '{}')" in lines and f"127.0.0.1:{NUMBERS['closed']}" in lines
