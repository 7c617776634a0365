"""The operations of ``/v1``, one entry each, for ``openapi.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refstack_worker.contract.states import RunState
from refstack_worker.server.api.openapi import schemas as schemas
from refstack_worker.server.api.openapi.schemas import array, integer, reference, shape, string

Json = dict[str, Any]

ID = integer(1, 2**31 - 1)
_BAD, _NO_TOKEN, _FORBIDDEN, _MISSING, _STATE = 400, 401, 403, 404, 409


@dataclass(frozen=True)
class Call:
    """One operation."""

    method: str
    path: str
    summary: str
    answers: Mapping[int, Any]
    """Status to the schema of its JSON; None: no body; a text: its media type."""
    problems: tuple[int, ...] = (_BAD, _NO_TOKEN, _FORBIDDEN)
    body: Json | None = None
    query: Mapping[str, Json] = field(default_factory=dict)
    headers: Mapping[str, Json] = field(default_factory=dict)
    is_open: bool = False
    """Needs no token."""


_RUN = "/v1/runs/{test_id}"
_OF_RUN = (_BAD, _NO_TOKEN, _FORBIDDEN, _MISSING)
_STATES = {"type": "string", "enum": [state.value for state in RunState]}
_KEY = {"Idempotency-Key": string(180, pattern="^[!-~]{1,180}$")}
_PAGE = {"limit": integer(1, 200)}

CALLS = (
    Call("get", "/v1/openapi.json", "This description", {200: {"type": "object"}}, (), is_open=True),
    Call("get", "/v1/me", "Who the token belongs to", {200: reference("Me")}),
    Call(
        "get",
        "/v1/runs",
        "List runs, newest first",
        {200: shape(runs=array(reference("Run")), next_before=schemas.maybe(integer()))},
        query={
            "state": array(_STATES),
            "q": string(200),
            "tempest_version": string(40),
            "worker": string(200),
            "cloud_id": ID,
            "before": ID,
            **_PAGE,
        },
    ),
    Call(
        "post",
        "/v1/runs",
        "Create a run",
        {201: reference("Run")},
        (_BAD, _NO_TOKEN, _FORBIDDEN, _MISSING, _STATE, 413),
        reference("NewRun"),
        headers=_KEY,
    ),
    Call(
        "get",
        _RUN,
        "Show a run; with an ETag",
        {200: reference("Run"), 304: None},
        _OF_RUN,
        headers={"If-None-Match": string(200, pattern="^[!-~]{1,80}$")},
    ),
    Call("delete", _RUN, "Remove a run that has ended", {204: None}, (*_OF_RUN, _STATE)),
    Call("post", f"{_RUN}/cancel", "Cancel a run", {200: reference("Run"), 202: reference("Run")}, (*_OF_RUN, _STATE)),
    Call(
        "post",
        f"{_RUN}/rerun",
        "Run again all of it, or what failed",
        {201: reference("Run")},
        (*_OF_RUN, _STATE, 413),
        reference("Rerun"),
        headers=_KEY,
    ),
    Call("get", f"{_RUN}/attempts", "List its attempts", {200: shape(attempts=array(reference("Attempt")))}, _OF_RUN),
    Call(
        "get",
        f"{_RUN}/messages",
        "List its status messages",
        {200: shape(messages=array(reference("Message")), next_after=schemas.maybe(integer()))},
        _OF_RUN,
        query={"after": integer(0, 2**31 - 1)},
    ),
    Call("get", f"{_RUN}/place", "Where it stands in the queue", {200: reference("Place")}, (*_OF_RUN, _STATE)),
    Call(
        "get", f"{_RUN}/events", "Follow it: server-sent events run, message, end", {200: "text/event-stream"}, _OF_RUN
    ),
    Call(
        "get",
        f"{_RUN}/results",
        "List the tests of its result",
        {200: shape(tests=array(reference("Test")), next_after=schemas.maybe(integer()))},
        _OF_RUN,
        query={
            "status": {"type": "string", "enum": ["passed", "failed", "skipped"]},
            "q": string(200),
            "after": integer(0, 2**31 - 1),
            "limit": integer(1, 2000),
        },
    ),
    Call("get", f"{_RUN}/report", "Counts, durations, failed tests", {200: reference("Report")}, _OF_RUN),
    Call("get", f"{_RUN}/subunit", "The subunit stream, secrets masked", {200: "application/vnd.subunit"}, _OF_RUN),
    Call(
        "get",
        f"{_RUN}/exports/{{name}}",
        "The result as a file",
        {200: ("application/xml", "text/html", "text/csv", "application/json")},
        _OF_RUN,
    ),
    Call(
        "get",
        f"{_RUN}/verdict",
        "What the result says about a program",
        {200: reference("Verdict")},
        _OF_RUN,
        query={"guideline": string(60), "program": string(200)},
    ),
    Call(
        "get",
        f"{_RUN}/compare/{{other}}",
        "What came out differently than in another run",
        {200: reference("Comparison")},
        _OF_RUN,
    ),
    Call(
        "post",
        f"{_RUN}/upload",
        "Upload the passed tests to a RefStack server",
        {200: shape(test_id=string(), url=string())},
        (*_OF_RUN, _STATE, 502),
    ),
    Call("get", f"{_RUN}/shares", "Vendors that it is shared with", {200: shape(vendors=array(integer()))}, _OF_RUN),
    Call(
        "post",
        f"{_RUN}/shares",
        "Share it with a vendor",
        {200: shape(vendors=array(integer()))},
        (*_OF_RUN, 413),
        shape(vendor_id=ID),
    ),
    Call("delete", f"{_RUN}/shares/{{vendor_id}}", "Share it no longer", {204: None}, _OF_RUN),
    Call("get", "/v1/clouds", "List clouds", {200: shape(clouds=array(reference("Cloud")))}),
    Call(
        "post",
        "/v1/clouds",
        "Enter a cloud",
        {201: reference("Cloud")},
        (_BAD, _NO_TOKEN, _FORBIDDEN, _MISSING, _STATE, 413),
        reference("NewCloud"),
    ),
    Call("get", "/v1/clouds/{cloud_id}", "Show a cloud", {200: reference("Cloud")}, _OF_RUN),
    Call(
        "put",
        "/v1/clouds/{cloud_id}",
        "Change a cloud",
        {200: reference("Cloud")},
        (*_OF_RUN, 413),
        reference("NewCloud"),
    ),
    Call("delete", "/v1/clouds/{cloud_id}", "Remove a cloud without runs", {204: None}, (*_OF_RUN, _STATE)),
    Call(
        "post",
        "/v1/clouds/{cloud_id}/check",
        "Ask its Keystone",
        {200: reference("Cloud")},
        (*_OF_RUN, 413),
        reference("Passwords"),
    ),
    Call(
        "get",
        "/v1/clouds/{cloud_id}/history",
        "Its last runs with a result",
        {200: shape(runs=array({"type": "object"}))},
        _OF_RUN,
    ),
    Call("get", "/v1/guidelines", "List guidelines", {200: shape(guidelines=array(reference("Guideline")))}),
    Call(
        "post",
        "/v1/guidelines",
        "Add a guideline by text or address",
        {201: reference("Guideline")},
        (_BAD, _NO_TOKEN, _FORBIDDEN, 413, 502),
        reference("NewGuideline"),
    ),
    Call("get", "/v1/guidelines/{guideline_id}", "Show its programs", {200: reference("Guideline")}, _OF_RUN),
    Call("delete", "/v1/guidelines/{guideline_id}", "Remove it", {204: None}, _OF_RUN),
    Call("get", "/v1/nodes", "List nodes (operators)", {200: shape(nodes=array(reference("Node")))}),
    Call("get", "/v1/queue", "State of the queue (operators)", {200: reference("Queue")}),
    Call("post", "/v1/queue/pause", "Give no more runs to workers (operators)", {200: reference("Queue")}),
    Call("post", "/v1/queue/resume", "Go on (operators)", {200: reference("Queue")}),
    Call("get", "/v1/demand", "Which nodes are needed (operators)", {200: shape(demand=array(reference("Demand")))}),
    Call("get", "/v1/tokens", "List tokens (operators)", {200: shape(tokens=array(reference("Token")))}),
    Call(
        "post",
        "/v1/tokens",
        "Make a token (operators); its secret is shown this once",
        {201: reference("Token")},
        (*_OF_RUN, _STATE, 413),
        reference("NewToken"),
    ),
    Call("delete", "/v1/tokens/{token_id}", "Revoke a token (operators)", {204: None}, _OF_RUN),
    Call("get", "/v1/vendors", "List vendors (operators)", {200: shape(vendors=array(reference("Vendor")))}),
    Call(
        "post",
        "/v1/vendors",
        "Enter a vendor (operators)",
        {201: reference("Vendor")},
        (_BAD, _NO_TOKEN, _FORBIDDEN, _STATE, 413),
        reference("NewVendor"),
    ),
    Call("get", "/v1/users", "List users (operators)", {200: shape(users=array(reference("User")))}),
    Call(
        "post",
        "/v1/users",
        "Enter a user (operators)",
        {201: reference("User")},
        (*_OF_RUN, _STATE, 413),
        reference("NewUser"),
    ),
)
