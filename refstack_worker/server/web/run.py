"""The page of one run, and of one test in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from flask import request

from refstack_worker.contract.export_formats import ON_PAGES
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.attempts import Attempt, silent_seconds
from refstack_worker.server.domain.guidelines import Choice
from refstack_worker.server.domain.results import ResultQuery, TestResult
from refstack_worker.server.domain.runs import SHARD, SPLIT, Run, RunQuery
from refstack_worker.server.ledger.overview import is_flaky
from refstack_worker.server.queue.capacity import alive, place
from refstack_worker.server.services import access
from refstack_worker.server.services.causes import causes, fix_of, last_line, unmet
from refstack_worker.server.services.inputs.checks import FieldError
from refstack_worker.server.services.inputs.schema import MAX_ID
from refstack_worker.server.services.request_log import request_log
from refstack_worker.server.services.sharing import vendors_of
from refstack_worker.server.services.tempest_log import LogQuery, log_key, log_page
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.responses import number, text
from refstack_worker.server.web import words
from refstack_worker.server.web.forms import id_in
from refstack_worker.server.web.guidelines import programs_of
from refstack_worker.server.web.pages import WEB, Answer, caller, form, page, scope, show

PAGE_TESTS = 100
CONTEXT_LINES = 40
"""Lines of the log that are shown above the first failure."""
MAX_GROUPED = 2000
"""Failures that are grouped by cause."""
_STATUSES = ("", "passed", "failed", "skipped")

WEB.add_app_template_filter(last_line, "last_line")


@page("GET", "/runs/<int:test_id>")
def show_run(test_id: int) -> Answer:
    return _run_page(test_id, {}, ())


@form("/runs/<int:test_id>/share", keeps=lambda typed: _without_defaults(typed, "vendor"))
@form("/runs/<int:test_id>/rerun", keeps=lambda typed: _without_defaults(typed, "only"))
def show_run_forms(kept: Mapping[str, str], errors: tuple[FieldError, ...], test_id: int) -> Answer:
    """Show the run with what was typed into one of its forms."""
    return _run_page(test_id, kept, errors)


def _without_defaults(typed: Mapping[str, str], field: str) -> dict[str, str]:
    """Return a field's value if there is something to keep: not for a button that ends sharing, or a default."""
    value = typed.get(field, "").strip()
    return {} if typed.get("action") == "stop" or value in ("", "all") else {field: value}


def _run_page(test_id: int, kept: Mapping[str, str], errors: Sequence[FieldError]) -> Answer:
    ledger = context().ledger
    run = access.visible_run(ledger, caller(), test_id)
    messages = ledger.runs.messages(test_id)
    attempts = ledger.attempts.of_run(test_id)
    return show(
        "run.html",
        run=run,
        kept=kept,
        errors={one.field: one.message for one in errors},
        messages=messages,
        last=messages[-1].id if messages else 0,
        attempts=attempts,
        now=ledger.clock(),
        silence=_silence(run, attempts),
        shards=ledger.shards.of_run(test_id) if run.kind == SPLIT else [],
        parent=ledger.shards.parent_of(test_id) if run.kind == SHARD else None,
        is_own=access.is_owner(ledger, caller(), run),
        pin=ledger.pins.get(test_id),
        keeps=bool(run.cloud.id and ledger.clouds.get(run.cloud.id).keeps_passwords),
        choice=ledger.guidelines.choice(test_id),
        live_words=words.live_words(),
        shared_with=_shared_with(run),
        links=ledger.links.of_run(test_id) if access.is_owner(ledger, caller(), run) else [],
        **_waiting(run),
        **_result(run),
    )


@page("GET", "/runs/<int:test_id>/tests/<int:position>")
def show_test(test_id: int, position: int) -> Answer:
    """Show one test of a run: why it failed, its requests, its log."""
    ledger = context().ledger
    run = access.visible_run(ledger, caller(), test_id)
    query = ResultQuery(after=number(position, "position", 1, MAX_ID) - 1, limit=1)
    test = next((one for one in ledger.results.tests(test_id, query) if one.position == position), None)
    if test is None:
        raise NotFoundError(f"run {test_id} has no test {position}")
    # reading the stored stream takes a while, as giving it out does
    with context().downloads.turn(caller().token.account):
        log = request_log(ledger, test_id, test.name)
    history = ledger.overview.outcomes(test_id, run.cloud.id, test) if run.cloud.id else []
    return show(
        "test.html",
        run=run,
        test=test,
        log=log,
        fix=fix_of(last_line(test.reason)),
        history=history if _sees_cloud(run) else [],
        log_key=log_key(test.name) if ledger.results.has_log(test_id) else "",
        flaky=is_flaky(one.status for one in history),
        passed_last=next((one.test_id for one in history if one.status == "passed"), 0),
    )


