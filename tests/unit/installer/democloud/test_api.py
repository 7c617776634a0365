"""The small client: tokens behind proxies, regions, and lists that a service does not have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from democloud.api import Account, MissingError, Session
from democloud.ports import CloudError

from tests.support.http_server import Scripted, as_json, serving


def endpoint(url: str, region: str) -> dict[str, str]:
    return {"interface": "public", "region": region, "url": url}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as script:
        here, other = endpoint(script.url, "RegionOne"), endpoint("http://127.0.0.1:1", "RegionZero")
        catalog = [{"type": kind, "endpoints": [other, here]} for kind in ("network", "block-storage")]
        token = {"token": {"catalog": catalog, "project": {"id": "p1"}}}
        # proxies change the case of names
        script.on("/v3/auth/tokens", as_json(token, 201, **{"x-subject-TOKEN": "opensesame"}))
        yield script


def session(server: Scripted) -> Session:
    return Session(Account(f"{server.url}/v3", "admin", "secret", "admin"))


def test_the_token_is_used_in_the_clouds_own_region(server: Scripted) -> None:
    server.on("/v2.0/networks", as_json({"networks": [{"id": "n1"}]}))
    assert session(server).every("network", "/v2.0/networks", "networks") == [{"id": "n1"}]
    assert server.asked[-1].headers["X-Auth-Token"] == "opensesame"


def test_cinder_is_found_under_any_of_its_types_and_asked_by_project(server: Scripted) -> None:
    server.on("/p1/volumes", as_json({"volumes": []}))
    assert session(server).ask("GET", "volume", "/volumes") == {"volumes": []}


def test_a_list_that_is_not_there_is_empty_and_a_service_is_named(server: Scripted) -> None:
    admin = session(server)
    assert admin.every("network", "/v2.0/routers", "routers") == []
    with pytest.raises(MissingError):
        admin.ask("GET", "network", "/v2.0/routers")
    assert admin.has("network") and not admin.has("compute")
    with pytest.raises(CloudError, match="no compute in the catalogue"):
        admin.ask("GET", "compute", "/servers")
