"""Routes with their description: callers, query, headers and body, answers, limits; written once, over the view.

A description validates the requests, makes the OpenAPI document (``openapi/document.py``), and sets the size limit.
The first line of a view's docstring is the call's summary there, the rest its description.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

from refstack_worker.contract.states import RunState
from refstack_worker.server import auth
from refstack_worker.server.api.serializers import place_json, run_json
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.clouds import CloudRecord
from refstack_worker.server.domain.runs import Run
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.capacity import place
from refstack_worker.server.services import access
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs import checks
from refstack_worker.server.services.inputs.checks import FieldError, InvalidInput
from refstack_worker.server.services.inputs.schema import ID, Json
from refstack_worker.server.serving.context import HttpContext, context
from refstack_worker.server.serving.guard import count_more
from refstack_worker.server.serving.responses import MAX_BODY, json_body

_SAFE = ("GET", "HEAD")
_CHUNKED = "Transfer-Encoding"
View = Callable[..., ResponseReturnValue]


class Who(enum.Enum):
    """The callers that are allowed."""

    ANYONE = "anyone"
    TOKEN = "any token"  # noqa: S105 - no password
    WRITER = "any token that is not read-only"
    OPERATOR = "operators"


@dataclass(frozen=True)
class Takes:
    """What a call takes beside its path."""

    body: Json | None = None
    """Schema of the JSON body; None: it has none."""
    name: str = ""
    """Of the body's schema in the OpenAPI document."""
    example: Any = None
    query: Mapping[str, Json] = field(default_factory=dict)
    headers: Mapping[str, Json] = field(default_factory=dict)
    max_bytes: int = MAX_BODY
    cost: int = 1
    """Ordinary calls that one counts as in the rate limit."""


@dataclass(frozen=True)
class Operation:
    """The description of one call."""

    method: str
    rule: str
    tag: str
    view: View
    who: Who
    answers: Mapping[int, Any]
    """Status to the schema of its JSON; None: no body; a text or several: media types."""
    problems: tuple[int, ...]
    takes: Takes


@dataclass(frozen=True)
class Call:
    """One request, authenticated and validated."""

    context: HttpContext
    caller: Caller
    query: Mapping[str, Any]
    body: Mapping[str, Any]

    @property
    def ledger(self) -> Ledger:
        return self.context.ledger

    @property
    def scope(self) -> AccessScope | None:
        """What the caller sees; None: everything."""
        return access.scope_of(self.ledger, self.caller)

    def runs_json(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """Return runs as the API lists them, without their place in the queue."""
        facts = self.ledger.overview.facts([run.test_id for run in runs])
        site = self.context.settings.web.address
        return [run_json(run, facts[run.test_id], site) for run in runs]

    def run_json(self, run: Run) -> dict[str, Any]:
        """Return a run as the API shows it alone."""
        position = None if run.state is not RunState.QUEUED else place(self.ledger, run)
        return {
            **self.runs_json([run])[0],
            "place": place_json(position, self.ledger.queue.pause_note()) if position else None,
        }

    def run(self, test_id: int) -> Run:
        """Return a run that the caller sees."""
        return access.visible_run(self.ledger, self.caller, test_id)

    def cloud(self, cloud_id: int) -> CloudRecord:
        """Return a cloud that the caller sees."""
        return access.visible_cloud(self.ledger, self.caller, cloud_id)


class Resource(Blueprint):
    """The calls about one kind of thing."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name, __name__)
        self.tag = name
        self.about = about
        self.operations: list[Operation] = []

    def call(
        self,
        method: str,
        rule: str,
        who: Who,
        answers: Mapping[int, Any],
        problems: tuple[int, ...] = (),
        takes: Takes = Takes(),  # noqa: B008 - frozen
    ) -> Callable[[View], View]:
        """Make a function the view of a route."""

        def decorate(view: View) -> View:
            operation = Operation(method, rule, self.tag, view, who, answers, problems, takes)
            self.operations.append(operation)
            self.add_url_rule(rule, view.__name__, _guarded(operation), methods=[method])
            return view

        return decorate


def _guarded(operation: Operation) -> View:
    has_call = "call" in inspect.signature(operation.view).parameters

    @functools.wraps(operation.view)
    def answer(**path: Any) -> ResponseReturnValue:
        caller = _caller(operation)
        if caller is not None and operation.takes.cost > 1:
            count_more(context(), caller.token, operation.takes.cost - 1)
        for name, value in path.items():
            if isinstance(value, int):
                checks.check(ID, value, name)
        query = _query(operation.takes.query)
        _check_headers(operation.takes.headers)
        body = g.asked = _body(operation.takes)
        given = (Call(context(), caller, query, body),) if caller and has_call else ()
        return operation.view(*given, **path)

    return answer


def _caller(operation: Operation) -> Caller | None:
    if operation.who is Who.ANYONE:
        return None
    caller = auth.caller(request, context().ledger)
    g.actor = caller.token
    if operation.who is Who.OPERATOR:
        caller.need_operator()
    if operation.method not in _SAFE and operation.who is not Who.TOKEN:
        caller.need_writer()
    return caller


def _query(described: Mapping[str, Json]) -> dict[str, Any]:
    unknown = sorted(set(request.args) - set(described))
    if unknown:
        known = ", ".join(described) or "none"
        raise InvalidInput(*(FieldError(name[:40], f"unknown query parameter; known: {known}") for name in unknown[:5]))
    found = {name: _parameter(name, schema) for name, schema in described.items() if name in request.args}
    for name, value in found.items():
        checks.check(described[name], value, name)
    return found


def _parameter(name: str, schema: Json) -> Any:
    values = request.args.getlist(name)
    if schema["type"] == "array":
        return [part for value in values for part in value.split(",") if part]
    if len(values) > 1:
        raise checks.invalid(name, "is given twice")
    text = values[0]
    is_number = schema["type"] == "integer" and text.isascii() and text.isdigit() and len(text) < 12
    return int(text) if is_number else text


def _check_headers(described: Mapping[str, Json]) -> None:
    for name, schema in described.items():
        if request.headers.get(name):
            checks.check(schema, request.headers[name], name)


def _body(takes: Takes) -> dict[str, Any]:
    if takes.body is None:
        return {}
    # a call that needs nothing may come without a body
    is_left_out = not takes.body.get("required") and not request.content_length and not request.headers.get(_CHUNKED)
    body = {} if is_left_out else json_body(takes.max_bytes)
    checks.check(takes.body, body)
    return body
