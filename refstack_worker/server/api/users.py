"""``/v1`` beyond the runs themselves: who one is, what a result says, live events, shares, accounts, demand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from flask import Flask, Response, jsonify, request

from refstack_worker.contract import strict_json
from refstack_worker.errors import NotFoundError, StateError, UsageError
from refstack_worker.server import auth
from refstack_worker.server.api.downloads import Downloads
from refstack_worker.server.api.events import Hub
from refstack_worker.server.api.openapi.document import document
from refstack_worker.server.api.responses import MAX_ID, Surroundings, json_body, number, text
from refstack_worker.server.api.serializers import test_json
from refstack_worker.server.domain.guidelines import Choice
from refstack_worker.server.queue.capacity import demand, place
from refstack_worker.server.results import upload
from refstack_worker.server.results.exports.formats import FORMATS
from refstack_worker.server.services.runs import RunService, all_tests, compare


class UserCalls:
    """What vendors and operators ask beside the runs."""

    def __init__(self, around: Surroundings, hub: Hub) -> None:
        self._ledger = around.ledger
        self._desk = RunService(around.ledger, around.nudge)
        self._hub = hub
        self._downloads = around.downloads

    def register(self, app: Flask) -> None:
        """Add the calls to an application."""
        run = "/v1/runs/<int:test_id>"
        rules: tuple[tuple[str, str, Any], ...] = (
            ("GET", "/v1/openapi.json", self.openapi),
            ("GET", "/v1/me", self.me),
            ("DELETE", run, self.delete),
            ("GET", f"{run}/place", self.place),
            ("GET", f"{run}/events", self.events),
            ("GET", f"{run}/verdict", self.verdict),
            ("GET", f"{run}/exports/<name>", self.export),
            ("GET", f"{run}/compare/<int:other>", self.compare),
            ("POST", f"{run}/upload", self.upload),
            ("GET", f"{run}/shares", self.shares),
            ("POST", f"{run}/shares", self.share),
            ("DELETE", f"{run}/shares/<int:vendor_id>", self.unshare),
            ("GET", "/v1/vendors", self.vendors),
            ("POST", "/v1/vendors", self.add_vendor),
            ("GET", "/v1/users", self.users),
            ("POST", "/v1/users", self.add_user),
            ("GET", "/v1/demand", self.demand),
            ("GET", "/metrics", self.metrics),
        )
        for method, path, view in rules:
            app.add_url_rule(path, f"users.{view.__name__}", view, methods=[method])

    def openapi(self) -> Response:
        """Describe these calls; needs no token."""
        return jsonify(document())

    def me(self) -> Response:
        """Tell who the token belongs to and what it may."""
        token = self._caller().token
        user = self._ledger.accounts.user(token.user_id) if token.user_id is not None else None
        return jsonify(
            {
                "token": token.name,
                "scopes": list(token.scopes),
                "user": asdict(user) if user else None,
            }
        )

    def delete(self, test_id: int) -> Response:
        """Remove a run that has ended."""
        self._desk.delete(self._caller(), test_id)
        return Response(status=204)

    def place(self, test_id: int) -> Response:
        """Tell where a run stands in the queue and when it may start."""
        found = place(self._ledger, self._desk.run(self._caller(), test_id))
        if found is None:
            raise StateError(f"run {test_id} does not wait")
        return jsonify(asdict(found))

    def events(self, test_id: int) -> Response:
        """Stream what happens to a run."""
        self._desk.run(self._caller(), test_id)
        return event_stream(self._hub, test_id)

    def verdict(self, test_id: int) -> Response:
        """Judge a result by a guideline: the one that the run was made by, or another."""
        caller = self._caller()
        self._desk.run(caller, test_id)
        self._ledger.results.get(test_id)
        found = self._ledger.guidelines.verdict(test_id, self._asked(caller))
        if found is None:
            raise NotFoundError(
                f"run {test_id} was not made by a guideline; name one: "
                "?guideline=2020.06&program=… (refstack-queue run verdict: --guideline and --program)"
            )
        return jsonify(found.to_json())

    def export(self, test_id: int, name: str) -> Response:
        """Give a result out as JUnit XML, HTML, CSV or JSON."""
        caller = self._caller()
        if name not in FORMATS:
            raise NotFoundError(f"there is no format {name[:40]!r}; there are subunit, {', '.join(FORMATS)}")
        return exported(self._downloads, self._desk, caller, Wanted(test_id, name))

    def compare(self, test_id: int, other: int) -> Response:
        """Tell what came out differently in this run than in another."""
        caller = self._caller()
        for one in (test_id, other):
            self._desk.run(caller, one)
            self._ledger.results.get(one)
        found = compare(self._ledger, other, test_id)
        return jsonify({kind: [test_json(test) for test in tests] for kind, tests in found.items()})

    def upload(self, test_id: int) -> Response:
        """Upload the passed tests to the RefStack server that the operator configured, signed with his key."""
        caller = self._caller()
        run = self._desk.own_run(caller, test_id)
        outbound = self._ledger.settings.outbound
        if not outbound.upload_url or outbound.upload_key is None:
            raise StateError("no upload: the operator sets UPLOAD_URL and UPLOAD_KEY_FILE")
        result = self._ledger.results.get(test_id)
        cpid = str(result["summary"].get("cpid") or upload.cpid_of(run.cloud.endpoint_v3))
        body = upload.body(cpid, result["seconds"], all_tests(self._ledger, test_id))
        return jsonify(upload.send(outbound.upload_url, upload.sign(body, outbound.upload_key)))

    def shares(self, test_id: int) -> Response:
        """List the vendors that a run is shared with; they do not see one another."""
        self._desk.owned(self._caller(), test_id)
        return jsonify({"vendors": self._ledger.accounts.shares(test_id)})

    def share(self, test_id: int) -> Response:
        """Let another vendor look at a run."""
        self._desk.own_run(self._caller(), test_id)
        self._ledger.accounts.share(test_id, number(json_body().get("vendor_id"), "vendor_id", 1, MAX_ID))
        return jsonify({"vendors": self._ledger.accounts.shares(test_id)})

    def unshare(self, test_id: int, vendor_id: int) -> Response:
        """Let another vendor look at a run no longer."""
        self._desk.own_run(self._caller(), test_id)
        self._ledger.accounts.unshare(test_id, number(vendor_id, "vendor_id", 1, MAX_ID))
        return Response(status=204)

    def vendors(self) -> Response:
        """List vendors."""
        self._operator()
        return jsonify({"vendors": [asdict(vendor) for vendor in self._ledger.accounts.vendors()]})

    def add_vendor(self) -> Response:
        """Enter a vendor."""
        self._operator()
        body = json_body()
        given = [text(body, name, longest) for name, longest in (("contact_name", 120), ("contact_email", 120))]
        made = self._ledger.accounts.add_vendor(text(body, "name", 80, needed=True), *given)
        answer = jsonify(asdict(made))
        answer.status_code = 201
        return answer

    def users(self) -> Response:
        """List users."""
        self._operator()
        return jsonify({"users": [asdict(user) for user in self._ledger.accounts.users()]})

    def add_user(self) -> Response:
        """Enter a user of a vendor."""
        self._operator()
        body = json_body()
        given = body.get("vendor_id")
        vendor_id = None if given is None else number(given, "vendor_id", 1, MAX_ID)
        made = self._ledger.accounts.add_user(text(body, "name", 60, needed=True), text(body, "email", 200), vendor_id)
        answer = jsonify(asdict(made))
        answer.status_code = 201
        return answer

    def demand(self) -> Response:
        """Tell what waits for which nodes, and how many more slots are needed."""
        self._operator()
        return jsonify({"demand": [asdict(row) for row in demand(self._ledger)]})

    def metrics(self) -> Response:
        """The same for Prometheus."""
        self._operator()
        return Response(metrics_text(self._ledger), mimetype="text/plain; version=0.0.4")

    def _asked(self, caller: auth.Caller) -> Choice | None:
        name = text(request.args, "guideline", 60)
        if not name:
            return None
        try:
            stored, guideline = self._ledger.guidelines.get(name, self._desk.viewer(caller))
            program = guideline.program(text(request.args, "program", 200, needed=True))
        except NotFoundError as error:
            raise UsageError(str(error)) from None
        return Choice(stored.id, program.name)

    def _operator(self) -> auth.Caller:
        caller = self._caller()
        caller.need_operator()
        return caller

    def _caller(self) -> auth.Caller:
        return auth.caller(request, self._ledger)


def event_stream(hub: Hub, test_id: int, after: int = 0) -> Response:
    """Return the answer that follows a run. :param after: last message that the watcher has, unless it says itself."""
    last = request.headers.get("Last-Event-ID", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 12 else after
    answer = Response(hub.stream(test_id, after), mimetype="text/event-stream")
    answer.headers["Cache-Control"] = "no-cache"
    # nginx would keep the events back until its buffer is full
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


@dataclass(frozen=True)
class Wanted:
    """A run, and the name of one of :data:`FORMATS`."""

    test_id: int
    format: str


def exported(downloads: Downloads, desk: RunService, caller: auth.Caller, wanted: Wanted) -> Response:
    """Return a result in one of the formats, as a file."""
    given = FORMATS[wanted.format]
    pieces = downloads.of(caller.token.id, given.make(desk.exported(caller, wanted.test_id)))
    answer = Response(pieces, mimetype=given.mimetype)
    answer.headers["Content-Disposition"] = f"attachment; filename=run-{wanted.test_id}.{given.suffix}"
    # the one-file page brings its style with it and nothing else
    answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return answer


def metrics_text(ledger: Any) -> str:
    """Return the demand in the text format of Prometheus."""
    lines = []
    names = (
        ("queued", "refstack_runs_queued", "Runs that wait for a node."),
        ("running", "refstack_runs_held", "Runs that a node holds."),
        ("waited", "refstack_wait_seconds", "How long the oldest of those that wait has waited."),
        ("slots", "refstack_slots", "Slots of ready nodes that serve it."),
        ("needed", "refstack_slots_needed", "Further slots that would let all that waits run at once."),
    )
    rows = demand(ledger)
    for field, name, meaning in names:
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        for row in rows:
            label = strict_json.dumps(row.function)
            lines.append(f"{name}{{function={label}}} {getattr(row, field):g}")
    return "\n".join(lines) + "\n"
