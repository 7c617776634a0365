"""``/v1/nodes``, ``/v1/queue``, ``/v1/tokens``: what operators look at and switch."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request

from refstack_worker.errors import UsageError
from refstack_worker.server import auth
from refstack_worker.server.api.responses import MAX_ID, Surroundings, json_body, number, text
from refstack_worker.server.api.serializers import node_json, token_json


class AdminCalls:
    """What needs the scope ``operator``."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._ledger = around.ledger

    def register(self, app: Flask) -> None:
        """Add the calls to an application."""
        rules: tuple[tuple[str, str, Any], ...] = (
            ("GET", "/v1/nodes", self.nodes),
            ("GET", "/v1/queue", self.queue),
            ("POST", "/v1/queue/pause", self.pause),
            ("POST", "/v1/queue/resume", self.resume),
            ("GET", "/v1/tokens", self.tokens),
            ("POST", "/v1/tokens", self.add_token),
            ("DELETE", "/v1/tokens/<int:token_id>", self.revoke_token),
        )
        for method, path, view in rules:
            app.add_url_rule(path, f"admin.{view.__name__}", view, methods=[method])

    def nodes(self) -> Response:
        """List the nodes."""
        self._operator()
        return jsonify({"nodes": [node_json(node) for node in self._ledger.nodes.all()]})

    def queue(self) -> Response:
        """Tell whether the queue is paused, and how many runs there are in each state."""
        self._operator()
        return self._state()

    def pause(self) -> Response:
        """Stop giving runs to workers."""
        self._ledger.queue.pause(self._operator().name)
        return self._state()

    def resume(self) -> Response:
        """Go on giving runs to workers."""
        self._ledger.queue.resume(self._operator().name)
        self._around.nudge()
        return self._state()

    def tokens(self) -> Response:
        """List the API tokens."""
        self._operator()
        return jsonify({"tokens": [token_json(token) for token in self._ledger.tokens.all()]})

    def add_token(self) -> Response:
        """Make an API token; its secret is shown this once."""
        self._operator()
        body = json_body()
        scopes = body.get("scopes", [auth.VENDOR])
        if not isinstance(scopes, list) or not scopes or not all(scope in auth.SCOPES for scope in scopes):
            raise UsageError(f"scopes: a list of {' and '.join(auth.SCOPES)} is expected")
        user_id = None if body.get("user_id") is None else number(body["user_id"], "user_id", 1, MAX_ID)
        days = number(body.get("days", 0), "days", 0, 3650)
        expires_at = self._ledger.clock() + days * 86400 if days else 0.0
        token, secret = self._ledger.tokens.add(text(body, "name", 200, needed=True), scopes, user_id, expires_at)
        answer = jsonify({**token_json(token), "token": secret})
        answer.status_code = 201
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def revoke_token(self, token_id: int) -> Response:
        """End an API token."""
        self._operator()
        self._ledger.tokens.revoke(number(token_id, "token_id", 1, MAX_ID))
        return Response(status=204)

    def _operator(self) -> auth.Caller:
        caller = auth.caller(request, self._ledger)
        caller.need_operator()
        return caller

    def _state(self) -> Response:
        return jsonify({"paused": self._ledger.queue.is_paused(), "runs": self._ledger.queue.count_states()})