@page("GET", "/runs/<int:test_id>/log")
def show_log(test_id: int) -> Answer:
    """Show Tempest's own log: lines to link to, search, and the place of the first failure."""
    ledger = context().ledger
    run = access.visible_run(ledger, caller(), test_id)
    first = request.args.get("from", "")
    query = LogQuery(number(first, "from", 1, MAX_ID) if first else 1, text(request.args, "q", 200))
    with context().downloads.turn(caller().token.account):
        found = log_page(ledger, test_id, query)
    before = max(1, found.failure - CONTEXT_LINES) if found.failure else 0
    return show("log.html", run=run, found=found, query=query, before_failure=before)


def _shared_with(run: Run) -> list[str]:
    ledger = context().ledger
    return [vendor.name for vendor in vendors_of(ledger, run.test_id)] if access.is_owner(ledger, caller(), run) else []


def _waiting(run: Run) -> dict[str, Any]:
    """Return why a run waits, and for how long."""
    ledger = context().ledger
    if run.state.is_end:
        return {"pause": None, "place": None, "versions": ()}
    versions = {version for node in alive(ledger) if node.state == "ready" for version in node.versions}
    return {"pause": ledger.queue.pause_note(), "place": place(ledger, run), "versions": sorted(versions)}


def _silence(run: Run, attempts: Sequence[Attempt]) -> int:
    ledger = context().ledger
    heard_at = attempts[-1].heartbeat_at if attempts else 0.0
    return silent_seconds(run.state, heard_at, ledger.clock(), ledger.settings.rules.heartbeat_seconds)


def _result(run: Run) -> dict[str, Any]:
    ledger = context().ledger
    try:
        result = ledger.results.get(run.test_id)
    except NotFoundError:
        return {"result": None}
    status = request.args.get("status", "")
    status = status if status in _STATUSES else ""
    after = request.args.get("after", "")
    is_slowest = request.args.get("sort", "") == "time"
    query = ResultQuery(
        status,
        text(request.args, "q", 200),
        number(after, "after", 0, MAX_ID) if after and not is_slowest else 0,
        PAGE_TESTS if is_slowest else PAGE_TESTS + 1,
        is_slowest,
    )
    tests = ledger.results.tests(run.test_id, query)
    failed = ledger.results.tests(run.test_id, ResultQuery("failed", limit=MAX_GROUPED)) if result["failed"] else []
    return {
        "result": result,
        "formats": ON_PAGES,
        "tests": _failures_first(tests[:PAGE_TESTS], failed, query),
        "more": tests[PAGE_TESTS - 1].position if len(tests) > PAGE_TESTS else 0,
        "causes": causes(failed),
        "marks": ledger.overview.marks(run.test_id, run.cloud.id, failed) if run.cloud.id and _sees_cloud(run) else {},
        **_judged(run),
        "uploads": ledger.uploads.of(run.test_id),
        "uploads_to": context().settings.outbound.upload_url,
        "is_upload_unknown": ledger.uploads.is_unknown(run.test_id, context().settings.outbound.upload_url),
        "has_log": ledger.results.has_log(run.test_id),
        "sort": "time" if is_slowest else "",
        "status": status,
        "q": query.text,
        "before": query.after,
        "others": _others(run),
    }


def _sees_cloud(run: Run) -> bool:
    """Return whether the caller may know how other runs of its cloud went."""
    return access.is_owner(context().ledger, caller(), run)


def _judged(run: Run) -> dict[str, Any]:
    """Return the verdict to show: by the run's own program, or by the one that was chosen on the page."""
    ledger = context().ledger
    number_of, _, program = text(request.args, "judge", 300).partition(":")
    choice = None
    guideline_id = id_in(number_of)
    if program and guideline_id:
        stored, guideline = ledger.guidelines.get(guideline_id, scope())
        choice = Choice(stored.id, guideline.program(program).name)
    programs = [
        (f"{stored.id}:{program.name}", f"{program.name} {stored.name}")
        for stored in ledger.guidelines.all(scope())
        for program in programs_of(stored)
    ]
    # to judge by another reads the whole result, as giving it out does
    with context().downloads.turn(caller().token.account) if choice else nullcontext():
        verdict = ledger.guidelines.verdict(run.test_id, choice)
    lacking = [test for one in verdict.required for test in one.lacking] if verdict else []
    return {
        "verdict": verdict,
        "unmet": unmet(lacking),
        "programs": programs,
        "judge": f"{choice.guideline_id}:{choice.program}" if choice else "",
    }


def _failures_first(tests: list[TestResult], failed: list[TestResult], query: ResultQuery) -> list[TestResult]:
    """Return a page of tests; on the first of all tests the failures of the whole result stand first."""
    if query.status or query.text or query.slowest:
        return tests
    others = [test for test in tests if test.status != "failed"]
    return others if query.after else [*failed[:PAGE_TESTS], *others]


def _others(run: Run) -> list[Run]:
    """Return runs to compare with: those of the same cloud, the one before this first."""
    if not run.cloud.id:
        return []
    found = context().ledger.runs.find(RunQuery(scope=scope(), cloud_id=run.cloud.id, limit=50))
    with_result = [one for one in found if one.counts.total and one.test_id != run.test_id]
    return sorted(with_result, key=lambda one: (one.test_id > run.test_id, -one.test_id))
