"""What all pages share: the way from a session to a view, forms, and how times are shown. Server-rendered; scripts
only make pages livelier.

Every form carries a value that only its session knows, so that no other site can send it.
"""

from __future__ import annotations

import functools
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union
from urllib.parse import quote, urlencode, urlsplit

from flask import (
    Blueprint,
    Response,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    send_from_directory,
)
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from refstack_worker.contract.states import status_text
from refstack_worker.errors import NotFoundError, RefstackError
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.services import access
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import FieldError
from refstack_worker.server.services.inputs.schema import MAX_ID
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.guard import cost_of_body
from refstack_worker.server.serving.responses import limit, status_of
from refstack_worker.server.web import session_keys, words

Answer = Union[str, AnyResponse]
ShowForm = Callable[..., Answer]
"""Takes what was typed, the errors, and the numbers in the path by name."""
Keeps = Callable[[Mapping[str, str]], Mapping[str, str]]
"""Takes what was typed and returns what of it is shown again; nothing: the form need not be."""

FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Nothing from elsewhere, nothing inline."""
MAX_FORM = 5 * 1024 * 1024
"""Bytes of a form: a guideline file is the largest thing in one."""
MAX_SIGN_IN = 64 * 1024
"""Bytes of the sign-in form: a token, and what was typed into the form that a session's end interrupted."""
_ROOM = MAX_SIGN_IN - 4096
"""For what was typed: next to it are a token and a path."""


@dataclass(frozen=True)
class _Form:
    show: ShowForm
    keeps: Keeps


_FORMS: dict[str, _Form] = {}
"""Rule of the path to which a form is sent, to what shows it again with what was typed."""

_EXPIRED = "Your session has expired. Sign in again"
_KEPT = "your entries are kept, except for passwords and files."
_TOO_LONG = (
    "Your session has expired, and your entries are too long to be kept here. Sign in in another tab, go back to the "
    "form in this one, and submit it again."
)

WEB = Blueprint("web", __name__, template_folder=str(FOLDER / "templates"))


def page(method: str, rule: str, is_form: bool = True) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Make a function the view of a page for those who are signed in; its form is checked before.

    :param is_form: whether sending it changes something, which a read-only token may not.
    """

    def decorate(view: Callable[..., Answer]) -> Callable[..., Answer]:
        @functools.wraps(view)
        def guarded(**arguments: Any) -> Answer:
            if method == "POST":
                limit(MAX_FORM)
            secret = request.cookies.get(session_keys.COOKIE, "")
            session = context().ledger.sessions.find(secret) if secret else None
            if session is None:
                return _ask_to_sign_in(method)
            g.caller, g.form_key = Caller(session.token), session_keys.form_key(secret)
            g.actor = session.token
            check_ids(arguments)
            count_call(session.token)
            if method == "POST" and not hmac.compare_digest(
                request.form.get("form_key", "").encode(), g.form_key.encode()
            ):
                return _other_session()
            if method == "POST" and is_form:
                g.caller.need_writer()
            return view(**arguments)

        WEB.add_url_rule(rule, f"{view.__name__}_{method.lower()}", guarded, methods=[method])
        return view

    return decorate


def form(rule: str, keeps: Keeps = dict) -> Callable[[ShowForm], ShowForm]:
    """Register what shows a form again, with what was typed and what is wrong with it.

    :param rule: of the path to which the form is sent.
    :param keeps: what of the entries is shown again; default: all.
    """

    def decorate(show: ShowForm) -> ShowForm:
        _FORMS[rule] = _Form(show, keeps)
        return show

    return decorate


def show(template: str, **values: Any) -> str:
    notice = context().ledger.notices.current()
    return render_template(template, caller=g.caller, form_key=g.form_key, notice=notice, **values)


def show_kept(path: str, kept: Mapping[str, str], *errors: FieldError) -> Answer | None:
    """Return a form with what was typed before; None: there is no such form."""
    rule, arguments = _matched(path, "POST")
    known = _FORMS.get(rule)
    if known is None or not kept:
        return None
    check_ids(arguments)
    return known.show(kept, errors, **arguments)


def page_of(path: str) -> str:
    """Return the page to which a path belongs: itself, or the one above it that a browser can open."""
    posted = _matched(path, "POST")[0]
    # GET /fleet/announce would be the page of a node with this name
    if not posted or posted == _matched(path, "GET")[0]:
        return path
    above = path.rpartition("/")[0]
    while above and not _matched(above, "GET")[0]:
        above = above.rpartition("/")[0]
    return above or "/"


def check_ids(arguments: Mapping[str, Any]) -> None:
    """Check the numbers in a path before they reach the database. :raises NotFoundError: nothing has such a number."""
    if any(isinstance(value, int) and not 0 < value <= MAX_ID for value in arguments.values()):
        raise NotFoundError("There is nothing with this number.")


def caller() -> Caller:
    """Return who is signed in."""
    found: Caller = g.caller
    return found


def scope() -> Any:
    """Return what the caller sees; None: everything."""
    return access.scope_of(context().ledger, caller())


def is_from_here() -> bool:
    """Return whether a page of this site sent the form, as far as a browser tells: programs say nothing."""
    origin = request.headers.get("Origin", "")
    hosts = (request.host, urlsplit(context().settings.web.address).netloc)
    try:
        return not origin or urlsplit(origin).netloc in hosts
    except ValueError:  # such as http://[
        return False


def typed() -> dict[str, str]:
    """Return what was typed into the form of this request, without passwords and the form's key."""
    return {
        # of checkboxes that share a name, each value counts
        name: " ".join(request.form.getlist(name))
        for name in request.form
        if "password" not in name and name not in ("form_key", "next", "accounts")
    }


