"""How runs, attempts, tests and nodes look as JSON in ``/v1``, and how a wish for a run is read from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from refstack_worker.contract.payload import Testcases, release_trouble
from refstack_worker.errors import UsageError
from refstack_worker.server.api.responses import MAX_ID, number, text
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.domain.attempts import Attempt
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.runs import Message, NewRun, Run, RunSpec

_KNOWN = frozenset(
    {
        "tempest_version",
        "openstack_release",
        "plugins",
        "conf_json",
        "testcases",
        "concurrency",
        "timeout",
        "tag",
        "priority",
        "label",
        "test_id",
        "cloud_id",
    }
)


def run_json(run: Run) -> dict[str, Any]:
    """Return a run. No password is in it: the ledger does not give any out."""
    spec = run.spec
    return {
        "test_id": run.test_id,
        "state": run.state.value,
        "attempt": run.attempt,
        "reason": run.reason,
        "message": run.message,
        "label": run.label,
        "created_by": run.created_by,
        "tempest_version": spec.tempest_version or None,
        "openstack_release": spec.openstack_release or None,
        "plugins": dict(spec.plugins),
        "testcases": spec.testcases.to_json() if spec.testcases else None,
        "concurrency": spec.concurrency,
        "timeout": spec.timeout,
        "tag": spec.tag,
        "priority": spec.priority,
        "cloud": {"id": run.cloud.id, "label": run.cloud.label} if run.cloud.id else None,
        "worker": run.worker,
        "progress": run.progress.to_json(),
        "counts": asdict(run.counts),
        "rerun_of": run.rerun_of,
        **times(run, "created_at", "updated_at", "started_at", "ended_at"),
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt."""
    return {
        "attempt": attempt.key.attempt,
        "is_current": attempt.is_current,
        "worker": attempt.worker,
        "outcome": attempt.outcome,
        "note": attempt.note,
        **times(attempt, "created_at", "submitted_at", "claimed_at", "heartbeat_at", "ended_at"),
    }


def message_json(message: Message) -> dict[str, Any]:
    """Return a status message."""
    return {"id": message.id, "message": message.message, "time": iso(message.timestamp)}


def test_json(test: TestResult) -> dict[str, Any]:
    """Return one test of a result."""
    return {**asdict(test), "started_at": iso(test.started_at)}


def node_json(node: Node) -> dict[str, Any]:
    """Return a node."""
    return {
        "name": node.name,
        "state": node.state,
        "versions": list(node.versions),
        "tags": list(node.tags),
        "slots": node.slots,
        "busy": node.busy,
        "software": node.software,
        "seen_at": iso(node.seen_at),
    }


def token_json(token: Token) -> dict[str, Any]:
    """Return a token, which has lost its secret when it was made."""
    return {
        "id": token.id,
        "name": token.name,
        "scopes": list(token.scopes),
        "user_id": token.user_id,
        **times(token, "created_at", "expires_at", "revoked_at", "last_used_at"),
    }


def new_run(body: Mapping[str, Any]) -> NewRun:
    """Return the run that a JSON object wishes for; the ledger checks what it asks of Tempest.

    :raises UsageError: a field is unknown or of the wrong kind.
    """
    unknown = sorted(set(body) - _KNOWN)
    if unknown:
        raise UsageError(f"unknown field {', '.join(str(name)[:40] for name in unknown[:5])}")
    spec = RunSpec(
        tempest_version=_release(body),
        openstack_release=text(body, "openstack_release", 40),
        plugins=_object(body, "plugins"),
        testcases=_testcases(body.get("testcases")),
        concurrency=number(body.get("concurrency", 0), "concurrency", 0, 64),
        timeout=number(body.get("timeout", 0), "timeout", 0, 172_800),
        tag=text(body, "tag", 32),
        priority=_priority(body.get("priority", 0)),
    )
    return NewRun(
        spec=spec,
        conf_json=_object(body, "conf_json"),
        test_id=_id(body, "test_id"),
        cloud_id=_id(body, "cloud_id"),
        label=text(body, "label", 200),
    )


def _release(body: Mapping[str, Any]) -> str:
    version = text(body, "tempest_version", 40)
    trouble = release_trouble(version) if version else ""
    if trouble:
        raise UsageError(f"tempest_version: {trouble}")
    return version


def iso(moment: float) -> str | None:
    """Return a time as RFC 3339 has it; None for "not yet"."""
    if not moment:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def times(record: Any, *names: str) -> dict[str, str | None]:
    """Return these fields of a record as times."""
    return {name: iso(getattr(record, name)) for name in names}


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{name}: a JSON object is expected")
    return value


def _testcases(value: Any) -> Testcases | None:
    if value is None or value == {}:
        return None
    if not isinstance(value, dict) or set(value) - {"names", "regexes", "url"}:
        raise UsageError("testcases: an object with names, regexes or url is expected")
    lists = [value.get(name, []) for name in ("names", "regexes")]
    if not all(isinstance(items, list) and all(isinstance(item, str) for item in items) for items in lists):
        raise UsageError("testcases: names and regexes are lists of texts")
    chosen = Testcases.from_json({**value, "url": text(value, "url", 2048, needed="url" in value)})
    if not chosen.to_json():
        raise UsageError("testcases: they name no test; leave them out for the server's default")
    return chosen


def _priority(value: Any) -> int:
    if isinstance(value, bool) or value not in (-1, 0, 1):
        raise UsageError("priority: -1 (low), 0 or 1 (high) is expected")
    return int(value)


def _id(body: Mapping[str, Any], name: str) -> int | None:
    return None if body.get(name) is None else number(body[name], name, 1, MAX_ID)
