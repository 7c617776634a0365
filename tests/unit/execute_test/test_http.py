"""Requests over real connections."""

from __future__ import annotations

import gzip
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from refstack_worker.contract import networks
from refstack_worker.execute_test.http import MAX_VALUES, Denied, HttpClient, HttpResponse, Unavailable
from tests.support.certificate_authority import Authority
from tests.support.http_server import Reply, Scripted, as_json, serving


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


@contextmanager
def tls_server(folder: Path, name: str) -> Iterator[tuple[Scripted, Path]]:
    """A server with a certificate for a name, and the authority that signed it."""
    authority = Authority.create(folder / "ca")
    certificate, key = authority.issue("cloud", name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context) as server:
        server.otherwise = lambda asked: as_json({})
        yield server, authority.pem


def test_certificates_of_this_machine_count_for_a_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_server(tmp_path, "IP:127.0.0.1") as (server, authority):
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            HttpClient(proxy="").request("GET", f"{server.url}/v3")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert HttpClient(proxy="").request("GET", f"{server.url}/v3").status == 200
        monkeypatch.delenv("SSL_CERT_FILE")
        assert HttpClient(str(authority), proxy="").request("GET", f"{server.url}/v3").status == 200
        assert HttpClient(False, proxy="").request("GET", f"{server.url}/v3").status == 200


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_server(tmp_path, "DNS:other.example") as (server, authority):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        with pytest.raises(Unavailable, match="doesn't match|mismatch"):
            HttpClient(proxy="").request("GET", f"{server.url}/v3")


def test_refused_connection_is_reported_without_names_of_classes() -> None:
    with pytest.raises(Unavailable) as caught:
        HttpClient().request("GET", "http://127.0.0.1:9/x")
    assert "Connection refused" in str(caught.value)
    assert "_Checked" not in str(caught.value) and "object at" not in str(caught.value)


def test_a_password_in_an_address_is_not_reported(server: Scripted) -> None:
    with pytest.raises(Unavailable, match="127.0.0.1:9/x: ") as caught:
        HttpClient().request("GET", "http://admin:S3cretPw@127.0.0.1:9/x")
    assert "S3cretPw" not in str(caught.value)
    server.on("/v3", Reply(302, headers={"Location": "http://admin:S3cretPw@k/v3?token=S3cretPw"}))
    with pytest.raises(Denied, match="redirects to http://k/v3; ") as refused:
        HttpClient().request("GET", f"{server.url}/v3")
    assert "S3cretPw" not in str(refused.value)


def test_an_answer_that_would_fill_the_memory_is_not_parsed() -> None:
    many = HttpResponse(200, {}, b"[" + b"{}," * MAX_VALUES + b"{}]", "http://cloud.example")
    with pytest.raises(Unavailable, match="JSON values"):
        many.json()


def test_a_compressed_answer_of_a_cloud_is_not_unpacked(server: Scripted) -> None:
    bomb = gzip.compress(gzip.compress(bytes(1 << 26)))
    server.on("/bomb", Reply(200, bomb, {"Content-Encoding": "gzip, gzip"}))
    with pytest.raises(Denied, match="compressed"):
        HttpClient().request("GET", f"{server.url}/bomb")
    assert server.asked[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "address",
    ["http://u:S3c#ret@h:1/", "http://u:S3c/ret@h:1/", "http://u:S3cret@[::1/", "http:/u:S3cret@h", "u:S3cret@h/"],
)
def test_an_address_that_cannot_be_read_does_not_show_its_password(address: str) -> None:
    for url, proxy in ((address, ""), ("http://127.0.0.1:1/", address)):
        with pytest.raises((Denied, Unavailable)) as refused:
            HttpClient(proxy=proxy).request("GET", url)
        assert "S3c" not in str(refused.value)
