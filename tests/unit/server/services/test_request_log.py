"""The requests of one test out of a stored stream, as Tempest's rest_client logs them."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from pathlib import Path

import pytest
from subunit import StreamResultToBytes

from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.services.request_log import LoggedRequest, request_log, requests_in
from tests.support.ledgers import PASSWORD, claimed

REQUEST_ID = "req-70a599e0-31e7-49b7-b260-868f441e862b"
LOG = f"""2026-11-25 10:00:00,123 7 INFO     [tempest.lib.common.rest_client] Request (TokensV3Test:test_create_token): 201 POST http://10.0.0.1:5000/v3/auth/tokens 0.131s
2026-11-25 10:00:00,124 7 DEBUG    [tempest.lib.common.rest_client] Request - Headers: {{'Content-Type': 'application/json'}}
        Body: <omitted>
    Response - Headers: {{'x-openstack-request-id': '{REQUEST_ID}', 'status': '201'}}
2026-11-25 10:00:01,000 7 INFO     [tempest.lib.common.rest_client] Request (TokensV3Test:test_create_token): 404 GET http://10.0.0.1:5000/v3/users?name={PASSWORD} 0.02s
"""  # noqa: E501


def stored(ledger: Ledger, folder: Path) -> int:
    """A result of two tests, each with a log."""
    job = claimed(ledger)
    buffer = io.BytesIO()
    out = StreamResultToBytes(buffer)
    at = datetime(2027, 1, 1, tzinfo=timezone.utc)
    for name in ("a.B.test_one[id-x]", "a.B.test_two"):
        out.status(name, "inprogress", timestamp=at)
        text = LOG if "two" in name else "of another test"
        out.status(name, file_name="pythonlogging:''", file_bytes=text.encode(), mime_type="text/plain", timestamp=at)
        out.status(name, "success", timestamp=at)
    file = folder / "result"
    file.write_bytes(buffer.getvalue())
    acceptance.accept(ledger, job.proof, Upload.of(file, {}))
    return job.submission.key.test_id


def test_the_requests_of_one_test_are_found_and_masked(ledger: Ledger, tmp_path: Path) -> None:
    log = request_log(ledger, stored(ledger, tmp_path), "a.B.test_two")
    assert [(one.method, one.path, one.status, one.is_error) for one in log.requests] == [
        ("POST", "/v3/auth/tokens", 201, False),
        ("GET", "/v3/users?name=***", 404, True),
    ]
    assert log.requests[0].request_id == REQUEST_ID and log.requests[0].seconds == 0.131
    assert PASSWORD not in log.text and "of another test" not in log.text


def test_a_test_without_a_log(ledger: Ledger, tmp_path: Path) -> None:
    test_id = stored(ledger, tmp_path)
    assert request_log(ledger, test_id, "a.B.test_one").text == "of another test"
    assert request_log(ledger, test_id, "a.B.test_none").requests == ()


def test_each_request_keeps_its_own_id() -> None:
    first, second = requests_in(LOG)
    assert first.request_id == REQUEST_ID
    assert second == LoggedRequest("GET", f"http://10.0.0.1:5000/v3/users?name={PASSWORD}", 404, 0.02)


@pytest.mark.parametrize(
    "text", ["Request (" * 200_000, "Request (x): 200 GET http://" * 50_000, "x-trans-id: " * 200_000]
)
def test_a_line_without_end_is_looked_at_once(text: str) -> None:
    """From each of many parentheses the search for the closing one went to the end, and held Python's lock."""
    assert len(list(requests_in(text))) <= 1
