"""The testers' calls, at the addresses that they have always had, and ``update-test-status``."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, cast

from flask import Blueprint, Response, jsonify, request
from werkzeug.datastructures import FileStorage

from refstack_worker import execute_test_program
from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import strict_json
from refstack_worker.contract.run_log import LOG_FIELD
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import ConfigError, NotFoundError, PayloadError, RefusedError, StateError, UsageError
from refstack_worker.server import auth
from refstack_worker.server.domain.attempts import AttemptKey, Proof
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.results import acceptance
from refstack_worker.server.services import mini_conf
from refstack_worker.server.services.inputs.schema import MAX_ID
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.responses import (
    UploadFile,
    failure,
    limit,
    number,
    parameters,
    test_id_of,
)

LOG = logging.getLogger(__name__)

MAX_SUMMARY = 65_536


LEGACY = Blueprint("legacy", __name__)


@LEGACY.get("/get-miniconf")
def get_miniconf() -> Response:
    """Return the options of the cloud under test."""
    test_id = test_id_of(request.args.get("test_id"))
    _admit(test_id)
    cloud = context().ledger.clouds.of_test(test_id)
    if cloud is None:
        raise NotFoundError(f"Invalid test ID: there is no test {test_id}")
    return _attached(mini_conf.mini_conf(context().settings.tempest, cloud), "miniconf.json")


@LEGACY.get("/get-testcases")
def get_testcases() -> Response:
    """Tell which tests to run."""
    test_id = test_id_of(request.args.get("test_id"))
    key = _admit(test_id)
    spec = context().ledger.runs.get(test_id).spec if key is not None else None
    cases = mini_conf.testcases(context().settings.tempest, spec)
    return _attached({"testcases": cases}, "testcases.json")


@LEGACY.post("/post-result")
def post_result() -> Response:
    if "test_id" not in request.args:
        return _anonymous(None)
    test_id = test_id_of(request.args["test_id"])
    if _is_anonymous(test_id):
        return _anonymous(test_id)
    attempt = request.args.get("attempt")
    proof = _proof(test_id, number(attempt, "attempt", 1, MAX_ID) if attempt is not None else None)
    try:
        context().ledger.attempts.check_known(proof)
        accepted = acceptance.accept(context().ledger, proof, _upload())
    except RefusedError as error:
        LOG.info("run %d: a result was refused: %s", test_id, error.reason)
        raise
    LOG.info("run %s: result %s", accepted.key, "repeated" if accepted.repeated else "accepted")
    answer = jsonify({"message": "thank you", "test_id": test_id, "attempt": accepted.key.attempt})
    answer.status_code = 201
    return answer


@LEGACY.get("/get-script")
def get_script() -> Response:
    """Return ``execute_test`` as one file."""
    try:
        return Response(execute_test_program.script(), mimetype="text/x-python")
    except ConfigError as error:
        raise NotFoundError(f"{error} beside this server") from error


@LEGACY.post("/update-test-status/", strict_slashes=False)
def update_test_status() -> Response:
    """Record a status from a tester. 202: recorded; 400: malformed; 405: this caller must not report it."""
    if not auth.is_from(request, context().settings.web.testing_hosts, context().settings.web.trusted_proxies):
        return _not_allowed("host", "status updates are only accepted from testing hosts (TESTING_HOSTS)")
    given = parameters()
    test_id = test_id_of(_needed(given, "test_id"))
    envelope = _needed(given, "payload")
    if not isinstance(envelope, str):
        raise UsageError("payload: must be the sealed text that the worker received")
    attempt = number(given["attempt"], "attempt", 1, MAX_ID) if given.get("attempt") else None
    digest = sealing.digest(envelope.strip().encode("utf-8"))
    try:
        report = Report.from_json(given)
        key = context().ledger.attempts.report(auth.proof(request, test_id, attempt, digest), report)
    except PayloadError as error:
        return failure(400, str(error), "payload")
    except StateError as error:
        return failure(400, str(error), error.reason)
    except (RefusedError, NotFoundError) as error:
        LOG.info("run %d: a status was refused: %s", test_id, error.reason)
        return _not_allowed(error.reason, str(error))
    answer = jsonify({"test_id": key.test_id, "attempt": key.attempt})
    answer.status_code = 202
    return answer


def _admit(test_id: int) -> AttemptKey | None:
    """Return the caller's attempt; None for an old test that is not a run, where the operator allows it."""
    return None if _is_anonymous(test_id) else context().ledger.attempts.check(_proof(test_id, None))


def _is_anonymous(test_id: int) -> bool:
    """Return whether a test needs no proof: it is not a run, and the operator allows it, as RefStack did in 2014."""
    return context().settings.web.allow_anonymous_results and not context().ledger.runs.exists(test_id)


def _proof(test_id: int, attempt: int | None) -> Proof:
    return auth.proof(request, test_id, attempt)


def _anonymous(given: int | None) -> Response:
    if not context().settings.web.allow_anonymous_results:
        raise refused("no-proof", "results without a run are not accepted here; send test_id and the token")
    test_id = acceptance.accept_anonymous(context().ledger, _upload(), given)
    answer = jsonify({"message": "thank you", "test_id": test_id})
    answer.status_code = 201
    return answer


def _upload() -> Upload:
    limit(context().settings.web.max_post_bytes)
    file = request.files.get("file")
    if file is None:
        raise UsageError("file: the multipart field with the subunit stream is missing")
    summary = _summary(request.form.get("summary", ""))
    log = request.files.get(LOG_FIELD)
    return Upload.of(_path_of(file), summary, _path_of(log) if log else None)


def _path_of(file: FileStorage) -> Path:
    stream = cast(UploadFile, file.stream)
    stream.flush()
    return stream.path


def _summary(text: str) -> dict[str, Any]:
    if not text:
        return {}
    if len(text) > MAX_SUMMARY:
        raise UsageError(f"summary: more than {MAX_SUMMARY} characters")
    try:
        value = strict_json.loads(text, "summary")
    except PayloadError as error:
        raise UsageError(str(error)) from None
    if not isinstance(value, dict):
        raise UsageError("summary: must be a JSON object")
    return value


def _needed(given: Any, name: str) -> Any:
    value = given.get(name)
    if value is None or value == "":
        raise UsageError(f"{name}: is missing")
    return value


def _attached(value: Any, name: str) -> Response:
    answer = Response(json.dumps(value), mimetype="application/json")
    answer.headers["Content-Disposition"] = f"attachment; filename={name}"
    return answer


def _not_allowed(reason: str, message: str) -> Response:
    answer = failure(405, message, reason)
    # RFC 9110 wants the header; for this caller there is no method that is allowed
    answer.headers["Allow"] = ""
    return answer
