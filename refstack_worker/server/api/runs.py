"""``/v1/runs``: record, list, look, cancel, run again; with an API token, and only what is the caller's own."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request

from refstack_worker.contract.states import RunState
from refstack_worker.errors import UsageError
from refstack_worker.server import auth
from refstack_worker.server.api.responses import MAX_ID, Surroundings, json_body, number, text
from refstack_worker.server.api.serializers import attempt_json, iso, message_json, run_json, test_json
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.domain.runs import Run, RunQuery
from refstack_worker.server.services.runs import RunService

MAX_RUNS = 200
MAX_TESTS = 2000
MAX_MESSAGES = 1000


class RunCalls:
    """What users do with runs."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._ledger = around.ledger
        self._desk = RunService(around.ledger, around.nudge)

    def register(self, app: Flask) -> None:
        """Add the calls to an application."""
        rules: tuple[tuple[str, str, Any], ...] = (
            ("POST", "/v1/runs", self.create),
            ("GET", "/v1/runs", self.list),
            ("GET", "/v1/runs/<int:test_id>", self.show),
            ("GET", "/v1/runs/<int:test_id>/attempts", self.attempts),
            ("GET", "/v1/runs/<int:test_id>/messages", self.messages),
            ("GET", "/v1/runs/<int:test_id>/results", self.results),
            ("GET", "/v1/runs/<int:test_id>/report", self.report),
            ("GET", "/v1/runs/<int:test_id>/subunit", self.subunit),
            ("POST", "/v1/runs/<int:test_id>/cancel", self.cancel),
            ("POST", "/v1/runs/<int:test_id>/rerun", self.rerun),
        )
        for method, path, view in rules:
            app.add_url_rule(path, f"runs.{view.__name__}", view, methods=[method])

    def create(self) -> Response:
        """Record a run and give it to the queue."""
        caller = auth.caller(request, self._ledger)
        return self._created(self._desk.create(caller, json_body(), _key()))

    def list(self) -> Response:
        """List runs, newest first; ``before`` is the way to the next page."""
        caller = auth.caller(request, self._ledger)
        given = request.args
        query = RunQuery(
            states=_states(given.getlist("state")),
            scope=self._desk.viewer(caller),
            cloud_id=_optional("cloud_id"),
            tempest_version=text(given, "tempest_version", 40),
            worker=text(given, "worker", 200),
            text=text(given, "q", 200),
            before=_optional("before") or 0,
            limit=number(given.get("limit", 50), "limit", 1, MAX_RUNS),
        )
        runs = self._ledger.runs.find(query)
        more = runs[-1].test_id if len(runs) == query.limit else None
        return jsonify({"runs": [run_json(run) for run in runs], "next_before": more})

    def show(self, test_id: int) -> Response:
        """Show one run; with an ETag, so that a watcher asks cheaply."""
        return self._shown(self._visible(test_id))

    def attempts(self, test_id: int) -> Response:
        """List the attempts of a run."""
        self._visible(test_id)
        return jsonify({"attempts": [attempt_json(attempt) for attempt in self._ledger.attempts.of_run(test_id)]})

    def messages(self, test_id: int) -> Response:
        """List the status messages after the one whose id is given."""
        self._visible(test_id)
        found = self._ledger.runs.messages(test_id, _optional("after") or 0, MAX_MESSAGES)
        more = found[-1].id if len(found) == MAX_MESSAGES else None
        return jsonify({"messages": [message_json(message) for message in found], "next_after": more})

    def results(self, test_id: int) -> Response:
        """List the tests of the result."""
        self._visible(test_id)
        given = request.args
        status = text(given, "status", 8)
        if status not in ("", "passed", "failed", "skipped"):
            raise UsageError("status: passed, failed or skipped is expected")
        most = number(given.get("limit", 500), "limit", 1, MAX_TESTS)
        query = ResultQuery(status, text(given, "q", 200), _optional("after") or 0, most)
        tests = self._ledger.results.tests(test_id, query)
        more = tests[-1].position if len(tests) == most else None
        return jsonify({"tests": [test_json(test) for test in tests], "next_after": more})

    def report(self, test_id: int) -> Response:
        """Show what came of a run: counts, durations, and the tests that failed."""
        run = self._visible(test_id)
        result = self._ledger.results.get(test_id)
        failed = self._ledger.results.tests(test_id, ResultQuery("failed", limit=MAX_TESTS))
        return jsonify(
            {
                "run": run_json(run),
                "passed": result["passed"],
                "failed": result["failed"],
                "skipped": result["skipped"],
                "seconds": result["seconds"],
                "attempt": result["attempt"],
                "accepted_at": iso(result["accepted_at"]),
                "summary": result["summary"],
                "failed_tests": [test_json(test) for test in failed],
            }
        )

    def subunit(self, test_id: int) -> Response:
        """Give out the subunit stream as it was posted, but for the secrets."""
        caller = auth.caller(request, self._ledger)
        self._desk.run(caller, test_id)
        self._ledger.results.get(test_id)
        stream = self._around.downloads.of(caller.token.id, self._ledger.results.stream(test_id))
        answer = Response(stream, mimetype="application/vnd.subunit")
        answer.headers["Content-Disposition"] = f"attachment; filename=run-{test_id}.subunit"
        return answer

    def cancel(self, test_id: int) -> Response:
        """Cancel a run."""
        run = self._desk.cancel(auth.caller(request, self._ledger), test_id)
        answer = jsonify(run_json(run))
        answer.status_code = 200 if run.state.is_end else 202
        return answer

    def rerun(self, test_id: int) -> Response:
        """Run the same again, all of it or what failed. Passwords that no cloud keeps have to be given anew."""
        return self._created(self._desk.rerun(auth.caller(request, self._ledger), test_id, json_body(), _key()))

    def _created(self, run: Run) -> Response:
        answer = self._shown(run)
        answer.status_code = 201
        answer.headers["Location"] = f"/v1/runs/{run.test_id}"
        return answer

    def _visible(self, test_id: int) -> Run:
        """Return a run if it is the caller's; somebody else's looks as if it were not there."""
        return self._desk.run(auth.caller(request, self._ledger), test_id)

    def _shown(self, run: Run) -> Response:
        answer = jsonify(run_json(run))
        answer.add_etag()
        answer.make_conditional(request)
        return answer


def _key() -> str:
    return text(dict(request.headers), "Idempotency-Key", 180)


def _states(names: list[str]) -> tuple[RunState, ...]:
    try:
        return tuple(RunState(name) for text in names for name in text.split(",") if name)
    except ValueError:
        raise UsageError(f"state: one of {', '.join(state.value for state in RunState)} is expected") from None


def _optional(name: str) -> int | None:
    value = request.args.get(name)
    return None if value is None else number(value, name, 0, MAX_ID)
