"""The page of one run, and of one test in it."""

from __future__ import annotations

from typing import Any

from flask import request

from refstack_worker.contract.export_formats import ON_PAGES
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.results import ResultQuery, TestResult
from refstack_worker.server.domain.runs import Run, RunQuery
from refstack_worker.server.queue.capacity import alive, place
from refstack_worker.server.services import access
from refstack_worker.server.services.causes import causes, fix_of, last_line
from refstack_worker.server.services.inputs.schema import MAX_ID
from refstack_worker.server.services.request_log import request_log
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.responses import number, text
from refstack_worker.server.web import words
from refstack_worker.server.web.pages import WEB, Answer, caller, page, scope, show

PAGE_TESTS = 100
MAX_GROUPED = 2000
"""Failures that are grouped by cause."""
_STATUSES = ("", "passed", "failed", "skipped")

WEB.add_app_template_filter(last_line, "last_line")


@page("GET", "/runs/<int:test_id>")
def show_run(test_id: int) -> Answer:
    ledger = context().ledger
    run = access.visible_run(ledger, caller(), test_id)
    messages = ledger.runs.messages(test_id)
    return show(
        "run.html",
        run=run,
        messages=messages,
        last=messages[-1].id if messages else 0,
        attempts=ledger.attempts.of_run(test_id),
        is_own=access.is_owner(ledger, caller(), run),
        keeps=bool(run.cloud.id and ledger.clouds.get(run.cloud.id).keeps_passwords),
        choice=ledger.guidelines.choice(test_id),
        live_words=words.live_words(),
        shared_with=_shared_with(run),
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
    with context().downloads.turn(caller().token.id):
        log = request_log(ledger, test_id, test.name)
    history = ledger.overview.outcomes(test_id, run.cloud.id, test) if run.cloud.id else []
    visible = scope() is None or access.is_owner(ledger, caller(), run)
    statuses = {one.status for one in history}
    return show(
        "test.html",
        run=run,
        test=test,
        log=log,
        fix=fix_of(last_line(test.reason)),
        history=history if visible else [],
        flaky={"passed", "failed"} <= statuses,
    )


def _shared_with(run: Run) -> list[str]:
    ledger = context().ledger
    if not access.is_owner(ledger, caller(), run):
        return []
    ids = set(ledger.accounts.shares(run.test_id))
    return [vendor.name for vendor in ledger.accounts.vendors() if vendor.id in ids] if ids else []


def _waiting(run: Run) -> dict[str, Any]:
    """Return why a run waits, and for how long."""
    ledger = context().ledger
    if run.state.is_end:
        return {"pause": None, "place": None, "versions": ()}
    versions = {version for node in alive(ledger) if node.state == "ready" for version in node.versions}
    return {"pause": ledger.queue.pause_note(), "place": place(ledger, run), "versions": sorted(versions)}


def _result(run: Run) -> dict[str, Any]:
    ledger = context().ledger
    try:
        result = ledger.results.get(run.test_id)
    except NotFoundError:
        return {"result": None}
    status = request.args.get("status", "")
    status = status if status in _STATUSES else ""
    after = request.args.get("after", "")
    query = ResultQuery(
        status, text(request.args, "q", 200), number(after, "after", 0, MAX_ID) if after else 0, PAGE_TESTS + 1
    )
    tests = ledger.results.tests(run.test_id, query)
    failed = ledger.results.tests(run.test_id, ResultQuery("failed", limit=MAX_GROUPED)) if result["failed"] else []
    return {
        "result": result,
        "formats": ON_PAGES,
        "tests": _failures_first(tests[:PAGE_TESTS], failed, query),
        "more": tests[PAGE_TESTS - 1].position if len(tests) > PAGE_TESTS else 0,
        "causes": causes(failed),
        "verdict": ledger.guidelines.verdict(run.test_id),
        "status": status,
        "q": query.text,
        "before": query.after,
        "others": _others(run),
    }


def _failures_first(tests: list[TestResult], failed: list[TestResult], query: ResultQuery) -> list[TestResult]:
    """Return a page of tests; on the first of all tests the failures of the whole result stand first."""
    if query.status or query.text:
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
