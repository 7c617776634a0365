"""The pages of runs: list, a new one, one run, two compared; and what is done with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import jsonify, make_response, redirect, request

from refstack_worker.contract import export_formats
from refstack_worker.contract.states import RunState
from refstack_worker.errors import NotFoundError, PayloadError, RefusedError, UsageError
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.domain.runs import Run, RunQuery
from refstack_worker.server.ledger.overview import FrozenVerdict
from refstack_worker.server.results.exports.formats import FORMATS
from refstack_worker.server.services import access, sharing, uploads
from refstack_worker.server.services.compare import compare
from refstack_worker.server.services.inputs.checks import FieldError, InvalidInput, invalid
from refstack_worker.server.services.inputs.moments import moment
from refstack_worker.server.services.inputs.run_input import RERUN
from refstack_worker.server.services.inputs.schema import MAX_ID
from refstack_worker.server.services.preflight import preflight
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.files import StreamReader, event_stream, exported_file, log_file, subunit_file
from refstack_worker.server.serving.responses import number, status_of, text
from refstack_worker.server.web import words
from refstack_worker.server.web.forms import accounts_text, errors_of, id_in, passwords
from refstack_worker.server.web.guidelines import programs_of
from refstack_worker.server.web.pages import Answer, caller, page, scope, show, typed
from refstack_worker.server.web.run import show_run_forms
from refstack_worker.server.web.run_form import NAMES, body_of, show_findings, show_run_form
from refstack_worker.server.web.session_keys import COOKIE

PAGE_RUNS = 25
MAX_CONSOLE = 500
"""Lines of the console in one answer."""
_ONE = "/runs/<int:test_id>"


@dataclass(frozen=True)
class RunRow:
    """A run in the list."""

    run: Run
    program: str
    verdict: FrozenVerdict | None
    owner: str


@page("GET", "/runs")
def list_runs() -> Answer:
    ledger, state = context().ledger, text(request.args, "state", 16)
    query = _query(state)
    found = ledger.runs.find(query)
    facts = ledger.overview.facts([run.test_id for run in found])
    rows = [RunRow(run, one.program, one.verdict, one.owner) for run in found for one in [facts[run.test_id]]]
    return show(
        "runs.html",
        runs=rows[:PAGE_RUNS],
        more=found[PAGE_RUNS - 1].test_id if len(found) > PAGE_RUNS else 0,
        state=state,
        q=query.text,
        before=query.before,
        cloud_id=query.cloud_id,
        clouds=ledger.clouds.all(scope()),
        filters=words.FILTERS,
        narrowed=_narrowed(),
        programs=sorted({one.name for stored in ledger.guidelines.all(scope()) for one in programs_of(stored)}),
        vendors=ledger.accounts.vendors() if caller().is_operator else [],
        pause=ledger.queue.pause_note(),
        now=ledger.clock(),
    )


@page("GET", "/runs/new")
def new_run() -> Answer:
    """Show the form for a new run."""
    caller().need_writer()
    return show_run_form({}, ())


@page("POST", "/runs/new")
def create_run() -> Answer:
    """Start a run from the form, or only check it; sent twice it starts one."""
    form = request.form
    try:
        body = body_of(form)
        findings = preflight(context().ledger, caller(), body)
        if form.get("action") == "check" or (findings.warnings and form.get("anyway") != "yes"):
            return show_findings(typed(), (), findings)
        run = _create(body, form.get("request_key", "")[:60])
    except (UsageError, PayloadError) as error:
        return make_response(show_run_form(typed(), errors_of(error, NAMES)), 400)
    return redirect(f"/runs/{run.test_id}", 303)


@page("GET", f"{_ONE}/events")
def follow_run(test_id: int) -> Answer:
    """Stream what happens to a run."""
    access.visible_run(context().ledger, caller(), test_id)
    # the page has all that happened before; a browser that comes back says where it was
    after = request.args.get("after", "0")
    return event_stream(context().hub, _reader(), test_id, number(after, "after", 0, MAX_ID))


def _reader() -> StreamReader:
    ledger, secret = context().ledger, request.cookies.get(COOKIE, "")

    def token_now() -> Token | None:
        session = ledger.sessions.find(secret)
        return session.token if session else None

    return StreamReader(ledger, caller(), token_now)


@page("GET", f"{_ONE}/console")
def show_console(test_id: int) -> Answer:
    """Return lines of the live console as JSON, for the script of the run's page."""
    access.visible_run(context().ledger, caller(), test_id)
    after = request.args.get("after", "")
    found = context().ledger.console.page(test_id, number(after, "after", 0, MAX_ID) if after else -1, MAX_CONSOLE)
    return jsonify({"attempt": found.attempt, "lines": list(found.lines), "dropped": found.dropped})


@page("GET", f"{_ONE}/file/<name>")
def download(test_id: int, name: str) -> Answer:
    """Give the result out as a file."""
    access.visible_run(context().ledger, caller(), test_id)
    if name == export_formats.SUBUNIT:
        return subunit_file(context(), caller(), test_id)
    if name == "log":
        return log_file(context(), caller(), test_id)
    if name not in FORMATS:
        raise NotFoundError(f"Unknown format {name[:40]!r}.")
    return exported_file(context(), caller(), test_id, name)


