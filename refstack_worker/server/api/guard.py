"""What stands before every call of ``/v1``: how often somebody may call, and that who may only look changes nothing."""

from __future__ import annotations

import math

from flask import Flask, Response, request

from refstack_worker.server import auth
from refstack_worker.server.api.rate_limit import Limiter
from refstack_worker.server.api.responses import problem
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.tokens import digest

_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Counts calls by token, and wrong tokens by address."""

    def __init__(self, ledger: Ledger) -> None:
        users = ledger.settings.web
        self._ledger = ledger
        self._calls = Limiter(users.rate_limit)
        self.wrong = Limiter(users.sign_in_limit)

    def register(self, app: Flask) -> None:
        """Stand before the calls of an application."""
        app.before_request(self._before)
        app.after_request(self._after)

    def address(self) -> str:
        """Return by which name an address is counted."""
        return str(auth.client_address(request, self._ledger.settings.web.trusted_proxies) or "unknown")

    def _before(self) -> Response | None:
        if not request.path.startswith("/v1/"):
            return None
        secret = auth.bearer(request)
        if not secret:
            return None
        seconds = self.wrong.wait(self.address())
        if seconds > 0:
            return _too_many(seconds, "too many wrong tokens from this address")
        seconds = self._calls.take(digest(secret))
        if seconds > 0:
            return _too_many(seconds, "this token has made too many calls")
        if request.method not in _SAFE:
            # who has no good token is told so by the call itself
            token = auth.known_token(request, self._ledger)
            if token is not None:
                auth.Caller(token).need_writer()
        return None

    def _after(self, answer: Response) -> Response:
        if request.path.startswith("/v1/") and answer.status_code == 401 and auth.bearer(request):
            self.wrong.take(self.address())
        return answer


def _too_many(seconds: float, why: str) -> Response:
    answer = problem(429, "Too Many Requests", f"{why}; wait {math.ceil(seconds)} s", "too-many-requests")
    answer.headers["Retry-After"] = str(math.ceil(seconds))
    return answer
