"""The message to subscribers about an event: the JSON of a webhook, from which e-mails are written too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from refstack_worker.contract.states import RunState
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.notifications import Event, EventKind, Subscription, SubscriptionScope
from refstack_worker.server.domain.runs import RUN, SPLIT, Run
from refstack_worker.server.ledger.deliveries import Reader
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.overview import RunFacts

PASSED, TESTS_FAILED, ERROR, CANCELLED = "passed", "tests-failed", "error", "cancelled"


class Composer:
    """Decides who gets a message about an event, and which."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __call__(self, event: Event, readers: Sequence[Reader]) -> Mapping[int, Mapping[str, Any]]:
        """Return the message for each subscription that wants this event."""
        if event.kind is EventKind.NODE_LOST:
            body = self._of_node(event)
            return {one.id: body for one, _vendor in readers if event.kind in one.kinds and one.owner_id is None}
        if event.kind is EventKind.SCHEDULE_SKIPPED:
            return self._of_schedule(event, readers)
        try:
            run = self._ledger.runs.get(event.test_id or 0)
        except NotFoundError:
            return {}  # removed meanwhile
        if run.kind not in (RUN, SPLIT):
            return {}
        vendor = self._vendor_of(run.owner_id)
        wanting = [
            one for one, theirs in readers if _wants(one, event.kind, run) and _hears(one, theirs, run.owner_id, vendor)
        ]
        body = self._of_run(event, run) if wanting else {}
        return {one.id: body for one in wanting}

    def test(self, subscription: Subscription) -> Mapping[str, Any]:
        """Return the message with which a subscription is tried."""
        data = {"text": "This is a test of a notification.", "notification": subscription.id}
        return _body(EventKind.TEST, self._ledger.clock(), data)

    def _vendor_of(self, owner_id: int | None) -> int | None:
        try:
            return self._ledger.accounts.user(owner_id).vendor_id if owner_id is not None else None
        except NotFoundError:
            return None

    def _of_node(self, event: Event) -> Mapping[str, Any]:
        seen, _, name = event.subject.partition(" ")
        data = {"node": {"name": name, "last_seen": iso(float(seen))}, "text": event.text}
        data["url"] = f"{self._ledger.settings.web.address}/fleet"
        return _body(event.kind, event.at, data)

    def _of_schedule(self, event: Event, readers: Sequence[Reader]) -> Mapping[int, Mapping[str, Any]]:
        try:
            schedule = self._ledger.schedules.get(int(event.subject.partition(" ")[0]))
        except NotFoundError:
            return {}  # removed meanwhile
        vendor = self._vendor_of(schedule.owner_id)
        shown = {"id": schedule.id, "label": schedule.label, "cloud": schedule.cloud_label or None}
        url = f"{self._ledger.settings.web.address}/schedules"
        body = _body(event.kind, event.at, {"schedule": shown, "text": event.text, "url": url})
        return {
            one.id: body
            for one, theirs in readers
            if event.kind in one.kinds and _hears(one, theirs, schedule.owner_id, vendor)
        }

    def _of_run(self, event: Event, run: Run) -> Mapping[str, Any]:
        facts = self._ledger.overview.facts([run.test_id])[run.test_id]
        url = f"{self._ledger.settings.web.address}/runs/{run.test_id}"
        return _body(event.kind, event.at, {"run": _run(run, facts), "text": event.text or run.message, "url": url})


def result_of(run: Run) -> str:
    """Return how a run ended, in a word; empty: it has not."""
    if run.state is RunState.FINISHED:
        return TESTS_FAILED if run.counts.failed else PASSED
    return {RunState.FAILED: ERROR, RunState.CANCELLED: CANCELLED}.get(run.state, "")


def iso(moment: float) -> str | None:
    """Return a time as RFC 3339 has it; None for 0."""
    if not moment:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wants(one: Subscription, kind: EventKind, run: Run) -> bool:
    if kind in one.kinds:
        return True
    is_bad_end = kind is EventKind.RUN_ENDED and result_of(run) != PASSED
    return is_bad_end and EventKind.RUN_NOT_PASSED in one.kinds


def _hears(one: Subscription, theirs: int | None, owner_id: int | None, vendor: int | None) -> bool:
    """Return whether a subscriber may hear of what an owner has. :param theirs: vendor of the subscriber."""
    if one.owner_id is None:
        return True
    if one.scope is SubscriptionScope.VENDOR and theirs is not None and theirs == vendor:
        return True
    return owner_id == one.owner_id


def _run(run: Run, facts: RunFacts) -> dict[str, Any]:
    return {
        "test_id": run.test_id,
        "label": run.label,
        "state": run.state.value,
        "result": result_of(run),
        "reason": run.reason,
        "message": run.message,
        "attempt": run.attempt,
        "cloud": run.cloud.label or None,
        "program": facts.program or None,
        "verdict": asdict(facts.verdict) if facts.verdict else None,
        "counts": asdict(run.counts),
        "worker": run.worker,
        "owner": facts.owner or None,
        "created_at": iso(run.created_at),
        "started_at": iso(run.started_at),
        "ended_at": iso(run.ended_at),
    }


def _body(kind: EventKind, at: float, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind.value, "timestamp": iso(at), "data": dict(data)}
