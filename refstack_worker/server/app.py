"""The HTTP side: a Flask application over a ledger, for any WSGI server."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import HTTPException, NotFound

from refstack_worker.config import server as config
from refstack_worker.errors import RefstackError, StateError, UsageError
from refstack_worker.filesystem import remove_tree
from refstack_worker.server.api.description import RESOURCES
from refstack_worker.server.api.legacy import LEGACY
from refstack_worker.server.api.openapi.document import document
from refstack_worker.server.api.operators.metrics import METRICS
from refstack_worker.server.api.worker import WORKER
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.rates import Rates
from refstack_worker.server.queue.client import QueueClient
from refstack_worker.server.queue.submitter import Queue, Submitter
from refstack_worker.server.services.health import HealthCheck
from refstack_worker.server.serving import responses
from refstack_worker.server.serving.context import HttpContext
from refstack_worker.server.serving.events import Hub
from refstack_worker.server.serving.guard import Guard
from refstack_worker.server.serving.rate_limit import Limiter, Limits
from refstack_worker.server.serving.responses import StreamedRequest
from refstack_worker.server.web import (
    accounts,
    admin,
    api_pages,
    clouds,
    guidelines,
    links,
    notifications,
    openid,
    operators,
    run,
    runs,
    schedules,
    sessions,
    tokens,
)
from refstack_worker.server.web.pages import WEB, error_page
from refstack_worker.version import software_version

LOG = logging.getLogger(__name__)

STALE_SECONDS = 86400.0
"""Age at which an upload, or what was being made of it, counts as abandoned, because its process was killed."""
RETRY_SECONDS = 5
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
PAGES = (
    accounts, admin, api_pages, clouds, guidelines, links, notifications, openid, operators, run, runs, schedules,
    sessions, tokens,
)  # fmt: skip
"""Modules that add their pages to the blueprint when they are imported."""


def application(file: str = "") -> Callable[..., Any]:
    """Return the WSGI application for a server such as gunicorn.

    :param file: ``refstack.cfg``; default: what ``REFSTACK_CFG`` names, or the usual place.
    """
    settings = config.load(Path(file) if file else None)
    made: Callable[..., Any] = create_app(Ledger(settings), QueueClient(settings))
    return made


def create_app(ledger: Ledger, queue: Queue | None = None, uploads: Path | None = None) -> Flask:
    """Return the application.

    :param queue: gives runs to the queue as soon as they are recorded; None leaves that to a monitor elsewhere.
    :param uploads: folder of results in transit; None: the one in ``DATA_FOLDER``, which is made.
    """
    context = _context(ledger, queue, uploads or _uploads(ledger.settings.data))
    app = Flask("refstack_worker", static_folder=None)
    app.request_class = StreamedRequest
    app.config.update(
        UPLOADS=context.uploads,
        MAX_RESULT_BYTES=ledger.settings.web.max_result_bytes,
        MAX_CONTENT_LENGTH=ledger.settings.web.max_post_bytes,
        MAX_FORM_MEMORY_SIZE=responses.MAX_BODY,
    )
    context.publish(app.extensions)
    context.requests.register(app)
    app.before_request(_check_query)
    Guard(context).register(app)
    for blueprint in (LEGACY, WORKER, *RESOURCES, METRICS, WEB):
        app.register_blueprint(blueprint)
    health = HealthCheck(ledger)
    app.add_url_rule("/health", view_func=lambda: _health(ledger, health))
    app.register_error_handler(RefstackError, _domain_error)
    app.register_error_handler(IntegrityError, _conflict)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    app.after_request(_headers)
    context.requests.begin_with_zero(app)
    return app


def _context(ledger: Ledger, queue: Queue | None, uploads: Path) -> HttpContext:
    web = ledger.settings.web
    rates = Rates(lambda: ledger.database, ledger.clock)
    limits = Limits(
        Limiter("token", rates, web.rate_limit), Limiter("wrong", rates, web.sign_in_limit), Limiter("form", rates, 1)
    )
    return HttpContext(
        ledger,
        Submitter(ledger, queue),
        Hub(ledger, web.event_streams),
        limits,
        uploads,
        lambda: document(RESOURCES, web.address),
    )


def _check_query() -> None:
    # Flask's own reading of it would be a fault of this program
    try:
        request.query_string.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("the query is not UTF-8; write what is not ASCII as %XX") from None


def _uploads(data: Path) -> Path:
    folder = data / "uploads"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process removes the same, or its upload has ended
            if path.lstat().st_mtime < time.time() - STALE_SECONDS:
                remove_tree(path) if path.is_dir() else path.unlink()
    return folder


def _health(ledger: Ledger, health: HealthCheck) -> Response:
    health.check()
    return jsonify({"status": "ok", "paused": ledger.queue.is_paused(), "version": software_version()})


def _answer(status: int, detail: str, reason: str) -> Response:
    if request.path.startswith("/v1/"):
        return responses.problem(status, detail, reason)
    if request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html":
        return error_page(status, detail)
    return responses.failure(status, detail, reason)


def _domain_error(error: RefstackError) -> Response:
    status = responses.status_of(error)
    if status >= 500:
        LOG.error("%s %s: %s", request.method, request.path, error)
    if request.path.startswith("/v1/"):
        answer = responses.problem_of(error)
    else:
        detail = "The server can't do that now; see its log." if status == 500 else str(error)
        answer = _answer(status, detail, error.reason)
    if status in (429, 503):
        answer.headers.setdefault("Retry-After", str(RETRY_SECONDS))
    return answer


def _conflict(error: IntegrityError) -> Response:
    """Answer a request whose run, cloud or user another one removed between the look at it and the change."""
    if request.blueprint in (LEGACY.name, WORKER.name):
        return _fault(error)  # nodes try again
    LOG.warning("%s %s: %s", request.method, request.path, error.orig)
    return _domain_error(StateError("What this is about was changed or removed at the same time. Look at it again."))


def _http_error(error: HTTPException) -> Any:
    if error.code is None or error.code < 400:
        return error
    reason = (error.name or "error").lower().replace(" ", "-")
    detail = error.description or error.name
    if isinstance(error, NotFound):
        # programs with a base URL that leads elsewhere show this, too
        where = request.path if request.path.isprintable() else "this address"
        detail = f"There is nothing at {where[:200]} on this server. Is the URL right?"
    answer = _answer(error.code, detail, reason)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer


def _fault(error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        LOG.error("%s %s: the disk is full (%s); free up space below DATA_FOLDER", request.method, request.path, error)
        answer = _answer(503, "The server's disk is full. Try again later.", "disk-full")
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
        return answer
    if isinstance(error, MemoryError):
        LOG.error("%s %s: out of memory", request.method, request.path)
        answer = _answer(503, "The server is out of memory. Try again later.", "out-of-memory")
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
        return answer
    # the traceback goes to the log, and nothing of it to the caller
    LOG.exception("%s %s: unexpected error", request.method, request.path)
    return _answer(500, "Unexpected error; see the server's log.", type(error).__name__.lower())


def _headers(answer: Response) -> Response:
    answer.headers.setdefault("Cache-Control", "no-store")
    answer.headers.setdefault("X-Content-Type-Options", "nosniff")
    return answer
