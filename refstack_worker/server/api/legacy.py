"""The calls of the testers, at the addresses that they have always had, and ``update-test-status``."""

from __future__ import annotations

import json
import logging
from typing import Any, cast

from flask import Flask, Response, jsonify, request

from refstack_worker import execute_test_program
from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import strict_json
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import ConfigError, NotFoundError, PayloadError, RefusedError, StateError, UsageError
from refstack_worker.server import auth
from refstack_worker.server.api.responses import (
    MAX_ID,
    Surroundings,
    UploadFile,
    failure,
    limit,
    number,
    parameters,
    test_id_of,
)
from refstack_worker.server.domain.attempts import AttemptKey, Proof
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.results import acceptance
from refstack_worker.server.services import mini_conf

LOG = logging.getLogger(__name__)

MAX_SUMMARY = 65_536
_OVERHEAD = 1024 * 1024
"""Bytes of a multipart body beside the file itself."""


class TesterCalls:
    """``get-miniconf``, ``get-testcases``, ``post-result``, ``get-script``, ``update-test-status``."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._ledger = around.ledger
        self._web = around.settings.web

    def register(self, app: Flask) -> None:
        """Add the calls to an application."""
        app.add_url_rule("/get-miniconf", view_func=self.get_miniconf)
        app.add_url_rule("/get-testcases", view_func=self.get_testcases)
        app.add_url_rule("/post-result", view_func=self.post_result, methods=["POST"])
        app.add_url_rule("/get-script", view_func=self.get_script)
        app.add_url_rule(
            "/update-test-status/", view_func=self.update_test_status, methods=["POST"], strict_slashes=False
        )

    def get_miniconf(self) -> Response:
        """Tell what is known of the cloud under test."""
        test_id = test_id_of(request.args.get("test_id"))
        self._admit(test_id)
        cloud = self._ledger.clouds.of_test(test_id)
        if cloud is None:
            raise NotFoundError(f"Invalid test ID: there is no test {test_id}")
        return _attached(mini_conf.mini_conf(self._around.settings.tempest, cloud), "miniconf.json")

    def get_testcases(self) -> Response:
        """Tell which tests to run."""
        test_id = test_id_of(request.args.get("test_id"))
        key = self._admit(test_id)
        spec = self._ledger.runs.get(test_id).spec if key is not None else None
        cases = mini_conf.testcases(self._around.settings.tempest, spec)
        return _attached({"testcases": cases}, "testcases.json")

    def post_result(self) -> Response:
        """Take a result."""
        if "test_id" not in request.args:
            return self._anonymous()
        test_id = test_id_of(request.args["test_id"])
        attempt = request.args.get("attempt")
        proof = self._proof(test_id, number(attempt, "attempt", 1, MAX_ID) if attempt is not None else None)
        try:
            self._ledger.attempts.check_known(proof)
            accepted = acceptance.accept(self._ledger, proof, self._upload())
        except RefusedError as error:
            LOG.info("run %d: a result was refused: %s", test_id, error.reason)
            raise
        LOG.info("run %s: result %s", accepted.key, "repeated" if accepted.repeated else "accepted")
        answer = jsonify({"message": "thank you", "test_id": test_id, "attempt": accepted.key.attempt})
        answer.status_code = 201
        return answer

    def get_script(self) -> Response:
        """Return ``execute_test`` as one file."""
        try:
            return Response(execute_test_program.script(), mimetype="text/x-python")
        except ConfigError as error:
            raise NotFoundError(f"{error} beside this server") from error

    def update_test_status(self) -> Response:
        """Take a status from a tester: 202; 400 malformed; 405 from whoever may not say it."""
        if not auth.is_from(request, self._web.testing_hosts, self._web.trusted_proxies):
            return _not_allowed("host", "status is only taken from known testing hosts (TESTING_HOSTS)")
        given = parameters()
        test_id = test_id_of(_needed(given, "test_id"))
        envelope = _needed(given, "payload")
        if not isinstance(envelope, str):
            raise UsageError("payload: the text that the worker was given is expected")
        attempt = number(given["attempt"], "attempt", 1, MAX_ID) if given.get("attempt") else None
        digest = sealing.digest(envelope.strip().encode("utf-8"))
        try:
            report = Report.from_json(given)
            key = self._ledger.attempts.report(auth.proof(request, test_id, attempt, digest), report)
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

    def _admit(self, test_id: int) -> AttemptKey | None:
        """Return the attempt of whoever asks; None for a test of old that is no run, where the operator allows it."""
        if self._web.allow_anonymous_results and not self._ledger.runs.exists(test_id):
            return None
        return self._ledger.attempts.check(self._proof(test_id, None))

    def _proof(self, test_id: int, attempt: int | None) -> Proof:
        return auth.proof(request, test_id, attempt)

    def _anonymous(self) -> Response:
        if not self._web.allow_anonymous_results:
            raise refused("no-proof", "results without a run are not taken here; give test_id and the proof")
        test_id = acceptance.accept_anonymous(self._ledger, self._upload())
        answer = jsonify({"message": "thank you", "test_id": test_id})
        answer.status_code = 201
        return answer

    def _upload(self) -> Upload:
        limit(self._web.max_result_bytes + _OVERHEAD)
        file = request.files.get("file")
        if file is None:
            raise UsageError("file: the multipart field with the subunit stream is missing")
        summary = _summary(request.form.get("summary", ""))
        stream = cast(UploadFile, file.stream)
        stream.flush()
        return Upload.of(stream.path, summary)


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
        raise UsageError("summary: a JSON object is expected")
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