def local_path(path: str) -> str:
    """Return a path of this site to go on to, with its query; nothing for any other address."""
    is_plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if is_plain and len(path) < 500 and "//" not in path else ""


def _matched(path: str, method: str) -> tuple[str, Mapping[str, Any]]:
    """Return the rule that a path and a method match, and the arguments in the path; an empty rule: none."""
    try:
        rule, arguments = current_app.url_map.bind("localhost").match(urlsplit(path).path, method, return_rule=True)
    except HTTPException:
        return "", {}
    return rule.rule, arguments


def count_call(token: Token) -> None:
    """Count a page or form as a call. :raises RefusedError: reason ``busy``: too many calls."""
    allowance = context().limits.calls.take(token.account, 1 + cost_of_body())
    if allowance is not None and allowance.wait:
        raise refused("busy", f"You have made too many requests. Wait {allowance.wait:.0f} seconds.")


def _ask_to_sign_in(method: str) -> Answer:
    if method == "GET":
        path = request.full_path.rstrip("?")
        return redirect(f"/sign-in?next={quote(local_path(path))}")
    if not is_from_here() or not request.headers.get("Origin"):
        return redirect("/sign-in", 303)
    path, kept, provider = local_path(request.path), _kept_entries(), context().settings.sign_in
    if kept:
        # without the provider, from whom a browser comes back without the entries
        fits = _size(kept) <= _ROOM
        wrong = f"{_EXPIRED}: {_KEPT}" if fits else _TOO_LONG
        values = {"after": path, "kept": kept if fits else {}, "provider": "", "wrong": wrong}
    else:
        name = provider.name if provider.is_on else ""
        values = {"after": page_of(path), "kept": {}, "provider": name, "wrong": f"{_EXPIRED}, then repeat the action."}
    return make_response(render_template("sign_in.html", caller=None, **values), 401)


def _kept_entries() -> Mapping[str, str]:
    """Return what was typed into the form of this request and is shown again; nothing if its form is not."""
    known = _FORMS.get(_matched(local_path(request.path), "POST")[0])
    return known.keeps(typed()) if known else {}


def _size(kept: Mapping[str, str]) -> int:
    """Return how many bytes of a form these entries are; browsers send the end of a line as two characters."""
    fields = {f"kept:{name}": re.sub(r"\r?\n", "\r\n", value) for name, value in kept.items()}
    return len(urlencode(fields))


def _other_session() -> Answer:
    message = "You signed in again in another tab. Your entries are kept: submit again."
    kept = _kept_entries() if is_from_here() else {}
    again = show_kept(request.path, kept, FieldError("", message))
    if again is None:
        raise refused("scope", "You signed in again in another tab. Go back, reload the page and submit again.")
    return make_response(again, 403)


@WEB.errorhandler(RefstackError)
def show_error(error: RefstackError) -> Answer:
    status = status_of(error)
    said = "The server can't do that now; see its log." if status == 500 else str(error)
    return error_page(status, said)


def error_page(status: int, said: str) -> Response:
    """Return the page for a request that failed."""
    values = {"caller": g.get("caller"), "form_key": g.get("form_key", "")}
    answer = make_response(render_template("error.html", said=said, status=status, **values), status)
    return add_headers(answer)


@WEB.get("/static/<path:name>")
def static(name: str) -> Response:
    """Return a file that pages load."""
    answer = send_from_directory(FOLDER / "static", name)
    answer.headers["Cache-Control"] = "public, max-age=3600"
    return answer


@WEB.after_request
def add_headers(answer: Response) -> Response:
    """Add the headers that all pages have."""
    answer.headers.setdefault("Content-Security-Policy", POLICY)
    answer.headers.setdefault("Referrer-Policy", "same-origin")
    return answer


WEB.add_app_template_filter(status_text)
for _name in ("moment", "clock_time", "lasting", "ago", "stamp", "plural", "state_word", "field_name"):
    WEB.add_app_template_filter(getattr(words, _name), _name)
