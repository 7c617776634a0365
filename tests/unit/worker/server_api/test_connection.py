from __future__ import annotations

import ssl
import threading
from pathlib import Path

import pytest

from refstack_worker.config.worker import ServerLinkSettings
from refstack_worker.errors import RefusedError, ServerError
from refstack_worker.worker.server_api.connection import ServerConnection
from tests.support.certificate_authority import Authority
from tests.support.http_server import Reply, Scripted, as_json, serving


def test_a_server_that_is_not_there_says_what_is_wrong() -> None:
    http = ServerConnection("http://127.0.0.1:1", ServerLinkSettings())
    with pytest.raises(ServerError, match="connection refused; is the server running"):
        http.post("/x", {})
    with pytest.raises(ServerError, match="host name does not resolve"):
        ServerConnection("http://no.such.host.invalid", ServerLinkSettings()).post("/x", {})


def test_an_untrusted_certificate_names_the_setting_that_helps(tmp_path: Path, link: ServerLinkSettings) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority.create(tmp_path / "private").issue("server", "IP:127.0.0.1"))
    with serving(context) as server:
        said = "its certificate is not trusted here; set server.ca_file to its certificate authority"
        with pytest.raises(ServerError, match=f"^{server.url}/x: {said}$"):
            ServerConnection(server.url, link).post("/x", {})


def test_a_proxys_page_names_the_proxy_as_a_suspect(server: Scripted, link: ServerLinkSettings) -> None:
    server.on("/x", Reply(200, b"<html>"), Reply(403, b"<html>"))
    connection = ServerConnection(server.url, link)
    with pytest.raises(ServerError, match=r"unexpected response 200 \(not a JSON object\); is a proxy in between"):
        connection.post("/x", {})
    with pytest.raises(ServerError, match="unexpected response 403"):
        connection.post("/x", {})


def test_a_refusal_is_final(server: Scripted, link: ServerLinkSettings) -> None:
    server.on("/x", as_json({"error": "taken", "reason": "claimed"}, 409))
    with pytest.raises(RefusedError, match="refused with 409: taken"):
        ServerConnection(server.url, link).post_with_retries("/x", {}, 60.0)
    assert len(server.asked) == 1


def test_a_retry_that_was_given_up_raises_the_last_failure(server: Scripted, link: ServerLinkSettings) -> None:
    server.on("/x", Reply(503))
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(ServerError, match="response 503"):
        ServerConnection(server.url, link).post_with_retries("/x", {}, 600.0, given_up)
