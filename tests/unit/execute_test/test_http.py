"""Requests over real connections."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import pytest

from refstack_worker.contract import networks
from refstack_worker.execute_test.http import Denied, HttpClient
from tests.support.http_server import Scripted, as_json, serving


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as script:
        yield script


def test_the_one_that_was_reached_counts_not_the_name(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    # a name that points elsewhere at each question gains nothing: the peer of the very connection is looked at
    server.on("/v3", as_json({}))
    url = server.url.replace("127.0.0.1", "localhost") + "/v3"
    assert HttpClient().request("GET", url).status == 200
    loopback = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"))
    monkeypatch.setattr(networks, "FORBIDDEN_NETWORKS", loopback)
    with pytest.raises(Denied, match="metadata service"):
        HttpClient().request("GET", url)
    assert len(server.asked) == 1
