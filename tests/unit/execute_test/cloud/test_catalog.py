"""What the service catalogue says."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

import pytest

from refstack_worker.execute_test.cloud import catalog
from refstack_worker.execute_test.cloud.catalog import (
    check_catalog,
    cloud_id,
    identity_interface,
    offered_services,
    offered_types,
    only_region,
    other_regions,
    regions_of,
    service_endpoint,
    why_not_offered,
)
from refstack_worker.execute_test.cloud.keystone import KeystoneToken
from refstack_worker.execute_test.cloud.service_types import interfaces_of, own_regions_of, types_of
from refstack_worker.execute_test.failures import CloudFailure


def test_cloud_id_is_the_identity_service_or_the_hash_of_the_host() -> None:
    token = KeystoneToken("t", {"catalog": [{"type": "compute", "id": "1"}, {"type": "identity", "id": "abc"}]})
    assert cloud_id(token, "http://k:5000/v3") == "abc"
    assert cloud_id(KeystoneToken("t", {}), "http://k.example:5000/v3") == "1a4ab762a5ce9a946eeb6c6e0adef2ae"


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_a_catalogue_that_leads_there_is_refused(host: str) -> None:
    services = [{"type": "object-store", "endpoints": [{"url": f"http://{host}/latest/meta-data"}]}]
    with pytest.raises(CloudFailure, match="metadata service"):
        check_catalog(KeystoneToken("t", {"catalog": services}))


def catalogue(*points: tuple[str, str, str], kind: str = "identity") -> KeystoneToken:
    """Interface, region and address of each endpoint of one service."""
    endpoints = [{"interface": interface, "region": region, "url": url} for interface, region, url in points]
    return KeystoneToken("t", {"catalog": [{"type": kind, "endpoints": endpoints}]})


def test_the_identity_endpoint_is_the_one_of_the_log_in() -> None:
    points = (("admin", "R", "http://inner:35357/v3"), ("public", "R", "http://k:5000/v3"))
    assert identity_interface(catalogue(*points), "http://k:5000/v3") == "public"
    assert identity_interface(catalogue(*points), "http://inner:35357/v3") == "admin"
    assert identity_interface(catalogue(*points), "http://alias:5000/v3") == "public"
    assert identity_interface(catalogue(points[0]), "http://alias:5000/v3") == "admin"
    assert identity_interface(KeystoneToken("t", {}), "http://k:5000/v3") == ""


def test_services_are_found_at_the_interface_that_tempest_uses() -> None:
    token = catalogue(("internal", "R", "http://s/v1"), kind="object-store")
    assert not offered_services(token, "R")["swift"]
    assert why_not_offered(token, "swift", "R") == (
        "the catalogue lists object-store without a public address; object-storage.endpoint_type can be internal"
    )
    chosen = interfaces_of({"object-storage": {"endpoint_type": "internalURL"}})
    assert offered_services(replace(token, interfaces=chosen), "R")["swift"]
    assert regions_of(token) == ["R"]


def listed(*services: tuple[str, str, str]) -> KeystoneToken:
    """Type, region and address of the public endpoint of each service."""
    entries = [{"type": kind, "endpoints": [{"interface": "public", "region": region, "url": url}]}
               for kind, region, url in services]  # fmt: skip
    return KeystoneToken("t", {"catalog": entries})


def test_remnants_of_old_block_storage_are_not_taken_for_it() -> None:
    old = ("volumev2", "R", "http://c:8776/v2/p")
    token = listed(("volume", "R", "http://c:8776/v1/p"), old, ("volumev3", "R", "http://c:8776/v3/p"))
    assert offered_types(token, "cinder", "R") == ["volumev3"]
    assert service_endpoint(token, "cinder", "R") == "http://c:8776/v3/p"
    assert offered_services(listed(old), "R")["cinder"] is False
    assert "its URL is for the old API v2, while Tempest tests v3" in why_not_offered(listed(old), "cinder", "R")
    # the alias, whose address says that it is version 3
    alias = listed(old, ("volume", "R", "http://c/volume/v3/p"))
    assert offered_types(alias, "cinder", "R") == ["volume"]
    # the vendor knows better
    chosen = replace(listed(old), types=types_of({"volume": {"catalog_type": "volumev2"}}))
    assert service_endpoint(chosen, "cinder", "R") == "http://c:8776/v2/p"


def test_a_network_address_with_a_version_is_of_no_use_to_tempest() -> None:
    token = listed(("network", "R", "http://c:9696/v2.0"))
    assert offered_services(token, "R")["neutron"] is False
    assert "its URL ends in /v2.0, and Tempest appends the version itself" in why_not_offered(token, "neutron", "R")
    assert offered_services(listed(("network", "R", "http://c/networking")), "R")["neutron"] is True


@pytest.mark.parametrize("bad", ["http://[::1:8774/v2.1", "http://c:port/v2.1", "http:///v2.1", "c:8774/v2.1"])
def test_an_address_that_is_no_url_is_the_fault_of_its_service_alone(bad: str) -> None:
    here = "http://127.0.0.1:5000/v3"
    token = listed(("identity", "R", here), ("compute", "R", bad), ("image", "R", "http://127.0.0.1/image"))
    check_catalog(token)
    assert identity_interface(token, here) == "public" and only_region(token, here) == "R"
    assert offered_services(token, "R") == {"nova": False, "glance": True, "neutron": False, "cinder": False,
                                            "swift": False}  # fmt: skip
    assert why_not_offered(token, "nova", "R") == (
        f"the catalogue lists compute, but its address {bad!r} is not a valid URL"
    )
    # also where the vendor set the type
    chosen = replace(token, types=types_of({"compute": {"catalog_type": "compute"}}))
    assert service_endpoint(chosen, "nova", "R") is None


def test_an_empty_address_is_none() -> None:
    token = listed(("image", "R", ""))
    assert offered_services(token, "R")["glance"] is False
    assert why_not_offered(token, "glance", "R") == "the catalogue lists image, but without an address"


def test_of_two_services_of_one_type_tempest_sees_the_first() -> None:
    token = listed(("compute", "A", "http://a/v2.1"), ("compute", "B", "http://b/v2.1"))
    assert service_endpoint(token, "nova", "A") == "http://a/v2.1" and service_endpoint(token, "nova", "B") is None
    assert why_not_offered(token, "nova", "B") == (
        "the catalogue lists compute 2 times, and Tempest looks only at the first of them"
    )
    assert why_not_offered(token, "nova", "C") == "" and why_not_offered(token, "glance", "A") == ""


def test_a_type_that_was_set_is_the_one_that_is_looked_for() -> None:
    token = listed(("compute", "R", "http://a/v2.1"), ("computev21", "R", "http://b/v2.1"))
    chosen = replace(token, types=types_of({"compute": {"catalog_type": "computev21"}}))
    assert service_endpoint(token, "nova", "R") == "http://a/v2.1"
    assert service_endpoint(chosen, "nova", "R") == "http://b/v2.1"


def test_a_region_of_its_own_counts_for_one_service_alone() -> None:
    here = "http://k/v3"
    token = listed(("identity", "A", here), ("object-store", "B", "http://b/v1"), ("image", "C", "http://c/i"))
    chosen = replace(token, regions=own_regions_of({"object-storage": {"region": "B"}}))
    assert service_endpoint(token, "swift", "C") is None and service_endpoint(chosen, "swift", "C") == "http://b/v1"
    assert service_endpoint(chosen, "glance", "B") is None and service_endpoint(chosen, "glance", "C") == "http://c/i"
    assert (only_region(token, here), only_region(chosen, here)) == ("B", "C")
    elsewhere = replace(token, regions=own_regions_of({"object-storage": {"region": "A"}}))
    assert other_regions(elsewhere, "swift", "A") == ["B"]


def test_the_region_is_the_one_in_use_unless_its_services_are_elsewhere() -> None:
    here = "http://k/v3"
    apart = listed(("identity", "Global", here), ("compute", "East", "http://e/v2.1"), ("image", "East", "http://e/i"),
                   ("object-store", "North", "http://n/v1"))  # fmt: skip
    assert only_region(apart, here) == "East"
    token = listed(("identity", "B", here), ("object-store", "B", "http://b/v1"), ("compute", "A", "http://a/v2.1"),
                   ("image", "A", "http://a/i"))  # fmt: skip
    assert only_region(token, here) == "B"
    shared = catalogue(("public", "A", here), ("public", "B", here))
    shared.body["catalog"].extend(listed(("compute", "B", "http://b/v2.1")).body["catalog"])  # type: ignore[index]
    assert only_region(shared, here) == "B"
    assert only_region(catalogue(("public", "A", ""), ("public", "B", here)), here) == "B"
    assert only_region(KeystoneToken("t", {}), here) == ""


def test_names_that_tempest_does_not_use_are_not_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve(host: str, *_more: object, **_options: object) -> list[object]:
        asked.append(host)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    points = [(kind, "R", f"http://{kind}.example/") for kind in ("public", "internal", "admin")]
    check_catalog(catalogue(*points), {"public", "internal"})
    assert sorted(asked) == ["internal.example", "public.example"]


def test_a_resolver_that_stays_silent_costs_seconds_for_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [] if silent.wait() else [])
    monkeypatch.setattr(catalog, "RESOLVE_SECONDS", 0.2)
    check_catalog(catalogue(*(("public", "R", f"http://{at}.example/") for at in range(12))))
    assert not silent.is_set(), "a caller waits for the resolver"
    silent.set()


def test_an_ordinary_catalogue() -> None:
    points = [{"url": "http://127.0.0.1:8080/v1"}, {"url": "http://no-such-host.invalid/"}, {"url": None}, {}]
    check_catalog(KeystoneToken("t", {"catalog": [{"type": "x", "endpoints": points}, {"type": "y"}]}))
