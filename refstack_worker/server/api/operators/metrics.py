"""``/metrics`` in Prometheus's formats: what the ledger counts, the fleet and the queue, and this process's requests.

What is counted of runs comes from the ledger, so that every process of the server gives the same answer.
"""

from __future__ import annotations

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from refstack_worker.server import auth
from refstack_worker.server.api.operators.ledger_metrics import LedgerCollector
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.serving.context import context

METRICS = Blueprint("metrics", __name__)


@METRICS.get("/metrics")
def metrics() -> Response:
    """Answer Prometheus; needs an operator's token."""
    ledger = context().ledger
    auth.caller(request, ledger).need_operator()
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    # the terminator of OpenMetrics stands once, at the end
    first = encode(context().requests.registry).removesuffix(b"# EOF\n")
    return Response(first + encode(_of_ledger(ledger)), content_type=kind)


def _of_ledger(ledger: Ledger) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger))
    return registry
