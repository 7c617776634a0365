"""Addresses of Gearman servers: what is none is refused when it is read, not when the daemon tries for ever."""

from __future__ import annotations

import pytest

from refstack_worker.errors import ConfigError
from refstack_worker.gearman import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("gearman.example", "gearman.example", 4730),
        (" gearman.example:4731 ", "gearman.example", 4731),
        ("10.0.0.1", "10.0.0.1", 4730),
        ("queue_1", "queue_1", 4730),
        ("1.pool.example.", "1.pool.example.", 4730),
        ("*", "*", 4730),
        ("::1", "::1", 4730),
        ("[::1]", "::1", 4730),
        ("[::1]:4731", "::1", 4731),
        ("fe80::1%lo", "fe80::1%lo", 4730),
        ("[fe80::1%lo]:1", "fe80::1%lo", 1),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1", 4730),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize(
    "text",
    ["tcp://127.0.0.1:4730", "a.example:4730,b.example:4730", "[::1", "a:b:c", "[a.example]:4730", "::1%", "a b", "",
     "a.example:0", "a.example:65536", "a.example:4730/", "[::1]4730", "http://a.example", "a.example:\u0664", "-x",
     "a..example", ".", "a.example..", "a" * 64, "a" * 64 + ".example", "255.255.255.256", "1.2.3.4.5", "10.0.1",
     "2130706433"],
)  # fmt: skip
def test_no_addresses(text: str) -> None:
    with pytest.raises(ConfigError, match="expected one host or host:port"):
        Address.parse(text)
