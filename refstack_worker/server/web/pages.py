"""The pages for a browser: sign-in, sessions, what all pages share. Server-rendered; scripts only make them livelier.

A browser signs in with an API token and gets a session of its own; the token itself is not kept in it. Every form
carries a value that only this session knows, so that no other site can send it.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Union
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, g, make_response, redirect, render_template, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

from refstack_worker.errors import RefstackError, UsageError
from refstack_worker.server import auth
from refstack_worker.server.api.guard import Guard
from refstack_worker.server.api.responses import Surroundings, status_of
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.services.runs import RunService

Answer = Union[str, AnyResponse]

COOKIE = "refstack_session"
FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Nothing from elsewhere, nothing inline."""
MAX_FORM = 5 * 1024 * 1024
"""Bytes of a form: a guideline file is the largest thing in one."""


class Web:
    """What the groups of pages share."""

    def __init__(self, around: Surroundings, guard: Guard) -> None:
        self.around = around
        self.ledger = around.ledger
        self.desk = RunService(around.ledger, around.nudge)
        self._guard = guard
        self.pages = Blueprint("web", __name__, template_folder=str(FOLDER / "templates"))

    def register(self, app: Flask) -> None:
        """Add the pages to an application; the groups of pages have added theirs to ``pages`` before."""
        self.page("GET", "/", lambda: redirect("/runs"), "home")
        self.pages.add_url_rule("/sign-in", "sign_in", self._sign_in, methods=["GET", "POST"])
        self.page("POST", "/sign-out", self._sign_out)
        self.pages.add_url_rule("/static/<path:name>", "static", _static)
        self.pages.register_error_handler(RefstackError, self._failed)
        self.pages.after_request(_headers)
        self.pages.app_template_filter("moment")(moment)
        self.pages.app_template_filter("lasting")(lasting)
        app.register_blueprint(self.pages)

    def page(self, method: str, path: str, view: Callable[..., Answer], name: str = "") -> None:
        """Add a page that only who is signed in may see; its forms are checked before the view is called."""

        def guarded(**arguments: Any) -> Answer:
            secret = request.cookies.get(COOKIE, "")
            session = self.ledger.sessions.find(secret) if secret else None
            if session is None:
                return redirect(f"/sign-in?next={_next(request.path)}") if method == "GET" else _expired()
            g.caller, g.form_key = auth.Caller(session.token), _form_key(secret)
            if method == "POST":
                self._check_form()
            return view(**arguments)

        label = name or view.__name__.strip("_")
        self.pages.add_url_rule(path, f"{label}_{method.lower()}", guarded, methods=[method])

    def show(self, template: str, **values: Any) -> str:
        """Return a page."""
        return render_template(template, caller=g.caller, form_key=g.form_key, **values)

    def _check_form(self) -> None:
        if (request.content_length or 0) > MAX_FORM:
            raise UsageError("the form is too large")
        if not hmac.compare_digest(request.form.get("form_key", "").encode(), g.form_key.encode()):
            raise refused("scope", "the form is from another session; load the page again")
        g.caller.need_writer()

    def _sign_in(self) -> Answer:
        if request.method == "GET":
            return render_template("sign_in.html", caller=None, after=_next(request.args.get("next", "")), wrong="")
        if not self._is_from_here():
            # else a site could sign somebody in as somebody else, who then reads what is entered here
            raise refused("scope", "the form is from another site; open this page itself and sign in there")
        after = _next(request.form.get("next", ""))
        address = self._guard.address()
        seconds = self._guard.wrong.wait(address)
        if seconds > 0:
            wrong = f"Too many attempts from your address. Please wait {math.ceil(seconds)} seconds."
            return make_response(render_template("sign_in.html", caller=None, after=after, wrong=wrong), 429)
        token = self.ledger.tokens.find(request.form.get("token", "").strip())
        if token is None or not set(token.scopes) & set(auth.SCOPES):
            self._guard.wrong.take(address)
            wrong = "That token is unknown, revoked or expired."
            return make_response(render_template("sign_in.html", caller=None, after=after, wrong=wrong), 401)
        answer = redirect(after or "/runs")
        answer.set_cookie(
            COOKIE,
            self.ledger.sessions.add(token),
            max_age=int(self.ledger.settings.web.session_hours * 3600),
            httponly=True,
            # Lax, so that a link to a run in a mail works; forms have their own protection
            samesite="Lax",
            secure=self.ledger.settings.web.address.startswith("https:"),
        )
        return answer

    def _is_from_here(self) -> bool:
        """Return whether a page of this site sent the form, as far as a browser tells: programs say nothing."""
        origin = request.headers.get("Origin", "")
        return not origin or urlsplit(origin).netloc in (
            request.host,
            urlsplit(self.ledger.settings.web.address).netloc,
        )

    def _sign_out(self) -> Answer:
        self.ledger.sessions.end(request.cookies.get(COOKIE, ""))
        answer = redirect("/sign-in")
        answer.delete_cookie(COOKIE)
        return answer

    def _failed(self, error: RefstackError) -> Answer:
        status = status_of(error)
        said = "This server cannot do that now; its log says why." if status == 500 else str(error)
        caller = getattr(g, "caller", None)
        shown = render_template(
            "error.html", caller=caller, form_key=getattr(g, "form_key", ""), said=said, status=status
        )
        return make_response(shown, status)


def moment(seconds: float) -> str:
    """Return a time for people, UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M") if seconds else "–"


def lasting(seconds: float) -> str:
    """Return a duration for people."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _form_key(secret: str) -> str:
    return hashlib.sha256(f"form {secret}".encode()).hexdigest()


def _next(path: str) -> str:
    """Return a path of this site to go on to; nothing for any other address."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "?" not in path
    return path if plain and len(path) < 200 else ""


def _expired() -> Answer:
    return redirect("/sign-in", 303)


def _static(name: str) -> Response:
    answer = send_from_directory(FOLDER / "static", name)
    answer.headers["Cache-Control"] = "public, max-age=3600"
    return answer


def _headers(answer: Response) -> Response:
    answer.headers.setdefault("Content-Security-Policy", POLICY)
    answer.headers.setdefault("Referrer-Policy", "same-origin")
    return answer
