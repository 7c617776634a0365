"""Reading a request's body, and answering with an error."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import parse_qsl

from flask import Request, Response, current_app, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from refstack_worker.contract import envelope, strict_json
from refstack_worker.errors import PayloadError, RefstackError, UsageError
from refstack_worker.server.services.inputs.checks import FieldError, field_errors
from refstack_worker.server.services.inputs.schema import MAX_ID

MAX_BODY = envelope.MAX_BYTES + 64 * 1024
"""Bytes of a body that is not a result: an envelope and a few words."""
MAX_CALL_BODY = 9 * 1024 * 1024
"""Bytes of any body but a posted result: a guideline file in JSON, or an imported result."""
_FIELDS = 100
PROBLEMS = "/v1/problems/"
"""Where a problem's type is explained."""

STATUSES: Mapping[str, int] = {
    "usage": 400,
    "payload": 400,
    "result": 400,
    "no-proof": 401,
    "no-token": 401,
    "wrong-token": 401,
    "wrong-proof": 403,
    "enrolment": 403,
    "revoked": 403,
    "key": 403,
    "wrong-payload": 403,
    "host": 403,
    "scope": 403,
    "sign-in": 403,
    "seal": 403,
    "not-found": 404,
    "state": 409,
    "superseded": 409,
    "ended": 409,
    "claimed": 409,
    "unclaimed": 409,
    "accepted": 409,
    "open-runs": 409,
    "storage": 409,
    "replayed": 409,
    "key-reused": 422,
    "busy": 429,
    "server": 502,
    "unanswered": 502,
    "uploading": 409,
    "refused": 502,
    "ledger": 503,
    "queue": 503,
    "key-file": 503,
}
"""HTTP status of each reason that an error of the domain carries."""

TITLES: Mapping[int, str] = {
    400: "Invalid request",
    401: "Token required",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    422: "Idempotency key reused",
    429: "Too many requests",
    500: "Server error",
    502: "Another server failed",
    503: "Temporarily unavailable",
}


class StreamedRequest(Request):
    """A request whose uploaded files go to the data folder as they come, up to the limit."""

    max_form_memory_size = MAX_BODY

    def _get_file_stream(self, *_about: Any, **_more: Any) -> IO[bytes]:
        made = UploadFile(current_app.config["UPLOADS"], current_app.config["MAX_RESULT_BYTES"])
        return cast("IO[bytes]", made)


def json_body(most: int = MAX_BODY) -> dict[str, Any]:
    """Return the JSON object in the request. :raises UsageError: it holds none."""
    try:
        value = strict_json.loads(_text(_body(most)), "body")
    except PayloadError as error:
        raise UsageError(str(error)) from None
    if not isinstance(value, dict):
        raise UsageError("body: must be a JSON object")
    return value


def parameters() -> Mapping[str, Any]:
    """Return the parameters of a call that takes a form or JSON. :raises UsageError: neither, or one is given twice."""
    if request.mimetype == "application/json" or request.mimetype.endswith("+json"):
        return json_body()
    if request.mimetype == "multipart/form-data":
        limit(MAX_BODY)
        pairs = list(request.form.items(multi=True))
    else:
        pairs = _pairs(_text(_body(MAX_BODY)))
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UsageError("body: a parameter is given twice")
    return found


def limit(most: int) -> None:
    """Refuse a request whose body is larger than it may be, or does not say how large it is."""
    if request.content_length is None and "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        return
    if (request.content_length or 0) > most:
        raise RequestEntityTooLarge()


def test_id_of(value: Any) -> int:
    """Return a test id from a parameter. :raises UsageError: it is none."""
    return number(value, "test_id", 1, MAX_ID)


def number(value: Any, name: str, least: int, most: int) -> int:
    """Return a whole number from a parameter, given as a number or as text. :raises UsageError: it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{name}: must be a whole number from {least} to {most}")
    return value


def text(body: Mapping[str, Any], name: str, longest: int, needed: bool = False) -> str:
    """Return a printable text from a parameter. :raises UsageError: it is none."""
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise UsageError(f"{name}: must be printable text of at most {longest} characters")
    if needed and not value:
        raise UsageError(f"{name}: is missing")
    return value


def failure(status: int, message: str, reason: str) -> Response:
    """Return the answer of a tester's or worker's call that fails."""
    answer = jsonify({"error": message, "reason": reason})
    answer.status_code = status
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def problem(status: int, detail: str, reason: str, errors: Sequence[FieldError] = ()) -> Response:
    """Return a failure as RFC 9457 has it: what ``/v1`` answers."""
    about: dict[str, Any] = {
        "type": f"{PROBLEMS}{reason}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "reason": reason,
    }
    if errors:
        about["errors"] = [asdict(error) for error in errors]
    answer = jsonify(about)
    answer.status_code = status
    answer.mimetype = "application/problem+json"
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def status_of(error: RefstackError) -> int:
    """Return the HTTP status of an error of the domain."""
    return STATUSES.get(error.reason, 500)


def problem_of(error: RefstackError) -> Response:
    """Return the answer of a call of ``/v1`` that an error of the domain ended."""
    status = status_of(error)
    detail = "The server can't do that now; see its log." if status == 500 else str(error)
    return problem(status, detail, error.reason, field_errors(error) if status == 400 else ())


def _body(most: int) -> bytes:
    limit(most)
    if request.content_encoding not in (None, "", "identity"):
        raise UsageError("body: is compressed; send it without Content-Encoding")
    data = request.stream.read(most + 1)
    if len(data) > most:
        raise RequestEntityTooLarge()
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("body: not UTF-8") from None


def _pairs(data: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(data, keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except (ValueError, UnicodeError):
        raise UsageError("body: must be a form or a JSON object") from None


class UploadFile:
    """A named temporary file that takes so many bytes and no more, and is gone when it is closed."""

    def __init__(self, folder: Path, most: int) -> None:
        # without a buffer: what a full disk did not take would be tried again when the file is closed
        self._file = tempfile.NamedTemporaryFile(dir=folder, prefix="upload-", buffering=0)
        self._left = most
        self.path = Path(self._file.name)

    def write(self, data: bytes) -> int:
        """Write. :raises RequestEntityTooLarge: more than is allowed."""
        self._left -= len(data)
        if self._left < 0:
            raise RequestEntityTooLarge()
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        return len(data)

    def __getattr__(self, name: str) -> Any:
        # read, seek, close and what else werkzeug asks of a file
        return getattr(self._file, name)
