"""The pages of runs: list, a new one, one run with its tests and verdict, two compared."""

from __future__ import annotations

from typing import Any

from flask import make_response, redirect, request

from refstack_worker.contract.states import RunState
from refstack_worker.errors import NotFoundError, PayloadError, RefusedError, UsageError
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.queue.capacity import place
from refstack_worker.server.results.exports.formats import FORMATS
from refstack_worker.server.services import access
from refstack_worker.server.services.compare import compare
from refstack_worker.server.services.inputs import invalid
from refstack_worker.server.services.run_input import RERUN
from refstack_worker.server.services.schema import MAX_ID
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.files import event_stream, exported_file, subunit_file
from refstack_worker.server.serving.responses import number, text
from refstack_worker.server.web.forms import errors_of, passwords
from refstack_worker.server.web.pages import Answer, caller, page, scope, show, typed
from refstack_worker.server.web.run_form import NAMES, body_of, show_run_form

PAGE_RUNS = 25
PAGE_TESTS = 100
_STATUSES = ("", "passed", "failed", "skipped")
_ONE = "/runs/<int:test_id>"


@page("GET", "/runs")
def list_runs() -> Answer:
    """List runs."""
    given = request.args
    state = text(given, "state", 16)
    states = (RunState(state),) if state in {one.value for one in RunState} else _group(state)
    query = RunQuery(
        states=states, scope=scope(), text=text(given, "q", 200), before=_number("before"), limit=PAGE_RUNS + 1
    )
    found = context().ledger.runs.find(query)
    more = found[PAGE_RUNS - 1].test_id if len(found) > PAGE_RUNS else 0
    return show("runs.html", runs=found[:PAGE_RUNS], more=more, state=state, q=query.text, before=query.before)


@page("GET", "/runs/new")
def new_run() -> Answer:
    """Show the form for a new run."""
    return show_run_form({}, ())


@page("POST", "/runs/new")
def create_run() -> Answer:
    """Start a run from the form; sent twice it starts one."""
    form = request.form
    try:
        run = _create(body_of(form), form.get("request_key", "")[:60])
    except (UsageError, PayloadError) as error:
        return make_response(show_run_form(typed(), errors_of(error, NAMES)), 400)
    return redirect(f"/runs/{run.test_id}", 303)


@page("GET", _ONE)
def show_run(test_id: int) -> Answer:
    """Show a run."""
    ledger = context().ledger
    run = access.visible_run(ledger, caller(), test_id)
    messages = ledger.runs.messages(test_id)
    shown: dict[str, Any] = {
        "run": run,
        "messages": messages,
        "last": messages[-1].id if messages else 0,
        "attempts": ledger.attempts.of_run(test_id),
        "place": place(ledger, run),
        "is_own": access.is_owner(ledger, caller(), run),
        "keeps": bool(run.cloud.id and ledger.clouds.get(run.cloud.id).keeps_passwords),
        "choice": ledger.guidelines.choice(test_id),
        "formats": tuple(FORMATS),
        **_result(test_id),
    }
    return show("run.html", **shown)


@page("GET", f"{_ONE}/events")
def follow_run(test_id: int) -> Answer:
    """Stream what happens to a run."""
    access.visible_run(context().ledger, caller(), test_id)
    # the page has all that happened before; a browser that comes back says where it was
    return event_stream(context().hub, test_id, _number("after"))


@page("GET", f"{_ONE}/file/<name>")
def download(test_id: int, name: str) -> Answer:
    """Give the result out as a file."""
    access.visible_run(context().ledger, caller(), test_id)
    if name == "subunit":
        return subunit_file(context(), caller(), test_id)
    if name not in FORMATS:
        raise NotFoundError(f"there is no format {name[:40]!r}")
    return exported_file(context(), caller(), test_id, name)


@page("GET", f"{_ONE}/compare")
def compare_runs(test_id: int) -> Answer:
    """Show what changed from another run."""
    ledger = context().ledger
    given = request.args.get("with", "")
    other = int(given) if given.isascii() and given.isdigit() and len(given) < 11 else 0
    if not 0 < other <= MAX_ID:
        raise UsageError(f'"{given[:40]}" isn\'t a run number.')
    runs = [access.visible_run(ledger, caller(), one) for one in (test_id, other)]
    for one in runs:
        ledger.results.get(one.test_id)
    return show("compare.html", run=runs[0], other=runs[1], found=compare(ledger, other, test_id))


@page("POST", f"{_ONE}/cancel")
def cancel_run(test_id: int) -> Answer:
    """Cancel a run."""
    context().runs.cancel(caller(), test_id)
    return redirect(f"/runs/{test_id}", 303)


@page("POST", f"{_ONE}/rerun")
def rerun(test_id: int) -> Answer:
    """Rerun all tests, or those that failed."""
    only = request.form.get("only", "all")
    if only not in RERUN["properties"]["only"]["enum"]:
        raise invalid("only", "must be all or failed")
    body = {"only": only, "conf_json": passwords(request.form)}
    run = context().runs.rerun(caller(), test_id, body)
    return redirect(f"/runs/{run.test_id}", 303)


@page("POST", f"{_ONE}/delete")
def delete_run(test_id: int) -> Answer:
    """Delete a run."""
    context().runs.delete(caller(), test_id)
    return redirect("/runs", 303)


def _create(body: dict[str, Any], key: str) -> Any:
    if body.get("cloud_id") is None and "cloud_id" in body:
        raise invalid("cloud_id", "Choose a cloud.")
    try:
        return context().runs.create(caller(), body, f"form-{key}" if key else "")
    except RefusedError as error:
        if error.reason != "key-reused":
            raise
        # the form was started before, gone back to and changed
        return context().runs.create(caller(), body)


def _result(test_id: int) -> dict[str, Any]:
    ledger = context().ledger
    try:
        result = ledger.results.get(test_id)
    except NotFoundError:
        return {"result": None, "tests": (), "more": 0, "verdict": None, "status": "", "q": "", "before": 0}
    status = request.args.get("status", "")
    status = status if status in _STATUSES else ""
    query = ResultQuery(status, text(request.args, "q", 200), _number("after"), PAGE_TESTS + 1)
    tests = ledger.results.tests(test_id, query)
    return {
        "result": result,
        "tests": tests[:PAGE_TESTS],
        "more": tests[PAGE_TESTS - 1].position if len(tests) > PAGE_TESTS else 0,
        "verdict": ledger.guidelines.verdict(test_id),
        "status": status,
        "q": query.text,
        "before": query.after,
    }


def _group(state: str) -> tuple[RunState, ...]:
    ends = tuple(one for one in RunState if one.is_end)
    groups = {"open": tuple(one for one in RunState if not one.is_end), "ended": ends}
    return groups.get(state, ())


def _number(name: str) -> int:
    value = request.args.get(name)
    return 0 if not value else number(value, name, 0, MAX_ID)
