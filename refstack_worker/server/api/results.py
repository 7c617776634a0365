"""``/v1/runs/{test_id}/…``: what came of a run: tests, report, verdict, exports, comparison, upload."""

from __future__ import annotations

from flask import Response, jsonify

from refstack_worker.contract import export_formats
from refstack_worker.errors import NotFoundError
from refstack_worker.server.api.links import next_page
from refstack_worker.server.api.openapi.schemas import NEXT, STATUS, page, reference
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import iso, test_json
from refstack_worker.server.domain.guidelines import Choice
from refstack_worker.server.domain.results import ResultQuery
from refstack_worker.server.results.exports.formats import FORMATS
from refstack_worker.server.services import signed_verdicts, uploads
from refstack_worker.server.services.causes import causes
from refstack_worker.server.services.compare import compare
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import FLAG, array, fields, integer, shape, string
from refstack_worker.server.serving.files import exported_file, log_file, subunit_file, subunit_v1_file

MAX_TESTS = 2000
RESULTS = Resource("results", "Read, compare, export and upload results.")
_ONE = "/v1/runs/<int:test_id>"
_UPLOAD = fields(
    signature=string(2048, description="Signature made elsewhere: hex, RSA PKCS#1 v1.5 with SHA-256"),
    public_key=string(4096, description="Public key of the signature, in OpenSSH format"),
    again={**FLAG, "description": "Send it although an earlier upload, which got no answer, may have arrived"},
)
_GUIDELINE = {"guideline": string(60, description="Such as 2020.06"), "program": string(200)}
"""Another guideline and program than those that the run was made by."""


@RESULTS.call(
    "GET",
    f"{_ONE}/results",
    Who.TOKEN,
    {200: page("tests", "Test", "next_after")},
    (404,),
    Takes(
        query={
            "status": STATUS,
            "q": string(200, description="Part of a test's name or id"),
            "after": NEXT,
            "limit": integer(1, MAX_TESTS),
        }
    ),
)
def list_tests(call: Call, test_id: int) -> Response:
    """List the tests of a result."""
    call.run(test_id)
    given = call.query
    most = given.get("limit", 500)
    query = ResultQuery(given.get("status", ""), given.get("q", ""), given.get("after", 0), most)
    tests = call.ledger.results.tests(test_id, query)
    more = tests[-1].position if len(tests) == most else None
    return next_page({"tests": [test_json(test) for test in tests], "next_after": more}, "after", more)


@RESULTS.call("GET", f"{_ONE}/report", Who.TOKEN, {200: reference("Report")}, (404,))
def show_report(call: Call, test_id: int) -> Response:
    """Show a run's result: counts, duration, why tests failed, failed tests."""
    run = call.run(test_id)
    result = call.ledger.results.get(test_id)
    failed = call.ledger.results.tests(test_id, ResultQuery("failed", limit=MAX_TESTS))
    return jsonify(
        {
            "run": call.runs_json([run])[0],
            **{name: result[name] for name in ("passed", "failed", "skipped", "seconds", "attempt")},
            "accepted_at": iso(result["accepted_at"]),
            "summary": result["summary"],
            "causes": [{"line": one.line, "fix": one.fix, "tests": len(one.tests)} for one in causes(failed)],
            "failed_tests": [test_json(test) for test in failed],
        }
    )


@RESULTS.call("GET", f"{_ONE}/subunit", Who.TOKEN, {200: "application/vnd.subunit"}, (404,), Takes(cost=5))
def download_subunit(call: Call, test_id: int) -> Response:
    """Download the subunit stream as it was posted, secrets masked."""
    call.run(test_id)
    return subunit_file(call.context, call.caller, test_id)


@RESULTS.call("GET", f"{_ONE}/log", Who.TOKEN, {200: "text/plain"}, (404,), Takes(cost=5))
def download_log(call: Call, test_id: int) -> Response:
    """Download Tempest's own log of a run, secrets masked.

    At most 32 MiB: of a longer log the first 8 MiB and the last 24 MiB are kept.
    """
    call.run(test_id)
    return log_file(call.context, call.caller, test_id)


