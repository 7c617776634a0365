"""Answers that take a while to give out: results as files, and live event streams."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from refstack_worker.errors import NotFoundError, RefstackError
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import subunit_v1
from refstack_worker.server.results.exports.formats import FORMATS, Format
from refstack_worker.server.results.exports.report import Pieces
from refstack_worker.server.services import access
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.serving.context import HttpContext
from refstack_worker.server.serving.events import Hub

_PIECE = 64 * 1024


@dataclass
class StreamReader:
    """Who follows runs, looked up again while the stream goes on: the token may be revoked, the user disabled."""

    ledger: Ledger
    caller: Caller
    token_now: Callable[[], Token | None]
    """Returns the token as it is now; None: it has ended."""

    def __post_init__(self) -> None:
        self.scope = access.scope_of(self.ledger, self.caller)

    def may_watch(self, test_id: int | None = None) -> bool:
        """Return whether the token is still good, and shows a run. :param test_id: None: any."""
        try:
            token = self.token_now()
            if token is None:
                return False
            self.scope = access.scope_of(self.ledger, Caller(token))
            if test_id is not None:
                access.visible_run(self.ledger, Caller(token), test_id)
        except NotFoundError:
            return False
        except RefstackError:
            return True  # the database cannot be asked: there is nothing new to show either
        return True

    def sees(self, run: Mapping[str, Any]) -> bool:
        """Return whether a run as the ledger has it is one of those that the stream of all tells of."""
        return self.scope is None or run["owner_id"] in self.scope.owner_ids


def event_stream(hub: Hub, reader: StreamReader, test_id: int, after: int = 0) -> Response:
    """Return the answer that follows a run. :param after: last message that the client has, unless it says itself."""
    account, last = reader.caller.token.account, _last_event(12) or after
    return _events(hub.stream(test_id, last, account, lambda: reader.may_watch(test_id)))


def all_runs_stream(hub: Hub, reader: StreamReader) -> Response:
    """Return the answer that follows the runs that a reader's token shows."""
    account = reader.caller.token.account
    return _events(hub.stream_all(reader.sees, _last_event(16), account, reader.may_watch))


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
