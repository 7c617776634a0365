"""The HTTP side: a Flask application over a ledger, for any WSGI server."""

from __future__ import annotations

import errno
import logging
import time
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from refstack_worker.errors import RefstackError, UsageError
from refstack_worker.server.api import responses as support
from refstack_worker.server.api.admin import AdminCalls
from refstack_worker.server.api.clouds import CloudCalls
from refstack_worker.server.api.events import Hub
from refstack_worker.server.api.guard import Guard
from refstack_worker.server.api.legacy import TesterCalls
from refstack_worker.server.api.responses import StreamedRequest, Surroundings
from refstack_worker.server.api.runs import RunCalls
from refstack_worker.server.api.users import UserCalls
from refstack_worker.server.api.worker import WorkerCalls
from refstack_worker.server.db import migrate
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.submitter import Queue, Submitter
from refstack_worker.server.web.admin import AdminPages
from refstack_worker.server.web.clouds import CloudPages
from refstack_worker.server.web.pages import Web
from refstack_worker.server.web.runs import RunPages
from refstack_worker.version import software_version

LOG = logging.getLogger(__name__)

STALE_SECONDS = 86400.0
"""Age at which an upload is no longer on its way: its process was killed."""
RETRY_SECONDS = 5
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def create_app(ledger: Ledger, queue: Queue | None = None) -> Flask:
    """Return the application.

    :param queue: gives runs to the queue as soon as they are recorded; None leaves that to a monitor elsewhere.
    """
    uploads = _uploads(ledger.settings.data)
    around = Surroundings(ledger, Submitter(ledger, queue), uploads)
    app = Flask("refstack_worker", static_folder=None)
    app.request_class = StreamedRequest
    app.config.update(
        UPLOADS=uploads,
        MAX_RESULT_BYTES=ledger.settings.web.max_result_bytes,
        MAX_CONTENT_LENGTH=ledger.settings.web.max_result_bytes + 2**20,
        MAX_FORM_MEMORY_SIZE=support.MAX_BODY,
    )
    hub = Hub(ledger, ledger.settings.web.event_streams)
    app.before_request(_check_query)
    guard = Guard(ledger)
    guard.register(app)
    for calls in (TesterCalls(around), WorkerCalls(around), RunCalls(around), AdminCalls(around)):
        calls.register(app)
    UserCalls(around, hub).register(app)
    CloudCalls(around).register(app)
    web = Web(around, guard)
    RunPages(web, hub)
    CloudPages(web)
    AdminPages(web)
    web.register(app)
    app.add_url_rule("/health", view_func=lambda: _health(ledger))
    app.register_error_handler(RefstackError, _domain_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _fault)
    app.after_request(_headers)
    return app


def _check_query() -> None:
    # Flask's own reading of it would be a fault of this program
    try:
        request.query_string.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("the query is not UTF-8; write what is not ASCII as %XX") from None


def _uploads(data: Path) -> Path:
    folder = data / "uploads"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in folder.iterdir():
        if file.is_file() and file.stat().st_mtime < time.time() - STALE_SECONDS:
            file.unlink(missing_ok=True)
    return folder


def _health(ledger: Ledger) -> Response:
    migrate.check(ledger.database)
    return jsonify({"status": "ok", "paused": ledger.queue.is_paused(), "version": software_version()})


def _answer(status: int, title: str, detail: str, reason: str) -> Response:
    if request.path.startswith("/v1/"):
        return support.problem(status, title, detail, reason)
    return support.failure(status, detail, reason)


def _domain_error(error: RefstackError) -> Response:
    status = support.status_of(error)
    if status >= 500:
        LOG.error("%s %s: %s", request.method, request.path, error)
    detail = "this server cannot do that now; its log says why" if status == 500 else str(error)
    answer = _answer(status, type(error).__name__.removesuffix("Error"), detail, error.reason)
    if status in (429, 503):
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _http_error(error: HTTPException) -> Any:
    if error.code is None or error.code < 400:
        return error
    reason = (error.name or "error").lower().replace(" ", "-")
    answer = _answer(error.code, error.name, error.description or error.name, reason)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer


def _fault(error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        LOG.error("%s %s: no room for it (%s); free some below DATA_FOLDER", request.method, request.path, error)
        answer = _answer(503, "DiskFull", "no room on this server's disk; ask again later", "disk-full")
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
        return answer
    # the traceback goes to the log, and nothing of it to whoever asked
    LOG.exception("%s %s: a fault of this program", request.method, request.path)
    return _answer(500, "Fault", "a fault of this server; its log says more", type(error).__name__.lower())


def _headers(answer: Response) -> Response:
    answer.headers.setdefault("Cache-Control", "no-store")
    answer.headers.setdefault("X-Content-Type-Options", "nosniff")
    return answer
