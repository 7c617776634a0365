"""Requests to servers whose addresses users gave: never inside, never for longer than the deadline."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
import tracemalloc
from typing import Any

import pytest

from refstack_worker.contract.networks import METADATA_NETWORKS
from refstack_worker.errors import ServerError, UsageError
from refstack_worker.http import guard
from refstack_worker.http.guard import GuardedRequest, OutboundGuard
from tests.support import http_server
from tests.support.dripping import HEAD, dripping

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class TestAllowed:
    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.1",
         "fe80::1", "fd00::1", "224.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "100.64.0.1",
         "168.63.129.16", "192.0.0.192", "64:ff9b:1::7f00:1", "fec0::1", "::127.0.0.1", "localhost",
         "0x7f.1", "2130706433", "192.88.99.1",
         # IPv4 inside IPv6: translated (SIIT), ISATAP; overlays, segment routing, documentation, nothing assigned
         "::ffff:0:10.0.0.1", "2600:1234::5efe:10.0.0.1", "2600:1234::200:5efe:10.0.0.1", "200::1", "5f00::1",
         "3fff::1", "2001:20::1", "4000::1", "e000::1", "fd20:ce::254"],
    )  # fmt: skip
    def test_no_way_into_the_operators_network(self, host: str) -> None:
        with pytest.raises(UsageError, match="private address"):
            guard.allowed_address(host, 80, OutboundGuard())

    def test_public_ones_and_allowed_ones(self) -> None:
        assert guard.allowed_address("8.8.8.8", 443, OutboundGuard()) == "8.8.8.8"
        assert guard.allowed_address("2606:4700::6810:84e5", 443, OutboundGuard()) == "2606:4700::6810:84e5"
        assert guard.allowed_address("127.0.0.1", 80, OutboundGuard(LOOPBACK)) == "127.0.0.1"

    @pytest.mark.parametrize(
        "host", ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "64:ff9b::a9fe:a9fe", "fe80::a9fe:a9fe"]
    )
    def test_a_wide_network_that_is_allowed_does_not_include_metadata_services(self, host: str) -> None:
        wide = tuple(ipaddress.ip_network(text) for text in ("0.0.0.0/0", "::/0"))
        assert guard.allowed_address("fd00::1", 80, OutboundGuard(wide)) == "fd00::1"
        with pytest.raises(UsageError, match="It is never asked"):
            guard.allowed_address(host, 80, OutboundGuard(wide))

    def test_one_private_address_among_public_ones_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def two(*_: Any, **__: Any) -> list[Any]:
            return [(2, 1, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        with pytest.raises(UsageError, match=r"10\.0\.0\.1"):
            guard.allowed_address("two.example", 80, OutboundGuard())

    @pytest.mark.parametrize("network", METADATA_NETWORKS)
    def test_metadata_services_are_not_public_in_any_form(self, network: str) -> None:
        assert guard.is_never_public(str(ipaddress.ip_network(network)[0]))

    @pytest.mark.parametrize(
        "url",
        ["", "x", "ftp://a/", "file:///etc/passwd", "http://", "http://a:b@c/", "http://a b/", "http://a:0/", "http://a:99999/",
         "gopher://a/", "http://[::1", "http://a/\r\nX: y"],
    )  # fmt: skip
    def test_addresses_that_are_none(self, url: str) -> None:
        with pytest.raises(UsageError):
            guard.ask_guarded(GuardedRequest(url), OutboundGuard())


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
            answer = guard.ask_guarded(GuardedRequest(f"http://rebinding.example:{port}/x"), OutboundGuard(LOOPBACK))
        assert answer.json() == {"here": True} and asked == ["rebinding.example"]

    def test_redirects_are_not_followed(self) -> None:
        with http_server.serving() as server:
            server.on("/x", http_server.as_json({}, 302, Location="http://169.254.169.254/"))
            assert guard.ask_guarded(GuardedRequest(f"{server.url}/x"), OutboundGuard(LOOPBACK)).status == 302

    def test_an_answer_that_is_too_large(self) -> None:
        with http_server.serving() as server:
            server.on("/x", http_server.Reply(200, b"x" * (guard.MAX_BYTES + 1)))
            with pytest.raises(ServerError, match="larger"):
                guard.ask_guarded(GuardedRequest(f"{server.url}/x"), OutboundGuard(LOOPBACK))

    def test_nobody_there(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        with pytest.raises(ServerError, match="no answer"):
            guard.ask_guarded(GuardedRequest(f"http://127.0.0.1:{port}/"), OutboundGuard(LOOPBACK))


@pytest.mark.parametrize("head", [HEAD, b"HTTP/1.1 200 OK\r\nX-Long: ", b""], ids=repr)
def test_a_server_that_drips_holds_nobody_beyond_the_deadline(head: bytes) -> None:
    began = time.monotonic()
    with dripping(head) as url, pytest.raises(ServerError, match="took too long|timed out"):
        guard.ask_guarded(GuardedRequest(f"{url}/"), OutboundGuard(LOOPBACK, guard.Deadline(0.5)))
    # each byte came in time for a limit between two pieces, and a limit for all of them was kept
    assert time.monotonic() - began < 10


def test_a_resolver_that_is_silent_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(30) and [])
    with pytest.raises(ServerError, match="can't be resolved"):
        guard.allowed_address("slow.example", 80, OutboundGuard(deadline=guard.Deadline(0.2)))
    release.set()


class TestHarmfulAnswers:
    def test_an_answer_of_too_many_values_is_refused_unparsed(self) -> None:
        answer = guard.Answer(200, {}, b"[" + b"{}," * (guard.MAX_VALUES + 1) + b"1]")
        tracemalloc.start()
        with pytest.raises(ServerError, match="values"):
            answer.json()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * len(answer.body)

    def test_tiny_pieces_take_no_more_memory_than_the_answer(self) -> None:
        body = b"2\r\nab\r\n" * 100_000 + b"0\r\n\r\n"
        reply = http_server.Reply(200, body, {"Transfer-Encoding": "chunked"})
        with http_server.serving() as server:
            server.on("/x", reply)
            tracemalloc.start()
            answer = guard.ask_guarded(GuardedRequest(f"{server.url}/x"), OutboundGuard(LOOPBACK))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert answer.body == b"ab" * 100_000
        # as a list of pieces it would be 4 MB
        assert peak < 2_500_000

    def test_a_path_that_is_not_ascii_is_escaped(self) -> None:
        with http_server.serving() as server:
            server.on("/caf%C3%A9%20", http_server.as_json({"here": True}))
            answer = guard.ask_guarded(GuardedRequest(f"{server.url}/café%20"), OutboundGuard(LOOPBACK))
        assert answer.json() == {"here": True}
