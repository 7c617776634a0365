"""``/metrics``: the demand in the text format of Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response, request

from refstack_worker.contract import strict_json
from refstack_worker.server import auth
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.capacity import demand
from refstack_worker.server.serving.context import context

METRICS = Blueprint("metrics", __name__)
_NAMES = (
    ("queued", "refstack_runs_queued", "Runs that wait for a node."),
    ("running", "refstack_runs_held", "Runs that a node holds."),
    ("waited", "refstack_wait_seconds", "How long the oldest of those that wait has waited."),
    ("slots", "refstack_slots", "Slots of ready nodes that serve it."),
    ("needed", "refstack_slots_needed", "Further slots that would let all that waits run at once."),
)


@METRICS.get("/metrics")
def metrics() -> Response:
    """Answer Prometheus; needs an operator's token."""
    ledger = context().ledger
    auth.caller(request, ledger).need_operator()
    return Response(metrics_text(ledger), mimetype="text/plain; version=0.0.4")


def metrics_text(ledger: Ledger) -> str:
    """Return the demand as Prometheus reads it."""
    rows = demand(ledger)
    lines = []
    for field, name, meaning in _NAMES:
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        for row in rows:
            label = strict_json.dumps(row.function)
            lines.append(f"{name}{{function={label}}} {getattr(row, field):g}")
    return "\n".join(lines) + "\n"
