"""What the tests of notifications share: subscribers, runs that end, and a notifier that works once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.domain.notifications import (
    EventKind,
    MessageChannel,
    NewSubscription,
    Subscription,
    SubscriptionScope,
)
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.notify.notifier import Notifier
from refstack_worker.server.notify.signature import new_secret
from refstack_worker.server.results import acceptance
from tests.support.ledgers import Event, claimed, stream


def subscribe(ledger: Ledger, *kinds: EventKind, **given: Any) -> Subscription:
    """Add a subscription: a webhook of the operators, unless given otherwise."""
    values: dict[str, Any] = {
        "channel": MessageChannel.WEBHOOK,
        "target": "https://receiver.example/hook",
        "scope": SubscriptionScope.ALL if given.get("owner_id") is None else SubscriptionScope.OWN,
        "secret": new_secret(),
        "kinds": kinds or (EventKind.RUN_ENDED,),
    }
    return ledger.subscriptions.add(NewSubscription(**{**values, **given}))


def finished(ledger: Ledger, folder: Path, *outcomes: str, **run: Any) -> int:
    """Return the id of a run with a result of these outcomes."""
    job = claimed(ledger, **run)
    file = folder / "result"
    file.write_bytes(stream([Event(f"t{number}", outcome) for number, outcome in enumerate(outcomes or ("success",))]))
    acceptance.accept(ledger, job.proof, Upload.of(file, {}))
    return job.submission.key.test_id


def failed(ledger: Ledger, **run: Any) -> int:
    """Return the id of a run that a node reported as failed."""
    job = claimed(ledger, **run)
    ledger.attempts.report(job.proof, Report(RunState.FAILED, "no such image", reason="cloud"))
    return job.submission.key.test_id


def work(notifier: Notifier) -> int:
    """Let a notifier do one round; return how many messages it tried when all of them are tried."""
    with ThreadPoolExecutor(4) as pool:
        return notifier.work(pool)
