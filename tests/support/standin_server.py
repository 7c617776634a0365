"""A small RefStack server for the worker's tests: real HTTP, speaks docs/protocol.md, does as a test tells it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from refstack_worker.contract import attempt_token as proofs
from tests.support.quiet_server import QuietServer

HEARTBEAT = 0.2


@dataclass
class Attempt:
    """What the server knows of one attempt."""

    secret: str
    claim: str = ""
    claims: int = 0
    order: str = "go"
    superseded: bool = False
    states: list[tuple[str, str, str]] = field(default_factory=list)
    """State, reason and message of each report."""
    messages: list[str] = field(default_factory=list)
    beats: list[dict[str, Any]] = field(default_factory=list)
    console: list[dict[str, Any]] = field(default_factory=list)
    released: str = ""
    results: list[bytes] = field(default_factory=list)
    beats_before_thanks: int = 0
    """So many heartbeats are answered after the result is taken, before its sender gets the answer."""

    def is_secret_in(self, bearer: str) -> bool:
        """Whether who asks was given the job."""
        return proofs.split(bearer)[0] == self.secret

    def is_holders(self, bearer: str) -> bool:
        """Whether who asks holds the claim, too, once there is one."""
        return self.is_secret_in(bearer) and (not self.claim or proofs.is_marked(proofs.split(bearer)[1], self.claim))

    @property
    def state(self) -> str:
        """The last state that was reported, or ``finished`` with a result."""
        return "finished" if self.results else self.states[-1][0] if self.states else ""


class StandIn:
    """The state of the server; tests look at it and change it."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[int, int], Attempt] = {}
        self.nodes: list[bytes] = []
        self.node_reply: dict[str, Any] = {"seconds": 30}
        self.url = ""
        self.down = False
        """Answer 500 to everything."""
        self.refuse_results = False
        """Answer 503 to results alone."""
        self.lock = threading.Lock()
        self._beaten = threading.Condition(self.lock)
        self.calls: list[str] = []

    def expect(self, test_id: int, attempt: int, secret: str) -> Attempt:
        """Know an attempt from now on."""
        made = self.attempts[test_id, attempt] = Attempt(secret)
        return made

    def answer(self, path: str, body: bytes, bearer: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON for a call."""
        with self.lock:
            self.calls.append(path)
            if self.down:
                return 500, {"error": "down for a test"}
            if path.startswith("/worker/v1/nodes/"):
                self.nodes.append(body)
                return 200, self.node_reply
            found = re.fullmatch(r"/worker/v1/runs/(\d+)/attempts/(\d+)/(\w+)", path)
            if found:
                return self._worker_call(found[3], (int(found[1]), int(found[2])), json.loads(body), bearer)
            if path == "/update-test-status/":
                return self._status(json.loads(body), bearer)
            return 404, {"error": "nothing here", "reason": "not-found"}

    def post_result(self, question: dict[str, list[str]], body: bytes, bearer: str) -> tuple[int, dict[str, Any]]:
        """Take a result."""
        with self.lock:
            if self.down or self.refuse_results:
                return 503, {"error": "not now"}
            attempt = self.attempts[int(question["test_id"][0]), int(question["attempt"][0])]
            if not attempt.is_holders(bearer):
                return 403, {"error": "wrong proof", "reason": "wrong-proof"}
            if attempt.superseded:
                return 409, {"error": "superseded", "reason": "superseded"}
            attempt.results.append(body)
            enough = len(attempt.beats) + attempt.beats_before_thanks
            self._beaten.wait_for(lambda: len(attempt.beats) >= enough, 30)
            return 201, {"message": "thank you"}

    def _worker_call(self, call: str, key: tuple[int, int], body: Any, bearer: str) -> tuple[int, dict[str, Any]]:
        attempt = self.attempts.get(key)
        if attempt is None or not attempt.is_secret_in(bearer):
            return 403, {"error": "wrong proof", "reason": "wrong-proof"}
        if call == "claim":
            attempt.claims += 1
            if attempt.claim and attempt.claim != body["claim"]:
                return 409, {"error": "claimed", "reason": "claimed"}
            attempt.claim = body["claim"]
            return 200, {"heartbeat_seconds": HEARTBEAT, "state": "claimed"}
        if attempt.superseded or attempt.claim != body["claim"]:
            return 409, {"error": "superseded", "reason": "superseded"}
        if call == "heartbeat":
            attempt.beats.append({**body, "at": time.monotonic()})
            self._beaten.notify_all()
            order, reason = ("stop", "finished") if attempt.results else (attempt.order, "")
            return 200, {"order": order, "reason": reason, "heartbeat_seconds": HEARTBEAT}
        if call == "console":
            attempt.console += body["lines"][len(attempt.console) - body["first"] :]
            return 200, {"next": len(attempt.console), "seconds": HEARTBEAT, "full": False}
        attempt.released = body["reason"]
        attempt.superseded = True
        return 200, {}

    def _status(self, body: Any, bearer: str) -> tuple[int, dict[str, Any]]:
        attempt = self.attempts.get((int(body["test_id"]), int(body["attempt"])))
        if attempt is None or not attempt.is_holders(bearer) or attempt.superseded:
            return 405, {"error": "not allowed", "reason": "superseded"}
        if body.get("status"):
            attempt.states.append((body["status"], body.get("reason", ""), body.get("message", "")))
            if body["status"] in ("failed", "cancelled"):
                attempt.order = "stop"
        else:
            attempt.messages.append(body["message"])
        return 202, {}


@contextmanager
def serving() -> Iterator[StandIn]:
    """The server, for the length of the block."""
    standin = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if parts.path == "/post-result":
                status, answer = standin.post_result(parse_qs(parts.query), body, bearer)
            else:
                status, answer = standin.answer(parts.path, body, bearer)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = QuietServer(("127.0.0.1", 0), Handler)
    standin.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
