"""A run never talks to the metadata service of the machine that it is on, whatever led it there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import pytest

from refstack_worker import execute_test
from refstack_worker.execute_test import Client, CloudFailure, Denied, Token, check_catalog, is_metadata
from tests.support.http_server import Scripted, as_json, serving


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as script:
        yield script


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
    ],
)
def test_addresses_of_metadata_services(address: str) -> None:
    assert is_metadata(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "::1"])
def test_addresses_of_clouds(address: str) -> None:
    assert not is_metadata(address)


def test_the_one_that_was_reached_counts_not_the_name(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    # a name that points elsewhere at each question gains nothing: the peer of the very connection is looked at
    server.on("/v3", as_json({}))
    url = server.url.replace("127.0.0.1", "localhost") + "/v3"
    assert Client().ask("GET", url).status == 200
    monkeypatch.setattr(execute_test, "METADATA", (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1")))
    with pytest.raises(Denied, match="metadata service"):
        Client().ask("GET", url)
    assert len(server.asked) == 1


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_a_catalogue_that_leads_there_is_refused(host: str) -> None:
    catalog = [{"type": "object-store", "endpoints": [{"url": f"http://{host}/latest/meta-data"}]}]
    with pytest.raises(CloudFailure, match="metadata service"):
        check_catalog(Token("t", {"catalog": catalog}))


def test_an_ordinary_catalogue() -> None:
    points = [{"url": "http://127.0.0.1:8080/v1"}, {"url": "http://no-such-host.invalid/"}, {"url": None}, {}]
    check_catalog(Token("t", {"catalog": [{"type": "x", "endpoints": points}, {"type": "y"}]}))
