from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from refstack_worker.http.session import HttpSession, cause, read_body
from tests.support.certificate_authority import Authority
from tests.support.http_server import Reply, Scripted, as_json, serving


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as running:
        yield running


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / ".netrc"
    path.write_text("machine 127.0.0.1 login other password stolen\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    return path


def authorizations(server: Scripted) -> list[str | None]:
    return [request.headers.get("Authorization") for request in server.asked]


def test_the_token_goes_with_each_request_and_netrc_does_not_replace_it(server: Scripted, netrc: Path) -> None:
    server.on("/x", as_json({"a": 1}), as_json({"a": 2}))
    session = HttpSession("secret-token")
    for expected in (1, 2):
        with session.response("GET", f"{server.url}/x", 5) as response:
            assert json.loads(read_body(response, 100, 5)) == {"a": expected}
    session.close()
    assert authorizations(server) == ["Bearer secret-token"] * 2


def test_a_public_server_gets_no_token_but_netrc(server: Scripted, netrc: Path) -> None:
    with HttpSession("secret-token", is_public=True).response("GET", f"{server.url}/x", 5) as response:
        assert response.status_code == 404
    assert authorizations(server)[0].startswith("Basic ")


@pytest.mark.parametrize("is_public", [False, True])
def test_only_a_public_servers_redirect_is_followed(server: Scripted, is_public: bool) -> None:
    server.on("/x", Reply(302, headers={"Location": "/y"}))
    server.on("/y", as_json({}))
    with HttpSession("secret-token", is_public=is_public).response("GET", f"{server.url}/x", 5) as response:
        assert response.status_code == (200 if is_public else 302)
    assert len(server.asked) == (2 if is_public else 1)


def test_a_private_authority_wins_over_the_environment(
    server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "environment.pem"))
    session = HttpSession(ca_file=str(tmp_path / "own.pem"))
    with pytest.raises(OSError, match=r"own\.pem"), session.response("GET", "https://127.0.0.1:9/", 5):
        pass


def test_the_environments_authority_counts_where_there_is_no_private_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "environment.pem"))
    with pytest.raises(OSError, match=r"environment\.pem"), HttpSession().response("GET", "https://127.0.0.1:9/", 5):
        pass


@pytest.mark.parametrize("is_public", [False, True])
def test_the_systems_authorities_are_trusted_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_public: bool
) -> None:
    """Installed with pip, requests brings its own list, which lacks what was added to the system."""
    authority = Authority.create(tmp_path / "system")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", "IP:127.0.0.1"))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))  # where OpenSSL looks for the system's
    with serving(context) as server:
        server.on("/x", as_json({"a": 1}))
        with HttpSession(is_public=is_public).response("GET", f"{server.url}/x", 5) as response:
            assert response.status_code == 200


def test_the_environments_proxy_is_used_and_read_once_for_each_server(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read it for each call took a third of the call's time."""
    server.on("http://elsewhere.example/x", as_json({}), as_json({}))
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    read = []
    proxies = requests.utils.get_environ_proxies
    monkeypatch.setattr(requests.utils, "get_environ_proxies", lambda *of: read.append(of[0]) or proxies(*of))
    monkeypatch.setattr(requests.sessions, "get_environ_proxies", lambda url, **more: read.append(url) or proxies(url))
    session = HttpSession("secret-token")
    for url in ("http://elsewhere.example/x", f"{server.url}/y", "http://elsewhere.example/x"):
        with session.response("GET", url, 5):
            pass
    session.close()
    assert read == ["http://elsewhere.example", server.url]
    assert [asked.path for asked in server.asked] == ["http://elsewhere.example/x", "/y", "http://elsewhere.example/x"]


def test_a_large_or_slow_body_is_broken_off(server: Scripted) -> None:
    server.on("/x", Reply(body=b"x" * 1000))
    with HttpSession().response("GET", f"{server.url}/x", 5) as response:
        with pytest.raises(OSError, match="more than 999 bytes"):
            read_body(response, 999, 5)
    with HttpSession().response("GET", f"{server.url}/x", 5) as response:
        with pytest.raises(TimeoutError, match="timed out"):
            read_body(response, 1000, -1)


def test_a_refused_connection_in_one_phrase() -> None:
    with pytest.raises(requests.ConnectionError) as caught, HttpSession().response("GET", "http://127.0.0.1:9/", 5):
        pass
    assert cause(caught.value) == "connection refused; is the server running?"


@pytest.mark.parametrize(
    ("error", "phrase"),
    [
        (OSError("[SSL: CERTIFICATE_VERIFY_FAILED] …"), "its certificate is not trusted here"),
        (OSError("[Errno -2] Name or service not known"), "the host name does not resolve"),
        (requests.Timeout("read timed out"), "no response in time"),
        (OSError("a: b: something\nelse"), "something else"),
        (OSError(), "OSError"),
    ],
)
def test_other_causes(error: Exception, phrase: str) -> None:
    assert cause(error) == phrase


def test_a_proxy_that_does_not_connect_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(requests.RequestException) as raised:
        HttpSession().response("GET", "http://refstack.example/", 1).__enter__()
    assert cause(raised.value).startswith("by way of the proxy that the environment names: connection refused")
    refused = requests.exceptions.ProxyError("(Caused by ProxyError('…', OSError('Tunnel failed: 403 Forbidden')))")
    assert cause(refused) == "by way of the proxy that the environment names: 403 Forbidden"


@pytest.mark.parametrize("host", ["queue..example", "a" * 64 + ".example"])
def test_a_name_that_can_be_no_name_is_a_failed_request(host: str) -> None:
    """urllib3 raises another kind of error for it, which no caller expects."""
    with pytest.raises(requests.RequestException) as raised:
        HttpSession().response("GET", f"http://{host}/", 1).__enter__()
    assert "label empty or too long" in cause(raised.value)


def test_a_compressed_body_is_not_asked_for_and_never_unpacked(server: Scripted) -> None:
    bomb = gzip.compress(gzip.compress(bytes(1 << 26)))
    server.on("/bomb", Reply(200, bomb, {"Content-Encoding": "gzip, gzip"}))
    session = HttpSession()
    with pytest.raises(requests.RequestException, match="compressed"), session.response("GET", f"{server.url}/bomb", 5):
        pass
    session.close()
    assert {asked.headers["Accept-Encoding"] for asked in server.asked} == {"identity"}
