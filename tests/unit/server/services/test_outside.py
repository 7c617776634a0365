from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from refstack_worker.errors import ServerError, UsageError
from refstack_worker.server.api.rate_limit import Limiter
from refstack_worker.server.domain.clouds import Cloud, CloudRecord
from refstack_worker.server.services import cloud_check, outside
from refstack_worker.server.services.outside import Question
from tests.support import http_server
from tests.support.ledgers import Clock

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class TestAllowed:
    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.1", "fe80::1",
         "fd00::1", "224.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "100.64.0.1", "localhost", "0x7f.1", "2130706433"],
    )  # fmt: skip
    def test_no_way_into_the_operators_network(self, host: str) -> None:
        with pytest.raises(UsageError, match="not a public address"):
            outside.allowed_address(host, 80, ())

    def test_public_ones_and_allowed_ones(self) -> None:
        assert outside.allowed_address("8.8.8.8", 443, ()) == "8.8.8.8"
        assert outside.allowed_address("127.0.0.1", 80, LOOPBACK) == "127.0.0.1"

    def test_one_private_address_among_public_ones_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def two(*_: Any, **__: Any) -> list[Any]:
            return [(2, 1, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        with pytest.raises(UsageError, match=r"10\.0\.0\.1"):
            outside.allowed_address("two.example", 80, ())

    @pytest.mark.parametrize(
        "url",
        ["", "x", "ftp://a/", "file:///etc/passwd", "http://", "http://a:b@c/", "http://a b/", "http://a:0/", "http://a:99999/",
         "gopher://a/", "http://[::1", "http://a/\r\nX: y"],
    )  # fmt: skip
    def test_addresses_that_are_none(self, url: str) -> None:
        with pytest.raises(UsageError):
            outside.ask(Question(url))


class TestAsk:
    def test_the_connection_goes_to_the_address_that_was_checked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def rebinding(host: str, *_: Any, **__: Any) -> list[Any]:
            asked.append(host)
            return [(2, 1, 6, "", ("127.0.0.1" if len(asked) == 1 else "127.9.9.9", 80))]

        with http_server.serving() as server:
            server.on("/x", http_server.as_json({"here": True}))
            port = server.url.rpartition(":")[2]
            real = socket.getaddrinfo
            monkeypatch.setattr(
                socket, "getaddrinfo", lambda host, *a, **k: rebinding(host) if "ample" in host else real(host, *a, **k)
            )
            answer = outside.ask(Question(f"http://rebinding.example:{port}/x"), LOOPBACK)
        assert answer.json() == {"here": True} and asked == ["rebinding.example"]

    def test_redirects_are_not_followed(self) -> None:
        with http_server.serving() as server:
            server.on("/x", http_server.as_json({}, 302, Location="http://169.254.169.254/"))
            assert outside.ask(Question(f"{server.url}/x"), LOOPBACK).status == 302

    def test_an_answer_that_is_too_large(self) -> None:
        with http_server.serving() as server:
            server.on("/x", http_server.Reply(200, b"x" * (outside.MAX_BYTES + 1)))
            with pytest.raises(ServerError, match="larger"):
                outside.ask(Question(f"{server.url}/x"), LOOPBACK)

    def test_nobody_there(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        with pytest.raises(ServerError, match="no answer"):
            outside.ask(Question(f"http://127.0.0.1:{port}/"), LOOPBACK)


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
        said = self.check({"/v3/": self.KEYSTONE})
        assert said.ok and "Identity API v3.14" in said.said and "no password" in said.said

    def test_with_services_and_region(self) -> None:
        token = http_server.as_json({"token": {"catalog": self.CATALOGUE}}, 201, **{"X-Subject-Token": "t"})
        said = self.check({"/v3/": self.KEYSTONE, "/v3/auth/tokens": token}, self.CONF, region="fra", release="2025.1")
        assert said.ok and "services: identity, object-store" in said.said and "2025.1" in said.said
        assert not self.check({"/v3/": self.KEYSTONE, "/v3/auth/tokens": token}, self.CONF, region="ams").ok

    def test_a_wrong_password_and_no_keystone(self) -> None:
        refused = {"/v3/": self.KEYSTONE, "/v3/auth/tokens": http_server.as_json({}, 401)}
        said = self.check(refused, self.CONF)
        assert not said.ok and "refuses the password of ann" in said.said and "secret-pw" not in said.said
        said = self.check({"/v3/": http_server.HTML})
        assert not said.ok and "not as Keystone" in said.said


class TestLimiter:
    def test_so_many_a_minute_and_again_after_a_while(self) -> None:
        clock = Clock()
        limiter = Limiter(6, clock)
        assert [limiter.take("a") for _ in range(6)] == [0.0] * 6
        assert limiter.take("a") == pytest.approx(10)
        assert limiter.take("b") == 0
        clock.forward(10)
        assert limiter.wait("a") == 0
        assert limiter.take("a") == 0
        assert limiter.wait("a") > 0

    def test_no_limit(self) -> None:
        limiter = Limiter(0)
        assert not any(limiter.take("a") for _ in range(1000))
