"""A simulated RefStack server and cloud for one self-test run, both on loopback.

The RefStack half implements ``docs/protocol.md`` and requires the attempt's token for each call. The cloud half
implements as much of the identity API (v3) as Tempest's discovery tests and the login of one user need.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from refstack_worker.contract import attempt_token as proofs
from refstack_worker.contract.heartbeat import HeartbeatAnswer, HeartbeatReply
from refstack_worker.contract.payload import new_secret

TEST_ID = 1
USER = "selftest"
REGION = "selftest"
HEARTBEAT_SECONDS = 1.0
MAX_BODY = 64 * 2**20
UPDATED = "2018-02-28T00:00:00Z"
EXPIRES = "2099-01-01T00:00:00.000000Z"


@dataclass
class SelfTestRecord:
    """Everything that the run sent to the server."""

    claims: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """Test counts in the posted summary."""
    console: list[dict[str, Any]] = field(default_factory=list)
    """Lines of the live console."""
    result_bytes: int = 0
    refused: list[str] = field(default_factory=list)
    """Paths of calls without the right token."""


class SelfTestServer(ThreadingHTTPServer):
    """RefStack server and cloud in one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = new_secret()
        self.password = secrets.token_urlsafe(16)
        self.record = SelfTestRecord()

    @property
    def url(self) -> str:
        """Base URL of the server and of Keystone."""
        return f"http://127.0.0.1:{self.server_port}"

    def conf(self) -> dict[str, dict[str, Any]]:
        """Return the Tempest options of a run against this cloud."""
        identity = {"uri_v3": f"{self.url}/v3", "auth_version": "v3", "username": USER, "password": self.password}
        return {"identity": identity}


@contextmanager
def serving() -> Iterator[SelfTestServer]:
    """Yield a server that runs while the context lasts."""
    with SelfTestServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="self-test server", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: SelfTestServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        path = urlsplit(self.path).path.rstrip("/")
        if path == "":
            self._answer(300, {"versions": {"values": [_version(self.server.url)]}})
        elif path == "/v3":
            self._answer(200, {"version": _version(self.server.url)})
        elif path in ("/get-miniconf", "/get-testcases"):
            self._proved({"testcases": []} if path.endswith("testcases") else {})
        else:
            self._answer(404, {"error": f"{path}: not found", "reason": "not-found"})

    def do_POST(self) -> None:  # noqa: N802 - the library's name
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY))
        parts = urlsplit(self.path)
        path = parts.path.rstrip("/")
        if path == "/v3/auth/tokens":
            self._log_in(json.loads(body))
        elif path == "/post-result":
            self._result(body, parse_qs(parts.query))
        elif path == "/update-test-status":
            self._status(json.loads(body))
        elif path.endswith("/claim"):
            self.server.record.claims.append(str(json.loads(body).get("claim")))
            self._proved({"heartbeat_seconds": HEARTBEAT_SECONDS, "state": "claimed"})
        elif path.endswith("/console"):
            self._console(json.loads(body))
        elif path.endswith("/heartbeat"):
            self._proved(HeartbeatAnswer(HeartbeatReply.GO, heartbeat_seconds=HEARTBEAT_SECONDS).to_json())
        else:
            self._proved({})

    def _status(self, report: dict[str, Any]) -> None:
        record = self.server.record
        record.states += [str(report["status"])] if report.get("status") else []
        record.messages += [str(report["message"])] if report.get("message") else []
        self._proved({}, 202)

    def _console(self, batch: dict[str, Any]) -> None:
        lines = self.server.record.console
        lines += batch["lines"][len(lines) - batch["first"] :]
        self._proved({"next": len(lines), "seconds": HEARTBEAT_SECONDS, "full": False})

    def _result(self, body: bytes, query: dict[str, list[str]]) -> None:
        _, _, rest = body.partition(b'name="summary"')
        _, _, text = rest.partition(b"\r\n\r\n")
        try:
            summary = json.loads(text.partition(b"\r\n--")[0])
        except ValueError:
            summary = {}
        if self._is_proved() and query.get("test_id") == [str(TEST_ID)]:
            self.server.record.result_bytes = len(body)
            self.server.record.counts = dict(summary.get("counts", {}))
        self._proved({"message": "accepted", "test_id": TEST_ID, "attempt": 1}, 201)

    def _log_in(self, body: dict[str, Any]) -> None:
        user = body.get("auth", {}).get("identity", {}).get("password", {}).get("user", {})
        if not secrets.compare_digest(str(user.get("password")).encode(), self.server.password.encode()):
            self._answer(401, {"error": {"code": 401, "title": "Unauthorized", "message": "wrong password"}})
            return
        self._answer(201, {"token": _token(self.server.url)}, {"X-Subject-Token": secrets.token_hex(16)})

    def _is_proved(self) -> bool:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        secret, mark = proofs.split(token)
        is_ours = kind == "Bearer" and secrets.compare_digest(secret.encode(), self.server.secret.encode())
        return is_ours and all(proofs.is_marked(mark, claim_id) for claim_id in self.server.record.claims[:1])

    def _proved(self, value: Any, status: int = 200) -> None:
        if self._is_proved():
            self._answer(status, value)
        else:
            self.server.record.refused.append(self.path)
            self._answer(401, {"error": "the token of the attempt is missing", "reason": "no-proof"})

    def _answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Vary": "X-Auth-Token", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: :class:`SelfTestRecord` keeps what matters."""


def _version(url: str) -> dict[str, Any]:
    media = [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]
    links = [{"rel": "self", "href": f"{url}/v3/"}]
    return {"id": "v3.14", "status": "stable", "updated": UPDATED, "links": links, "media-types": media}


def _token(url: str) -> dict[str, Any]:
    domain = {"id": "default", "name": "Default"}
    interfaces = ("public", "internal", "admin")
    endpoints = [
        {"id": name, "interface": name, "url": f"{url}/v3", "region": REGION, "region_id": REGION}
        for name in interfaces
    ]
    return {
        "methods": ["password"],
        "user": {"id": "1" * 32, "name": USER, "domain": domain, "password_expires_at": None},  # nosec B105 - never expires
        "project": {"id": "2" * 32, "name": USER, "domain": domain},
        "is_domain": False,
        "roles": [{"id": "3" * 32, "name": "member"}],
        "catalog": [{"id": "4" * 32, "type": "identity", "name": "keystone", "endpoints": endpoints}],
        "audit_ids": ["selftest"],
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": EXPIRES,
    }
