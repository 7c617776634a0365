"""Answers that take a while to give out: results as files, and live event streams."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import Response, request

from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.results import subunit_v1
from refstack_worker.server.results.exports.formats import FORMATS, Format
from refstack_worker.server.results.exports.report import Pieces
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.serving.context import HttpContext
from refstack_worker.server.serving.events import Hub

_PIECE = 64 * 1024


def event_stream(hub: Hub, caller: Caller, test_id: int, after: int = 0) -> Response:
    """Return the answer that follows a run. :param after: last message that the client has, unless it says itself."""
    return _events(hub.stream(test_id, _last_event(12) or after, caller.token.account))


def all_runs_stream(hub: Hub, caller: Caller, scope: AccessScope | None) -> Response:
    """Return the answer that follows the runs of a scope's users. :param scope: None: everybody's."""

    def is_visible(run: Mapping[str, Any]) -> bool:
        return scope is None or run["owner_id"] in scope.owner_ids

    return _events(hub.stream_all(is_visible, _last_event(16), caller.token.account))


def _last_event(digits: int) -> int:
    last = request.headers.get("Last-Event-ID", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) < digits else 0


def _events(events: Iterator[str]) -> Response:
    answer = Response(events, mimetype="text/event-stream")
    answer.headers["Cache-Control"] = "no-cache"
    # nginx would keep the events back until its buffer is full
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


def subunit_file(context: HttpContext, caller: Caller, test_id: int) -> Response:
    """Return the subunit stream of a run that the caller sees."""
    context.ledger.results.get(test_id)
    pieces = context.downloads.of(caller.token.account, context.ledger.results.stream(test_id))
    answer = Response(pieces, mimetype="application/vnd.subunit")
    answer.headers["Content-Disposition"] = f"attachment; filename=run-{test_id}.subunit"
    return answer


def subunit_v1_file(context: HttpContext, caller: Caller, test_id: int) -> Response:
    """Return the same as version 1, which RefStack of 2014 and ``refstack-client upload-subunit`` read."""
    context.ledger.results.get(test_id)
    pieces = context.downloads.of(caller.token.account, _as_v1(context.ledger.results.stream(test_id)))
    answer = Response(pieces.begin(), mimetype="application/x-subunit")
    answer.headers["Content-Disposition"] = f"attachment; filename=run-{test_id}.v1.subunit"
    return answer


def log_file(context: HttpContext, caller: Caller, test_id: int) -> Response:
    """Return Tempest's own log of a run that the caller sees."""
    pieces = context.downloads.of(caller.token.account, context.ledger.results.log(test_id))
    answer = Response(pieces, mimetype="text/plain")
    answer.headers["Content-Disposition"] = f"attachment; filename=run-{test_id}.tempest.log"
    return answer


def _as_v1(pieces: Iterable[bytes]) -> Iterator[bytes]:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out:
        for piece in pieces:
            source.write(piece)
        source.seek(0)
        subunit_v1.to_v1(source, out)
        out.seek(0)
        while piece := out.read(_PIECE):
            yield piece


def _exported(context: HttpContext, caller: Caller, test_id: int, made: Format) -> Pieces:
    yield from made.make(context.runs.exported(caller, test_id))


def exported_file(context: HttpContext, caller: Caller, test_id: int, name: str) -> Response:
    """Return the result of a run in one of :data:`FORMATS`."""
    made = FORMATS[name]
    # the verdict, too, is only read by one who has a place
    pieces = context.downloads.of(caller.token.account, _exported(context, caller, test_id, made))
    answer = Response(pieces.begin(), mimetype=made.mimetype)
    answer.headers["Content-Disposition"] = f"attachment; filename=run-{test_id}.{made.suffix}"
    # the one-file page brings its style with it and nothing else
    answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return answer
