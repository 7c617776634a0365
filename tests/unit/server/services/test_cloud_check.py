from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from refstack_worker.errors import RefusedError
from refstack_worker.server.domain.clouds import Cloud, CloudRecord
from refstack_worker.server.services import cloud_check
from tests.support import http_server

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class TestCloudCheck:
    CATALOGUE = [
        {"type": "identity", "id": "c0ffee", "endpoints": [{"interface": "public", "region_id": "fra", "url": "x"}]},
        {"type": "object-store", "id": "2", "endpoints": []},
    ]

    def known(self, url: str, **given: str) -> CloudRecord:
        return CloudRecord(Cloud(id=1, endpoint_v3=f"{url}/v3", test_user="ann"), **given)

    def check(self, replies: dict[str, http_server.Reply], conf: Any = None, **given: str) -> Any:
        with http_server.serving() as server:
            for path, reply in replies.items():
                server.on(path, reply)
            return cloud_check.check(self.known(server.url, **given), conf or {}, LOOPBACK)

    KEYSTONE = http_server.as_json({"version": {"id": "v3.14"}})
    CONF = {"identity": {"password": "secret-pw"}}

    def test_without_a_password(self) -> None:
        found = self.check({"/v3/": self.KEYSTONE})
        assert found.ok and "Identity API v3.14" in found.said and "no password" in found.said

    def test_with_services_and_region(self) -> None:
        token = http_server.as_json({"token": {"catalog": self.CATALOGUE}}, 201, **{"X-Subject-Token": "t"})
        found = self.check({"/v3/": self.KEYSTONE, "/v3/auth/tokens": token}, self.CONF, region="fra", release="2025.1")
        assert found.ok and "services: identity, object-store" in found.said and "2025.1" in found.said
        assert not self.check({"/v3/": self.KEYSTONE, "/v3/auth/tokens": token}, self.CONF, region="ams").ok

    def test_a_wrong_password_and_no_keystone(self) -> None:
        refused = {"/v3/": self.KEYSTONE, "/v3/auth/tokens": http_server.as_json({}, 401)}
        found = self.check(refused, self.CONF)
        assert (
            not found.ok
            and "password of ann: check name, password, project and domain" in found.said
            and "secret-pw" not in found.said
        )
        found = self.check({"/v3/": http_server.HTML})
        assert not found.ok and "not like Keystone" in found.said

    @pytest.mark.parametrize(
        ("conf", "user", "scope"),
        [
            ({"identity": {"password": "p", "project_name": "q"}},
             {"name": "ann", "domain": {"id": "default"}}, {"name": "q", "domain": {"id": "default"}}),
            ({"identity": {"username": "bob", "password": "p", "project_name": "q"}},
             {"name": "bob", "domain": {"id": "default"}}, {"name": "q", "domain": {"id": "default"}}),
            ({"identity": {"admin_username": "root", "admin_password": "p", "admin_project_name": "q"}},
             {"name": "root", "domain": {"id": "default"}}, {"name": "q", "domain": {"id": "default"}}),
            ({"identity": {"password": "p", "project_name": "q", "domain_name": "D"}},
             {"name": "ann", "domain": {"name": "D"}}, {"name": "q", "domain": {"name": "D"}}),
            ({"identity": {"password": "p", "project_name": "q", "user_domain_name": "LDAP",
                           "project_domain_id": "default"}},
             {"name": "ann", "domain": {"name": "LDAP"}}, {"name": "q", "domain": {"id": "default"}}),
            ({"identity": {"password": "p", "project_id": "1", "user_domain_id": "ldap"}},
             {"name": "ann", "domain": {"id": "ldap"}}, {"id": "1"}),
            ({"account.1": {"username": "u1", "password": "p", "project_name": "q", "domain_name": "D"}},
             {"name": "u1", "domain": {"name": "D"}}, {"name": "q", "domain": {"name": "D"}}),
            ({"identity": {"user_id": "u-ann", "password": "p", "project_id": "1"}}, {"id": "u-ann"}, {"id": "1"}),
        ],
        ids=["defaults", "another-user", "old-admin", "one-domain", "two-domains", "ids", "account", "user-id"],
    )  # fmt: skip
    def test_signs_in_as_the_run_will(self, conf: Any, user: Any, scope: Any) -> None:
        token = http_server.as_json({"token": {"catalog": self.CATALOGUE}}, 201, **{"X-Subject-Token": "t"})
        with http_server.serving() as server:
            server.on("/v3/", self.KEYSTONE)
            server.on("/v3/auth/tokens", token)
            known = CloudRecord(Cloud(id=1, endpoint_v3=f"{server.url}/v2.0/", test_user="ann"))
            assert cloud_check.check(known, conf, LOOPBACK).ok
            sent = json.loads(server.asked[1].body)["auth"]
        assert sent["identity"]["password"]["user"] == {**user, "password": "p"}
        assert sent["scope"] == {"project": scope}

    @pytest.mark.parametrize(
        "conf",
        [
            {"identity": {"user_id": "u-bob", "password": "p", "project_id": "1"}},
            {"account.1": {"user_id": "u-bob", "password": "p", "project_id": "1"}},
        ],
        ids=["user", "account"],
    )
    def test_a_user_by_id_alone(self, conf: Any) -> None:
        token = http_server.as_json({"token": {"catalog": self.CATALOGUE}}, 201, **{"X-Subject-Token": "t"})
        with http_server.serving() as server:
            server.on("/v3/", self.KEYSTONE)
            server.on("/v3/auth/tokens", token, http_server.as_json({}, 401))
            known = CloudRecord(Cloud(id=1, endpoint_v3=f"{server.url}/v3"))
            assert "services: identity, object-store" in cloud_check.check(known, conf, LOOPBACK).said
            sent = json.loads(server.asked[1].body)["auth"]
            assert "refuses the password of u-bob" in cloud_check.check(known, conf, LOOPBACK).said
        assert sent["identity"]["password"]["user"] == {"id": "u-bob", "password": "p"}

    def test_a_second_factor(self) -> None:
        more = http_server.as_json({"receipt": {}}, 401, **{"Openstack-Auth-Receipt": "r"})
        found = self.check({"/v3/": self.KEYSTONE, "/v3/auth/tokens": more}, self.CONF)
        assert not found.ok and "asks for a second factor for ann" in found.said

    def test_entries_without_endpoints_type_or_region(self) -> None:
        nowhere = {"interface": "public", "region": None, "region_id": None, "url": "x"}
        catalogue = [*self.CATALOGUE, {"type": "dns"}, {"type": "compute", "endpoints": None},
                     {"type": None, "endpoints": [nowhere]}]  # fmt: skip
        token = http_server.as_json({"token": {"catalog": catalogue}}, 201, **{"X-Subject-Token": "t"})
        found = self.check({"/v3/": self.KEYSTONE, "/v3/auth/tokens": token}, self.CONF)
        assert found.ok and found.said.endswith("services: compute, dns, identity, object-store; region fra")

    def test_a_catalogue_without_services(self) -> None:
        token = http_server.as_json({"token": {"catalog": [{"type": None}]}}, 201, **{"X-Subject-Token": "t"})
        found = self.check({"/v3/": self.KEYSTONE, "/v3/auth/tokens": token}, self.CONF)
        assert "lists no services" in found.said and "no password" not in found.said and "None" not in found.said

    @pytest.mark.parametrize(
        "token",
        [
            {"catalog": 5},
            {"catalog": [5]},
            {"catalog": [{"type": "compute", "endpoints": [{"interface": "public"}]}]},
            {"catalog": {"a": 1}},
            [],
            ["x"],
        ],
        ids=str,
    )
    def test_nonsense_is_a_finding_and_no_fault(self, token: Any) -> None:
        answer = http_server.as_json({"token": token}, 201, **{"X-Subject-Token": "t"})
        found = self.check({"/v3/": self.KEYSTONE, "/v3/auth/tokens": answer}, self.CONF)
        assert not found.ok or token == []

    def test_json_that_is_nested_without_end(self) -> None:
        found = self.check({"/v3/": http_server.Reply(200, b"[" * 100_000)})
        assert not found.ok and "Keystone" in found.said


def test_one_token_holds_few_threads() -> None:
    with cloud_check.TURNS.turn("user 1"), cloud_check.TURNS.turn("user 1"):
        with pytest.raises(RefusedError, match="Too many"):
            with cloud_check.TURNS.turn("user 1"):
                pass
        with cloud_check.TURNS.turn("user 2"), cloud_check.TURNS.turn("user 2"):
            with pytest.raises(RefusedError, match="Too many"):
                with cloud_check.TURNS.turn("user 3"):
                    pass
    with cloud_check.TURNS.turn("user 1"):
        pass
