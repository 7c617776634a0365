"""Calls of the RefStack of 2014, as a worker makes them."""

from __future__ import annotations

import io
from typing import Any

from flask.testing import FlaskClient

from tests.support.ledgers import Event, Job, stream

STREAM = stream([Event("a.B.test_c"), Event("a.B.test_d", "fail", "boom")])
STRANGER = {"REMOTE_ADDR": "192.0.2.7"}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def proof(job: Job) -> dict[str, str]:
    return bearer(job.token)


def number_of(job: Job) -> int:
    return job.submission.key.test_id


def status(client: FlaskClient, job: Job, **given: Any) -> Any:
    """Post a status as the worker does; ``given`` replaces or (with None) leaves out parameters."""
    environ = given.pop("environ", None)
    headers = given.pop("headers", proof(job))
    body = {"payload": job.envelope.decode(), "test_id": number_of(job), **given}
    body = {name: value for name, value in body.items() if value is not None}
    return client.post("/update-test-status/", json=body, headers=headers, environ_overrides=environ or {})


def post(client: FlaskClient, job: Job | None, data: bytes | None = STREAM, **given: Any) -> Any:
    query = given.pop("query", f"?test_id={number_of(job)}&attempt={job.submission.key.attempt}" if job else "")
    body: dict[str, Any] = {} if data is None else {"file": (io.BytesIO(data), "subunit")}
    headers = given.pop("headers", proof(job) if job else {})
    return client.post(f"/post-result{query}", data={**body, **given}, headers=headers)
