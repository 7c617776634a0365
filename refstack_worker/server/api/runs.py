"""``/v1/runs``: create, list, look at, cancel, rerun, delete."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from flask import Response, g, jsonify, request

from refstack_worker.contract.states import RunState
from refstack_worker.errors import RefstackError, StateError
from refstack_worker.server import auth
from refstack_worker.server.api.links import next_page
from refstack_worker.server.api.openapi.schemas import (
    EVENT_STREAM,
    NEXT,
    RUN,
    STATE,
    page,
    reference,
)
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import attempt_json, message_json, place_json, run_json, shard_json
from refstack_worker.server.domain.runs import Run, RunQuery
from refstack_worker.server.ledger.overview import RunFacts
from refstack_worker.server.queue.capacity import place
from refstack_worker.server.services.inputs.moments import moment
from refstack_worker.server.services.inputs.run_input import NEW_RUN, RERUN
from refstack_worker.server.services.inputs.schema import ID, array, integer, string
from refstack_worker.server.services.preflight import preflight, warnings_for
from refstack_worker.server.serving.files import StreamReader, all_runs_stream, event_stream
from refstack_worker.server.serving.guard import audit_entry

MAX_RUNS = 200
MAX_MESSAGES = 1000
MAX_CONSOLE_LINES = 2000
RUNS = Resource("runs", "Start, watch and cancel runs.")
_ONE = "/v1/runs/<int:test_id>"
_KEY = {
    "Idempotency-Key": string(180, pattern="^[!-~]{1,180}$", **{"x-expected": "must be printable ASCII without blanks"})
}
_EXAMPLE = {
    "cloud_id": 3,
    "tempest_version": "47.0.0",
    "guideline": {"name": "2020.06", "program": "OpenStack Powered Storage"},
    "label": "nightly",
}


@RUNS.call(
    "POST",
    "/v1/runs",
    Who.WRITER,
    {201: reference("CreatedRun")},
    (404, 409, 413, 422),
    Takes(NEW_RUN, "NewRun", _EXAMPLE, headers=_KEY, cost=5),
)
def create_run(call: Call) -> Response:
    """Start a run.

    It is queued until a node is free. The same `Idempotency-Key` with the same body returns the run that the first
    request made; with another body it is refused (422). `warnings` lists likely problems.
    """
    entry = None
    # without it now, the guard records it after the run
    with suppress(RefstackError):
        entry = audit_entry(call.context, call.caller.token)
    recorded = call.context.runs.start(call.caller, call.body, _key(), entry)
    g.is_audited = recorded.is_audited
    run = recorded.run
    # what it is judged by stands beside it; nothing else can stand beside a new one
    is_plain = recorded.is_new and "guideline" not in call.body
    facts = call.ledger.overview.facts_of_new(run.owner_id) if is_plain else None
    return _created(call, run, {"warnings": list(warnings_for(call.ledger, call.caller, call.body))}, facts)


@RUNS.call(
    "POST",
    "/v1/runs/check",
    Who.WRITER,
    {200: reference("Check")},
    (404, 413),
    Takes(NEW_RUN, "NewRun", _EXAMPLE, cost=5),
)
def check_run(call: Call) -> Response:
    """Check a run for likely problems without starting it.

    What would certainly make it fail (no password, no such version) is refused (400); other problems are warnings.
    With passwords it inspects the cloud for at most 10 seconds, and changes nothing there.
    """
    found = preflight(call.ledger, call.caller, call.body)
    return jsonify({"warnings": list(found.warnings), "outlook": found.outlook})


@RUNS.call(
    "GET",
    "/v1/runs",
    Who.TOKEN,
    {200: page("runs", "Run", "next_before")},
    takes=Takes(
        query={
            "state": array(STATE, description="One or several, separated by commas"),
            "q": string(200, description="Part of the name, of the cloud's name, or of who started it"),
            "tempest_version": string(40),
            "worker": string(200, description="Name of a node"),
            "cloud_id": ID,
            "program": string(200, description="Program that the run is evaluated against, in full or its last words"),
            "vendor_id": {**ID, "description": "Runs of this vendor's users"},
            "since": string(40, description="Created at this date or time or later, e.g. 2026-11-25T21:36:00Z"),
            "until": string(40, description="Created before"),
            "before": integer(0, 2**31 - 1, description="Only runs with lower numbers: the next page"),
            "limit": integer(1, MAX_RUNS),
        }
    ),
)
def list_runs(call: Call) -> Response:
    """List the runs that the caller can see, newest first."""
    given = call.query
    query = RunQuery(
        states=tuple(RunState(name) for name in given.get("state", ())),
        scope=call.scope,
        cloud_id=given.get("cloud_id"),
        tempest_version=given.get("tempest_version", ""),
        worker=given.get("worker", ""),
        text=given.get("q", ""),
        program=given.get("program", ""),
        vendor_id=given.get("vendor_id"),
        since=moment(given.get("since", ""), "since"),
        until=moment(given.get("until", ""), "until"),
        before=given.get("before", 0),
        limit=given.get("limit", 50),
    )
    runs = call.ledger.runs.find(query)
    more = runs[-1].test_id if len(runs) == query.limit else None
    return next_page({"runs": call.runs_json(runs), "next_before": more}, "before", more)


@RUNS.call(
    "GET",
    _ONE,
    Who.TOKEN,
    {200: RUN, 304: None},
    (404,),
    Takes(headers={"If-None-Match": string(200)}),
)
def show_run(call: Call, test_id: int) -> Response:
    """Show a run; with an ETag, so that polling costs little."""
    return _shown(call.run_json(call.run(test_id)))


@RUNS.call("DELETE", _ONE, Who.WRITER, {204: None}, (404, 409))
def delete_run(call: Call, test_id: int) -> Response:
    """Delete a run that has ended, with its results."""
    call.context.runs.delete(call.caller, test_id)
    return Response(status=204)


@RUNS.call("POST", f"{_ONE}/cancel", Who.WRITER, {200: RUN, 202: RUN}, (404, 409))
def cancel_run(call: Call, test_id: int) -> Response:
    """Cancel a run.

    200: it has ended. 202: a node has it, and ends it within seconds.
    """
    run = call.context.runs.cancel(call.caller, test_id)
    answer = jsonify(call.run_json(run))
    answer.status_code = 200 if run.state.is_end else 202
    return answer


@RUNS.call(
    "POST",
    f"{_ONE}/rerun",
    Who.WRITER,
    {201: RUN},
    (404, 409, 413, 422),
    Takes(RERUN, "Rerun", {"only": "failed"}, headers=_KEY, cost=5),
)
def rerun(call: Call, test_id: int) -> Response:
    """Rerun all tests of a run, or those that failed.

    Passwords that no saved cloud stores have to be given again: they were erased when the run ended.
    """
    return _created(call, call.context.runs.rerun(call.caller, test_id, call.body, _key()))


@RUNS.call("GET", f"{_ONE}/attempts", Who.TOKEN, {200: page("attempts", "Attempt")}, (404,))
def list_attempts(call: Call, test_id: int) -> Response:
    """List the attempts of a run."""
    call.run(test_id)
    callback = call.ledger.settings.web.address
    found = call.ledger.attempts.of_run(test_id)
    return jsonify({"attempts": [attempt_json(attempt, callback) for attempt in found]})


@RUNS.call("GET", f"{_ONE}/shards", Who.TOKEN, {200: page("shards", "Shard")}, (404,))
def list_shards(call: Call, test_id: int) -> Response:
    """List the parts of a run that is split: which node runs or ran what.

    Each part has a run id of its own, with messages, attempts and a console. Parts are not in the list of runs, and
    only the whole run has a result.
    """
    call.run(test_id)
    return jsonify({"shards": [shard_json(shard) for shard in call.ledger.shards.of_run(test_id)]})


@RUNS.call(
    "GET",
    f"{_ONE}/messages",
    Who.TOKEN,
    {200: page("messages", "Message", "next_after")},
    (404,),
    Takes(query={"after": NEXT}),
)
def list_messages(call: Call, test_id: int) -> Response:
    """List the status messages of a run, oldest first."""
    call.run(test_id)
    found = call.ledger.runs.messages(test_id, call.query.get("after", 0), MAX_MESSAGES)
    more = found[-1].id if len(found) == MAX_MESSAGES else None
    return next_page({"messages": [message_json(message) for message in found], "next_after": more}, "after", more)


@RUNS.call("GET", f"{_ONE}/place", Who.TOKEN, {200: reference("Place")}, (404, 409))
def show_place(call: Call, test_id: int) -> Response:
    """Show where a run stands in the queue, and when it may start."""
    found = place(call.ledger, call.run(test_id))
    if found is None:
        raise StateError(f"run {test_id} is not waiting")
    return jsonify(place_json(found, call.ledger.queue.pause_note()))


@RUNS.call(
    "GET",
    f"{_ONE}/console",
    Who.TOKEN,
    {200: reference("Console")},
    (404,),
    Takes(
        query={
            "after": integer(0, 2**31 - 1, description="Number of the last line that you have"),
            "limit": integer(1, MAX_CONSOLE_LINES),
        }
    ),
)
def show_console(call: Call, test_id: int) -> Response:
    """Show what the tests of a run do and which requests they send, as it happens.

    Poll it with `after`, every two seconds while the run goes on. Secrets are masked.
    """
    call.run(test_id)
    page_of = call.ledger.console.page(test_id, call.query.get("after", -1), call.query.get("limit", 500))
    more = page_of.lines[-1]["number"] if page_of.lines else None
    body = {"attempt": page_of.attempt, "lines": list(page_of.lines), "dropped": page_of.dropped, "next_after": more}
    return next_page(body, "after", more)


@RUNS.call("GET", f"{_ONE}/events", Who.TOKEN, {200: EVENT_STREAM}, (404,))
def follow_run(call: Call, test_id: int) -> Response:
    """Follow a run: server-sent events `run`, `message`, `end`."""
    call.run(test_id)
    return event_stream(call.context.hub, _reader(call), test_id)


@RUNS.call("GET", "/v1/events", Who.TOKEN, {200: EVENT_STREAM})
def follow_runs(call: Call) -> Response:
    """Follow all runs of your vendor's users (operators: all runs): server-sent events `run`.

    An event gives a run's new state; ask `GET /v1/runs/{test_id}` for the rest. A client that reconnects with
    `Last-Event-ID` gets the events that it missed, unless they are too old: then list the runs, and follow again.
    """
    return all_runs_stream(call.context.hub, _reader(call))


def _reader(call: Call) -> StreamReader:
    secret = auth.bearer(request)
    return StreamReader(call.ledger, call.caller, lambda: call.ledger.tokens.find(secret))


def _created(
    call: Call, run: Run, more: Mapping[str, Any] = MappingProxyType({}), facts: RunFacts | None = None
) -> Response:
    # its place is asked for with GET: starting many runs should not pay for it
    known = call.runs_json([run])[0] if facts is None else run_json(run, facts, call.context.settings.web.address)
    answer = _shown({**known, **more})
    answer.status_code = 201
    answer.headers["Location"] = f"/v1/runs/{run.test_id}"
    return answer


def _shown(run: dict[str, Any]) -> Response:
    answer = jsonify(run)
    answer.add_etag()
    answer.make_conditional(request)
    return answer


def _key() -> str:
    return request.headers.get("Idempotency-Key", "")
