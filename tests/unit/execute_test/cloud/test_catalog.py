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
    regions_of,
)
from refstack_worker.execute_test.cloud.keystone import KeystoneToken
from refstack_worker.execute_test.cloud.service_types import interfaces_of
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
    chosen = interfaces_of({"object-storage": {"endpoint_type": "internalURL"}})
    assert offered_services(replace(token, interfaces=chosen), "R")["swift"]
    assert regions_of(token) == ["R"]


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
    assert not silent.is_set(), "nobody waits for the resolver"
    silent.set()


def test_an_ordinary_catalogue() -> None:
    points = [{"url": "http://127.0.0.1:8080/v1"}, {"url": "http://no-such-host.invalid/"}, {"url": None}, {}]
    check_catalog(KeystoneToken("t", {"catalog": [{"type": "x", "endpoints": points}, {"type": "y"}]}))