@page("GET", f"{_ONE}/compare")
def compare_runs(test_id: int) -> Answer:
    """Show what changed from another run."""
    ledger = context().ledger
    given = request.args.get("with", "")
    other = id_in(given)
    if other is None:
        raise UsageError(f'"{given[:40]}" isn\'t a run number.')
    runs = [access.visible_run(ledger, caller(), one) for one in (test_id, other)]
    for one in runs:
        ledger.results.get(one.test_id)
    return show("compare.html", run=runs[0], other=runs[1], found=compare(ledger, other, test_id))


@page("POST", f"{_ONE}/cancel")
def cancel_run(test_id: int) -> Answer:
    context().runs.cancel(caller(), test_id)
    return redirect(f"/runs/{test_id}", 303)


@page("POST", f"{_ONE}/rerun")
def rerun(test_id: int) -> Answer:
    """Rerun all tests, or those that failed."""
    only = request.form.get("only", "all")
    if only not in RERUN["properties"]["only"]["enum"]:
        raise invalid("only", "must be all or failed")
    body: dict[str, Any] = {"only": only, "conf_json": passwords(request.form)}
    try:
        if accounts := accounts_text(request.form, request.files):
            body["accounts"] = accounts
        run = context().runs.rerun(caller(), test_id, body)
    except (UsageError, PayloadError) as error:
        found = errors_of(error, {})
        if [one.field for one in found] != ["accounts"]:
            found = (FieldError("", "; ".join(map(str, found))),)
        return make_response(show_run_forms(typed(), found, test_id), 400)
    return redirect(f"/runs/{run.test_id}", 303)


@page("POST", f"{_ONE}/share")
def share_run(test_id: int) -> Answer:
    """Share a run with the vendor of a name, or stop sharing it."""
    context().runs.owned(caller(), test_id)
    ledger, name = context().ledger, text(request.form, "vendor", 80)
    if request.form.get("action") == "stop":
        ledger.accounts.unshare(test_id, sharing.vendor_named(ledger, name).id)
        return redirect(f"/runs/{test_id}", 303)
    try:
        sharing.share(ledger, caller(), test_id, name)
    except (NotFoundError, InvalidInput) as error:
        trouble = FieldError("vendor", str(error).removeprefix("vendor: "))
        return make_response(show_run_forms(typed(), (trouble,), test_id), status_of(error))
    return redirect(f"/runs/{test_id}", 303)


@page("POST", f"{_ONE}/upload")
def upload_run(test_id: int) -> Answer:
    """Upload the passed tests to RefStack, under the vendor's stored key."""
    run = context().runs.owned(caller(), test_id)
    wish = uploads.UploadWish(again=request.form.get("again") == "yes")
    uploads.upload_run(context().ledger, caller(), run, wish)
    return redirect(f"/runs/{test_id}", 303)


@page("POST", f"{_ONE}/pin")
def pin_run(test_id: int) -> Answer:
    """Pin or unpin a run."""
    change = context().runs.pin if request.form.get("pinned") == "yes" else context().runs.unpin
    change(caller(), test_id)
    return redirect(f"/runs/{test_id}", 303)


@page("POST", f"{_ONE}/delete")
def delete_run(test_id: int) -> Answer:
    context().runs.delete(caller(), test_id)
    return redirect("/runs", 303)


def _query(state: str) -> RunQuery:
    states, has_failures = _states(state)
    given = request.args
    cloud = given.get("cloud", "")
    before, vendor = given.get("before", ""), given.get("vendor", "")
    return RunQuery(
        states=states,
        scope=scope(),
        cloud_id=number(cloud, "cloud", 1, MAX_ID) if cloud else None,
        text=text(given, "q", 200),
        has_failures=has_failures,
        worker=text(given, "node", 200),
        program=text(given, "program", 200),
        vendor_id=number(vendor, "vendor", 1, MAX_ID) if vendor else None,
        since=moment(text(given, "since", 40), "since"),
        until=moment(text(given, "until", 40), "until"),
        before=number(before, "before", 0, MAX_ID) if before else 0,
        limit=PAGE_RUNS + 1,
    )


def _narrowed() -> dict[str, str]:
    """Return the list's filters other than the state, for the links to its other pages."""
    names = ("q", "cloud", "program", "vendor", "node", "since", "until")
    return {name: request.args[name] for name in names if request.args.get(name)}


def _states(state: str) -> tuple[tuple[RunState, ...], bool | None]:
    """Return what a choice of the list's filter means."""
    if state in ("passed", "tests-failed"):
        return (RunState.FINISHED,), state == "tests-failed"
    ends = tuple(one for one in RunState if one.is_end)
    groups = {"open": tuple(one for one in RunState if not one.is_end), "ended": ends}
    return groups.get(state, tuple(one for one in RunState if one.value == state)), None


def _create(body: dict[str, Any], key: str) -> Run:
    try:
        return context().runs.create(caller(), body, f"form-{key}" if key else "")
    except RefusedError as error:
        if error.reason != "key-reused":
            raise
        # the form was started before, gone back to and changed
        return context().runs.create(caller(), body)