@RESULTS.call(
    "GET",
    f"{_ONE}/exports/<name>",
    Who.TOKEN,
    {200: tuple(one.mimetype for one in FORMATS.values())},
    (404,),
    Takes(query=_GUIDELINE, cost=5),
)
def download_export(call: Call, test_id: int, name: str) -> Response:
    """Download a result as JUnit XML, HTML, CSV or JSON, or its verdict signed by the server's key."""
    if name == export_formats.SIGNED_VERDICT:
        return _signed_verdict(call, test_id)
    if name == export_formats.SUBUNIT_V1:
        call.run(test_id)
        return subunit_v1_file(call.context, call.caller, test_id)
    if name not in FORMATS:
        raise NotFoundError(f"unknown format {name[:40]!r}; choose from {', '.join(export_formats.ALL)}")
    return exported_file(call.context, call.caller, test_id, name)


@RESULTS.call(
    "GET",
    f"{_ONE}/verdict",
    Who.TOKEN,
    {200: reference("Verdict")},
    (404,),
    Takes(query=_GUIDELINE, cost=5),
)
def show_verdict(call: Call, test_id: int) -> Response:
    """Show what a result means for a program: the run's own, or another."""
    call.run(test_id)
    call.ledger.results.get(test_id)
    # to judge reads the whole result, as giving it out does
    with call.context.downloads.turn(call.caller.token.account):
        found = call.ledger.guidelines.verdict(test_id, _choice(call))
    if found is None:
        raise NotFoundError(
            f"run {test_id} was not started from a guideline; name one: "
            "?guideline=2020.06&program=… (refstack-queue run verdict: --guideline and --program)"
        )
    return jsonify(found.to_json())


@RESULTS.call("GET", f"{_ONE}/compare/<int:other>", Who.TOKEN, {200: reference("Comparison")}, (404,), Takes(cost=10))
def compare_runs(call: Call, test_id: int, other: int) -> Response:
    """Show what changed from another run to this one."""
    for one in (test_id, other):
        call.run(one)
        call.ledger.results.get(one)
    found = compare(call.ledger, other, test_id)
    return jsonify({kind: [test_json(test) for test in tests] for kind, tests in found.items()})


@RESULTS.call(
    "POST",
    f"{_ONE}/upload",
    Who.WRITER,
    {200: shape(test_id=string(), url=string(), repeated=FLAG, notes=array(string()))},
    (404, 409, 413, 502),
    Takes(_UPLOAD, "Upload", {}),
)
def upload_result(call: Call, test_id: int) -> Response:
    """Upload the passed tests to the RefStack server that the operator configured, once.

    They are signed with the vendor's own key, or with the signature in the request, made of the export `refstack`.
    If an upload gets no answer, look at the RefStack server: only `again` sends the result a second time.
    """
    run = call.context.runs.owned(call.caller, test_id)
    done = uploads.upload_run(call.ledger, call.caller, run, uploads.UploadWish(**call.body))
    record = done.record
    return jsonify(
        {"test_id": record.remote_id, "url": record.url, "repeated": done.repeated, "notes": list(done.notes)}
    )


def _signed_verdict(call: Call, test_id: int) -> Response:
    call.run(test_id)
    with call.context.downloads.turn(call.caller.token.account):
        answer = jsonify(signed_verdicts.signed(call.ledger, test_id, _choice(call)))
    answer.headers["Content-Disposition"] = f"attachment; filename=run-{test_id}.verdict.json"
    return answer


def _choice(call: Call) -> Choice | None:
    guideline, program = call.query.get("guideline", ""), call.query.get("program", "")
    if not guideline:
        return None
    if not program:
        raise invalid("program", "is required with a guideline")
    return call.context.guidelines.choice(call.caller, guideline, program)
