"""The pages of clouds: with what the connection is tested."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import pytest

from refstack_worker.server.ledger.ledger import Ledger
from tests.support import http_server
from tests.support.callers import Browser, Callers

PROJECT = {"name": "demo", "domain": {"name": "LDAP"}}
OPTIONS = {"project_name": "demo", "domain_name": "LDAP"}
LOGIN = {"endpoint_v3": "", "test_user": "ann", **OPTIONS, "keep": "forget"}


@pytest.fixture
def keystone(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[http_server.Scripted]:
    # settings are frozen
    monkeypatch.setitem(vars(ledger.settings.outbound), "cloud_networks", (ipaddress.ip_network("127.0.0.0/8"),))
    catalogue = [{"type": "object-store", "id": "2", "endpoints": []}]
    with http_server.serving() as server:
        server.on("/v3/", http_server.as_json({"version": {"id": "v3.14"}}))
        token = http_server.as_json({"token": {"catalog": catalogue}}, 201, **{"X-Subject-Token": "t"})
        server.on("/v3/auth/tokens", token)
        yield server


def logins(server: http_server.Scripted) -> list[Any]:
    return [json.loads(request.body)["auth"] for request in server.asked if request.path == "/v3/auth/tokens"]


def test_a_password_that_is_typed_is_tested_in_the_project_of_the_form(
    keystone: http_server.Scripted, browser: Browser
) -> None:
    form = {**LOGIN, "endpoint_v3": f"{keystone.url}/v3", "password": "pw-1"}
    added = browser.send("/clouds/new", label="Acme", **form)
    assert added.status_code == 303
    assert browser.send(f"{added.headers['Location']}/change", label="Acme", **form).status_code == 303
    assert browser.send(f"{added.headers['Location']}/check", password="pw-1").status_code == 303
    assert len(logins(keystone)) == 3
    for login in logins(keystone):
        assert login["scope"] == {"project": PROJECT}
        assert login["identity"]["password"]["user"] == {"name": "ann", "domain": {"name": "LDAP"}, "password": "pw-1"}


def test_the_api_tests_a_password_with_the_stored_options(keystone: http_server.Scripted, callers: Callers) -> None:
    body = {"label": "A", "endpoint_v3": f"{keystone.url}/v3", "test_user": "ann", "conf_json": {"identity": OPTIONS}}
    cloud = callers.ann("POST", "/v1/clouds", body).json["id"]
    for own, project in (({}, "demo"), ({"project_name": "other"}, "other")):
        conf = {"identity": {"password": "pw-1", **own}}
        assert callers.ann("POST", f"/v1/clouds/{cloud}/check", {"conf_json": conf}).json["check"]["ok"]
        assert logins(keystone)[-1]["scope"]["project"]["name"] == project
