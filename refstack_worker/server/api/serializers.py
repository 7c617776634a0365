"""How runs, clouds and all else look as JSON in ``/v1``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from refstack_worker.contract.execute_test import KEYSTONE
from refstack_worker.contract.payload import resource_prefix
from refstack_worker.server.domain.accounts import Token
from refstack_worker.server.domain.attempts import Attempt
from refstack_worker.server.domain.clouds import CloudRecord
from refstack_worker.server.domain.guidelines import StoredGuideline
from refstack_worker.server.domain.node_keys import NodeKey
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.results import TestResult
from refstack_worker.server.domain.runs import Message, QueuePosition, Run
from refstack_worker.server.domain.shards import Shard
from refstack_worker.server.ledger.overview import RunFacts
from refstack_worker.server.ledger.queue_state import PauseNote


def run_json(run: Run, facts: RunFacts, site: str) -> dict[str, Any]:
    """Return a run. No password is in it: the ledger does not give any out. :param site: base URL of the pages."""
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
        "shards": spec.shards,
        "tag": spec.tag,
        "priority": spec.priority,
        "discover": spec.discover or KEYSTONE,
        "cloud": {"id": run.cloud.id, "label": run.cloud.label} if run.cloud.id else None,
        "worker": run.worker,
        "progress": run.progress.to_json(),
        "counts": asdict(run.counts),
        "rerun_of": run.rerun_of,
        "program": facts.program or None,
        "verdict": asdict(facts.verdict) if facts.verdict else None,
        "owner": facts.owner or None,
        "pinned": facts.is_pinned,
        "vendor": facts.vendor or None,
        "url": f"{site}/runs/{run.test_id}",
        "kind": run.kind,
        "place": None,
        **times(run, "created_at", "updated_at", "started_at", "ended_at"),
    }


def place_json(place: QueuePosition, pause: PauseNote | None) -> dict[str, Any]:
    """Return where a run waits, and why the operators let nothing start."""
    return {**asdict(place), "pause": {"at": iso(pause.at), "reason": pause.reason} if pause else None}


def attempt_json(attempt: Attempt, callback: str) -> dict[str, Any]:
    """Return an attempt. :param callback: address that nodes know this server by."""
    return {
        "attempt": attempt.key.attempt,
        "resource_prefix": resource_prefix(callback, attempt.key.test_id, attempt.key.attempt),
        "is_current": attempt.is_current,
        "worker": attempt.worker,
        "outcome": attempt.outcome,
        "note": attempt.note,
        **times(attempt, "created_at", "submitted_at", "claimed_at", "heartbeat_at", "ended_at"),
    }


def shard_json(shard: Shard) -> dict[str, Any]:
    return {
        "number": shard.number,
        "test_id": shard.test_id,
        "state": shard.state.value,
        "attempt": shard.attempt,
        "worker": shard.worker,
        "reason": shard.reason,
        "message": shard.message,
        "tests": shard.tests,
        "waits_for_others": shard.is_last,
        "testcases": list(shard.names),
        "progress": shard.progress.to_json(),
        **times(shard, "started_at", "ended_at"),
    }


def message_json(message: Message) -> dict[str, Any]:
    return {"id": message.id, "message": message.message, "time": iso(message.timestamp)}


def test_json(test: TestResult) -> dict[str, Any]:
    """Return one test of a result."""
    return {**test.as_row(), "started_at": iso(test.started_at)}


def node_json(node: Node) -> dict[str, Any]:
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


def node_key_json(key: NodeKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "node": key.node,
        "state": key.state,
        "enrolled_at": iso(key.enrolled_at),
        "replaced_at": iso(key.replaced_at),
        "revoked_at": iso(key.revoked_at),
        "revoked_by": key.revoked_by,
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


def iso(moment: float) -> str | None:
    """Return a time as RFC 3339 has it; None for "not yet"."""
    if not moment:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def times(record: Any, *names: str) -> dict[str, str | None]:
    """Return these fields of a record as times."""
    return {name: iso(getattr(record, name)) for name in names}


def cloud_json(known: CloudRecord) -> dict[str, Any]:
    """Return a cloud. No password is in it."""
    cloud, check = known.cloud, known.check
    return {
        "id": cloud.id,
        **{name: getattr(cloud, name) for name in ("label", "endpoint_v3", "test_user", "alt_user", "admin_user")},
        "version": cloud.version,
        "region": known.region,
        "release": known.release,
        "keeps_passwords": known.keeps_passwords,
        "accounts": known.accounts,
        "options": known.options,
        "user_id": cloud.user_id,
        "check": {"ok": check.ok, "said": check.said, "at": iso(check.at)} if check else None,
    }


def guideline_json(stored: StoredGuideline) -> dict[str, Any]:
    return {
        "id": stored.id,
        "name": stored.name,
        "origin": stored.origin,
        "digest": stored.digest,
        "source": stored.source,
        "added_by": stored.added_by,
        "created_at": iso(stored.created_at),
    }
