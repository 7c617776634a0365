"""The pages of runs: list, one run with its tests and verdict, a new one, two compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, g, redirect, request

from refstack_worker.contract.states import RunState
from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server.api.events import Hub
from refstack_worker.server.api.responses import MAX_ID, number, text
from refstack_worker.server.api.users import Wanted, event_stream, exported
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.queue.capacity import place
from refstack_worker.server.results.exports.formats import FORMATS
from refstack_worker.server.services.runs import compare
from refstack_worker.server.web.pages import Answer, Web

PAGE_RUNS = 25
PAGE_TESTS = 100
_STATUSES = ("", "passed", "failed", "skipped")


class RunPages:
    """What a browser does with runs."""

    def __init__(self, web: Web, hub: Hub) -> None:
        self._web = web
        self._ledger = web.ledger
        self._desk = web.desk
        self._hub = hub
        for method, path, view in (
            ("GET", "/runs", self.runs),
            ("GET", "/runs/new", self.new),
            ("POST", "/runs/new", self.create),
            ("GET", "/runs/<int:test_id>", self.run),
            ("GET", "/runs/<int:test_id>/events", self.events),
            ("GET", "/runs/<int:test_id>/file/<name>", self.file),
            ("GET", "/runs/<int:test_id>/compare", self.compare),
            ("POST", "/runs/<int:test_id>/cancel", self.cancel),
            ("POST", "/runs/<int:test_id>/rerun", self.rerun),
            ("POST", "/runs/<int:test_id>/delete", self.delete),
        ):
            web.page(method, path, view, f"run_{view.__name__}")

    def runs(self) -> Answer:
        """List."""
        given = request.args
        state = text(given, "state", 16)
        states = (RunState(state),) if state in {one.value for one in RunState} else _group(state)
        query = RunQuery(
            states=states,
            scope=self._desk.viewer(g.caller),
            text=text(given, "q", 200),
            before=_number("before"),
            limit=PAGE_RUNS + 1,
        )
        found = self._ledger.runs.find(query)
        more = found[PAGE_RUNS - 1].test_id if len(found) > PAGE_RUNS else 0
        return self._web.show(
            "runs.html", runs=found[:PAGE_RUNS], more=more, state=state, q=query.text, before=query.before
        )

    def new(self) -> Answer:
        """Show the form for a new run."""
        return self._form({}, "")

    def create(self) -> Answer:
        """Record a run from the form."""
        form = request.form
        try:
            run = self._desk.create(g.caller, _wish(form))
        except UsageError as error:
            return self._form(form, str(error))
        return redirect(f"/runs/{run.test_id}", 303)

    def run(self, test_id: int) -> Answer:
        """Show one run."""
        run = self._desk.run(g.caller, test_id)
        messages = self._ledger.runs.messages(test_id)
        viewer = self._desk.viewer(g.caller)
        shown: dict[str, Any] = {
            "run": run,
            "messages": messages,
            "last": messages[-1].id if messages else 0,
            "attempts": self._ledger.attempts.of_run(test_id),
            "place": place(self._ledger, run),
            "is_own": viewer is None or run.owner_id in viewer.owner_ids,
            "keeps": bool(run.cloud.id and self._ledger.clouds.get(run.cloud.id).keeps_passwords),
            "choice": self._ledger.guidelines.choice(test_id),
            "formats": tuple(FORMATS),
            **self._result(test_id),
        }
        return self._web.show("run.html", **shown)

    def events(self, test_id: int) -> Answer:
        """Stream what happens to a run."""
        self._desk.run(g.caller, test_id)
        # the page has all that happened before; a browser that comes back says where it was
        return event_stream(self._hub, test_id, _number("after"))

    def file(self, test_id: int, name: str) -> Answer:
        """Give the result out as a file."""
        if name == "subunit":
            self._desk.run(g.caller, test_id)
            self._ledger.results.get(test_id)
            stream = self._web.around.downloads.of(g.caller.token.id, self._ledger.results.stream(test_id))
            answer = Response(stream, mimetype="application/vnd.subunit")
            answer.headers["Content-Disposition"] = f"attachment; filename=run-{test_id}.subunit"
            return answer
        if name not in FORMATS:
            raise NotFoundError(f"there is no format {name[:40]!r}")
        return exported(self._web.around.downloads, self._desk, g.caller, Wanted(test_id, name))

    def compare(self, test_id: int) -> Answer:
        """Show what came out differently than in another run."""
        other = number(request.args.get("with"), "the other run", 1, MAX_ID)
        runs = [self._desk.run(g.caller, one) for one in (test_id, other)]
        for one in runs:
            self._ledger.results.get(one.test_id)
        return self._web.show("compare.html", run=runs[0], other=runs[1], found=compare(self._ledger, other, test_id))

    def cancel(self, test_id: int) -> Answer:
        """Cancel."""
        self._desk.cancel(g.caller, test_id)
        return redirect(f"/runs/{test_id}", 303)

    def rerun(self, test_id: int) -> Answer:
        """Run again."""
        form = request.form
        body = {"only": form.get("only", "all"), "conf_json": passwords(form)}
        run = self._desk.rerun(g.caller, test_id, body)
        return redirect(f"/runs/{run.test_id}", 303)

    def delete(self, test_id: int) -> Answer:
        """Remove."""
        self._desk.delete(g.caller, test_id)
        return redirect("/runs", 303)

    def _result(self, test_id: int) -> dict[str, Any]:
        try:
            result = self._ledger.results.get(test_id)
        except NotFoundError:
            return {"result": None, "tests": (), "more": 0, "verdict": None, "status": "", "q": "", "before": 0}
        status = request.args.get("status", "")
        status = status if status in _STATUSES else ""
        query = ResultQuery(status, text(request.args, "q", 200), _number("after"), PAGE_TESTS + 1)
        tests = self._ledger.results.tests(test_id, query)
        return {
            "result": result,
            "tests": tests[:PAGE_TESTS],
            "more": tests[PAGE_TESTS - 1].position if len(tests) > PAGE_TESTS else 0,
            "verdict": self._ledger.guidelines.verdict(test_id),
            "status": status,
            "q": query.text,
            "before": query.after,
        }

    def _form(self, form: Mapping[str, str], wrong: str) -> Answer:
        viewer = self._desk.viewer(g.caller)
        programs = []
        for stored in self._ledger.guidelines.all(viewer):
            _about, guideline = self._ledger.guidelines.get(stored.id, viewer)
            programs += [
                (f"{stored.id}:{program.name}", stored.name, program.name, len(list(program.tests())))
                for program in guideline.programs.values()
            ]
        versions = sorted({version for node in self._ledger.nodes.all() for version in node.versions}, reverse=True)
        return self._web.show(
            "new_run.html",
            clouds=self._ledger.clouds.all(viewer),
            programs=programs,
            versions=versions,
            form=form,
            wrong=wrong,
            cloud_id=form.get("cloud_id", request.args.get("cloud", "")),
        )


def _wish(form: Mapping[str, str]) -> dict[str, Any]:
    """Return what a form wishes for, as the API would be told it. :raises UsageError: it makes no sense."""
    body: dict[str, Any] = {"label": form.get("label", "").strip(), "conf_json": passwords(form)}
    version = form.get("version", "").strip()
    body["openstack_release" if form.get("by") == "release" else "tempest_version"] = version
    if not version:
        raise UsageError("Which Tempest version or OpenStack release? Please fill it in.")
    if form.get("cloud_id"):
        body["cloud_id"] = number(form["cloud_id"], "cloud", 1, MAX_ID)
    body.update(_chosen(form))
    for name, most in (("concurrency", 64), ("timeout", 172_800)):
        if form.get(name, "").strip():
            body[name] = number(form[name].strip(), name, 0, most)
    body["tag"] = form.get("tag", "").strip()
    return body


def _chosen(form: Mapping[str, str]) -> dict[str, Any]:
    what = form.get("what", "all")
    if what == "guideline":
        wanted, _, program = form.get("program", "").partition(":")
        if not program:
            raise UsageError("Which program of which guideline? Please choose one.")
        chosen = {"id": number(wanted, "guideline", 1, MAX_ID), "program": program}
        return {"guideline": {**chosen, "advisory": form.get("advisory") == "yes"}}
    if what in ("names", "regexes"):
        lines = [line.strip() for line in form.get("tests", "").splitlines() if line.strip()]
        if not lines:
            raise UsageError("Which tests? Please write one on a line.")
        return {"testcases": {what: lines}}
    return {}


def passwords(form: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the options that the password fields of a form make."""
    fields = (
        ("password", "identity", "password"),
        ("alt_password", "identity", "alt_password"),
        ("admin_password", "auth", "admin_password"),
    )
    found: dict[str, dict[str, str]] = {}
    for field, section, option in fields:
        if form.get(field):
            found.setdefault(section, {})[option] = form[field]
    return found


def _group(state: str) -> tuple[RunState, ...]:
    ends = tuple(one for one in RunState if one.is_end)
    groups = {"open": tuple(one for one in RunState if not one.is_end), "ended": ends}
    return groups.get(state, ())


def _number(name: str) -> int:
    value = request.args.get(name)
    return 0 if not value else number(value, name, 0, MAX_ID)
