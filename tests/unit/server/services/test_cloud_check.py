from __future__ import annotations

import ipaddress
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
        assert not found.ok and "refuses the password of ann" in found.said and "secret-pw" not in found.said
        found = self.check({"/v3/": http_server.HTML})
        assert not found.ok and "not as Keystone" in found.said

    @pytest.mark.parametrize(
        "token",
        [
            {"catalog": 5},
            {"catalog": [5]},
            {"catalog": [{"type": "compute"}]},
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
    with cloud_check.turn(1), cloud_check.turn(1):
        with pytest.raises(RefusedError, match="Too many"):
            with cloud_check.turn(1):
                pass
        with cloud_check.turn(2), cloud_check.turn(2):
            with pytest.raises(RefusedError, match="Too many"):
                with cloud_check.turn(3):
                    pass
    with cloud_check.turn(1):
        pass
