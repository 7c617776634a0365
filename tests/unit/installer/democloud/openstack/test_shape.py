"""Addresses of a site, and that it survives being saved."""

from __future__ import annotations

import json
from pathlib import Path

from democloud.openstack.shape import INNER_PORTS, PORTS, Shape, Site, draw

from tests.unit.installer.democloud.openstack.sites import NUMBERS, TLS, site


def test_a_saved_site_is_the_same() -> None:
    before = site(users=3, second_region="Two", services=("identity", "network"))
    assert Site.from_json(json.loads(json.dumps(before.as_json()))) == before


def test_public_addresses_have_tls_and_inner_ones_never() -> None:
    plain, secured = site(), site(tls=True)
    assert plain.auth_url == plain.inner_auth_url == f"http://127.0.0.1:{NUMBERS['identity']}/v3"
    assert secured.auth_url == f"https://127.0.0.1:{TLS['identity-tls']}/v3"
    assert secured.inner_auth_url == plain.auth_url
    assert (plain.ca_file, secured.ca_file) == ("", "/cloud/tls/ca.pem")


def test_two_clouds_share_nothing(tmp_path: Path) -> None:
    first, second = (draw(tmp_path / name, Shape()) for name in ("first", "second"))
    assert set(first.ports) >= {*PORTS, *INNER_PORTS} and len(set(first.ports.values())) == len(first.ports)
    assert not set(first.passwords.values()) & set(second.passwords.values())
