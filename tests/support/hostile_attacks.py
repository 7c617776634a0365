"""What a hostile token does to the server; :mod:`tests.support.hostile` measures what the others feel of it."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from tests.support.hostile import Site

ANSWER_SECONDS = 60.0
"""A heartbeat or a call of the other vendor that takes longer has failed."""

_SPLIT_CONF = {"identity": {"password": "x"}, "auth": {"admin_username": "a", "admin_password": "x"}}
Attack = tuple[str, Callable[[threading.Event], int]]


def attacks(site: Site, cloud: int) -> list[Attack]:
    """Return what the hostile token does, each in as many threads as there are connections for it."""
    regexes = json.dumps({"tempest_version": "47.0.0", "testcases": {"regexes": ["(?i)" + "[!-~]" * 400] * 4},
                          "conf_json": {"x": {"my_key": "k" * 4000}}}).encode()  # fmt: skip
    nested = json.dumps({"text": "[" * 1_000_000}).encode()
    guideline = json.dumps({"text": json.dumps({"a": "x" * 3_000_000})}).encode()
    check = json.dumps({"conf_json": {"identity": {"password": "x"}}}).encode()
    dotted = json.dumps({"tempest_version": "47.0.0", "conf_json": {"a." * 38 + "X": {"no option!": 1}}}).encode()
    left_out = json.dumps({"tempest_version": "47.0.0", "exclude": [{"test": f"n{n}.{'x' * 400}"} for n in range(1000)],
                           "testcases": {"names": [f"n{n}" for n in range(1000)]}}).encode()  # fmt: skip
    many = json.dumps({"tempest_version": "47.0.0", "testcases": {"names": ["a"] * 200_000}}).encode()
    grows = b"".join(b"tags: t%d\n" % n for n in range(20_000)) + b"test: a\nsuccess: a\n" * 20_000
    taken_in = json.dumps({"tempest_version": "47.0.0", "content": base64.b64encode(grows).decode()}).encode()
    key = json.dumps({"private_key": _slow_key()}).encode()
    empty = b'{"text": "x", "more": [' + b"{}," * 2_900_000 + b"1]}"
    means_much = json.dumps({"text": _guideline_that_means_much(5000)}).encode()

    split = json.dumps({"tempest_version": "47.0.0", "shards": 2, "cloud_id": cloud, "conf_json": _SPLIT_CONF,
                        "testcases": {"regexes": [r"(.*.*.*.*.*)*zz$"]}}).encode()  # fmt: skip

    def call(method: str, path: str, body: bytes = b"") -> Callable[[threading.Event], int]:
        return lambda _stop: site.request(method, path, site.attacker, body)[0]

    return [
        ("check a cloud that drips", call("POST", f"/v1/clouds/{cloud}/check", check)),
        ("costly expressions", call("POST", "/v1/runs", regexes)),
        ("nested JSON", call("POST", "/v1/guidelines", nested)),
        ("a large guideline", call("POST", "/v1/guidelines", guideline)),
        ("read a result slowly", lambda stop: _slow(site, f"/v1/runs/{site.result}/subunit", stop)),
        ("follow a run", lambda stop: _slow(site, f"/v1/runs/{site.result}/exports/json", stop)),
        ("compare", call("GET", f"/v1/runs/{site.result}/compare/{site.result}")),
        ("announce a body", lambda stop: _announced(site, stop)),
        ("list", call("GET", "/v1/runs?q=a&limit=200")),
        ("wrong tokens", lambda _stop: site.request("GET", "/v1/me", "rsq_wrong")[0]),
        ("metrics", call("GET", "/metrics")),
        ("a name to be read in many ways", call("POST", "/v1/runs", dotted)),
        ("exclusions that multiply", call("POST", "/v1/runs", left_out)),
        ("many names", call("POST", "/v1/runs/check", many)),
        ("a result that grows", call("POST", "/v1/imports", taken_in)),
        ("a key that is slow to prove", call("PUT", "/v1/me/upload-key", key)),
        ("nine megabytes of empty objects", call("POST", "/v1/guidelines", empty)),
        ("a guideline that means much", call("POST", "/v1/guidelines", means_much)),
        ("runs that are slow to split", call("POST", "/v1/runs", split)),
        ("watch all runs", lambda stop: _slow(site, "/v1/events", stop)),
    ]


def _guideline_that_means_much(size: int) -> str:
    """A file whose programs all list the same."""
    capabilities: dict[str, Any] = {f"a{number}": {} for number in range(size)}
    return json.dumps(
        {
            "metadata": {"id": "x", "schema": "2.0"},
            "platforms": {f"p{number}": {"components": ["c"]} for number in range(size)},
            "components": {"c": {"capabilities": {"required": list(capabilities)}}},
            "capabilities": capabilities,
        }
    )


def _slow_key() -> str:
    """An RSA key of Mersenne primes: to prove them takes seconds."""
    p, q = 2**4423 - 1, 2**4253 - 1
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return numbers.private_key(unsafe_skip_rsa_key_validation=True).private_bytes(*form).decode()


def _slow(site: Site, path: str, stop: threading.Event) -> int:
    """Ask for something large and read a few bytes of it."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=ANSWER_SECONDS) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.attacker}\r\n\r\n"
        connection.sendall(head.encode())
        status = connection.recv(12)
        stop.wait(3)
    return int(status[9:12] or 0)


def _announced(site: Site, stop: threading.Event) -> int:
    """Announce a large body and send none of it."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=ANSWER_SECONDS) as connection:
        head = b"POST /v1/guidelines HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n"
        connection.sendall(head + b"x" * 100_000)
        stop.wait(3)
    return 0
