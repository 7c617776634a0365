"""The commands' HTTP: every answer becomes the error of its kind; the token goes nowhere else."""

from __future__ import annotations

import argparse
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from refstack_worker import errors
from refstack_worker.cli import api_client
from refstack_worker.cli.api_client import Access, Api


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.command, self.path, dict(self.headers), None))
        self.answer()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.command, self.path, dict(self.headers), json.loads(body)))
        self.answer()

    def answer(self):
        answer = self.server.answers.pop(0)
        if answer is None:
            self.connection.close()
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.seen, running.answers = [], []
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def api(server, monkeypatch):
    monkeypatch.setattr(api_client, "PAUSES", (0.0, 0.0))
    with Api(Access(f"http://127.0.0.1:{server.server_port}", "rsq_secret")) as made:
        yield made


def problem(status, detail="why", reason="word", **headers):
    body = json.dumps({"title": "T", "status": status, "detail": detail, "reason": reason}).encode()
    return status, {"Content-Type": "application/problem+json", **headers}, body


OK = (200, {"Content-Type": "application/json"}, b'{"a": 1}')


def test_token_and_query(api, server):
    server.answers = [OK]
    assert api.get("/v1/runs", {"state": ["queued", "failed"], "limit": 5}) == {"a": 1}
    (_method, path, headers, _body) = server.seen[0]
    assert path == "/v1/runs?state=queued&state=failed&limit=5"
    assert headers["Authorization"] == "Bearer rsq_secret"


def test_netrc_does_not_replace_the_token(api, server, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answers = [OK]
    api.get("/v1/runs")
    assert server.seen[0][2]["Authorization"] == "Bearer rsq_secret"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.UsageError),
        (401, errors.RefusedError),
        (403, errors.RefusedError),
        (404, errors.NotFoundError),
        (409, errors.StateError),
        (413, errors.UsageError),
        (500, errors.ServerError),
        (503, errors.ServerError),
    ],
)
def test_answer_becomes_the_error_of_its_kind(api, server, status, kind):
    server.answers = [problem(status)]
    with pytest.raises(kind, match="why") as caught:
        api.get("/v1/runs/1")
    assert type(caught.value) is kind
    assert caught.value.reason == "word"


@pytest.mark.parametrize(
    "answer", [(200, {"Content-Type": "text/html"}, b"<html>"), (502, {}, b"<html>bad gateway"), (500, {}, b"[]")]
)
def test_nonsense_is_a_server_error(api, server, answer):
    server.answers = [answer]
    with pytest.raises(errors.ServerError):
        api.get("/v1/runs")


def test_redirect_is_not_followed(api, server):
    server.answers = [(302, {"Location": "http://127.0.0.1:9/"}, b"")]
    with pytest.raises(errors.ServerError, match="302"):
        api.get("/v1/runs")


def test_broken_connection_is_asked_again_where_that_is_safe(api, server):
    server.answers = [None, None, OK]
    assert api.get("/v1/runs") == {"a": 1}
    server.answers = [None, OK]
    assert api.post("/v1/runs", {"x": 1}, key="k") == {"a": 1}
    assert [seen[2]["Idempotency-Key"] for seen in server.seen[-2:]] == ["k", "k"]
    server.answers = [None, OK]
    with pytest.raises(errors.ServerError, match="cannot be reached"):
        api.post("/v1/runs/1/cancel")


def test_waits_when_the_server_says_so(api, server):
    server.answers = [problem(429, **{"Retry-After": "0"}), OK]
    assert api.get("/v1/runs") == {"a": 1}


def test_saves_a_stream(api, server):
    server.answers = [(200, {}, bytes(range(256)) * 1000)]
    out = io.BytesIO()
    assert api.save("/v1/runs/1/subunit", out) == 256_000
    assert out.getvalue() == bytes(range(256)) * 1000


def options(**given):
    return argparse.Namespace(**{"url": "http://h:1", "token_file": None, "ca_file": "", **given})


def test_access(tmp_path):
    token = tmp_path / "token"
    token.write_text("rsq_abc\n")
    assert api_client.access_of(options(token_file=token, url="https://h/")) == Access("https://h", "rsq_abc")
    for copied in ("https://h/v1", "https://h/v1/"):
        assert api_client.access_of(options(token_file=token, url=copied)).url == "https://h"
    assert "rsq_abc" not in repr(api_client.access_of(options(token_file=token)))


def test_a_token_that_others_can_read_is_pointed_out(tmp_path, caplog):
    token = tmp_path / "token"
    token.write_text("rsq_abc\n")
    token.chmod(0o600)
    api_client.access_of(options(token_file=token))
    assert not caplog.records
    token.chmod(0o644)
    api_client.access_of(options(token_file=token))
    assert "chmod 600" in caplog.text and "rsq_abc" not in caplog.text


@pytest.mark.parametrize("content", ["", "two words", "line\nline"])
def test_unusable_token_file(tmp_path, content):
    token = tmp_path / "token"
    token.write_text(content)
    with pytest.raises(errors.ConfigError, match="API token"):
        api_client.access_of(options(token_file=token))


@pytest.mark.parametrize("given", [{"url": ""}, {}, {"url": "ftp://h"}, {"url": "http://u:p@h"}])
def test_missing_or_malformed(given):
    with pytest.raises(errors.ConfigError):
        api_client.access_of(options(**given))
