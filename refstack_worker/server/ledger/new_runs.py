"""What is checked of a run before it is recorded, and the row that it becomes."""

from __future__ import annotations

import json
from typing import Any

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract import payload as payloads
from refstack_worker.contract.states import RunState
from refstack_worker.errors import PayloadError
from refstack_worker.server.domain.runs import NewRun, RunSpec
from refstack_worker.server.domain.shards import MAX_SHARDS


def check(new: NewRun, settings: ServerSettings) -> None:
    """Refuse a run that no worker would take. :raises PayloadError: saying why."""
    spec = new.spec
    payload = payloads.Payload.from_json(
        {
            "version": payloads.VERSION,
            "test_id": 1,
            "attempt": 1,
            "callback": settings.web.address,
            **{key: value for key, value in _requested(spec).items() if value},
            "conf_json": new.conf_json,
            "concurrency": spec.concurrency,
            "timeout": spec.timeout or settings.rules.run_timeout,
            "submitted_at": payloads.now(),
            "secret": payloads.new_secret(),
        }
    )
    # its size counts as well
    payload.serialized()
    if spec.priority not in (-1, 0, 1):
        raise PayloadError("priority: must be -1 (low), 0 or 1 (high)")
    if not 0 <= spec.shards <= MAX_SHARDS:
        raise PayloadError(f"shards: must be 0 to {MAX_SHARDS}")
    spec.function  # noqa: B018 - refuses a malformed tag


def row_of(new: NewRun, test_id: int, sealed: str, now: float, settings: ServerSettings) -> dict[str, Any]:
    """Return the row of a new run. :param sealed: its options, encrypted."""
    spec = new.spec
    testcases = json.dumps(spec.testcases.to_json()) if spec.testcases else None
    return {
        "test_id": test_id,
        "state": RunState.QUEUED.value,
        "attempt": 1,
        "tempest_version": spec.tempest_version,
        "openstack_release": spec.openstack_release,
        "plugins": json.dumps(dict(spec.plugins), sort_keys=True),
        "testcases": testcases,
        "stored_kib": 1 + len(testcases or "") // 1024,
        "concurrency": spec.concurrency,
        "timeout": spec.timeout or settings.rules.run_timeout,
        "tag": spec.tag,
        "priority": spec.priority,
        "discover": spec.discover or None,
        "shards": spec.shards or None,
        "kind": new.kind,
        "label": new.label[:200],
        "created_by": new.created_by[:200],
        "owner_id": new.owner_id,
        "rerun_of": new.rerun_of,
        "idempotency_key": new.idempotency_key or None,
        "request_digest": new.request_digest or None,
        "sealed_conf": sealed,
        "created_at": now,
        "updated_at": now,
        "queued_at": now,
        "messages": 1,
    }


def _requested(spec: RunSpec) -> dict[str, Any]:
    return {
        "tempest_version": spec.tempest_version,
        "openstack_release": spec.openstack_release,
        "plugins": dict(spec.plugins),
        "testcases": spec.testcases.to_json() if spec.testcases else None,
        "discover": spec.discover,
    }
