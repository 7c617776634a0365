"""The fleet's page, for operators."""

from __future__ import annotations

from flask import redirect

from refstack_worker.server.queue.capacity import SILENT_SECONDS, demand
from refstack_worker.server.serving.context import context
from refstack_worker.server.web.pages import Answer, caller, page, show


@page("GET", "/fleet")
def show_fleet() -> Answer:
    """Show nodes, queue, and what is needed."""
    caller().need_operator()
    ledger = context().ledger
    return show(
        "fleet.html",
        nodes=ledger.nodes.all(),
        now=ledger.clock(),
        silent=SILENT_SECONDS,
        paused=ledger.queue.is_paused(),
        states=ledger.queue.count_states(),
        demand=demand(ledger),
    )


@page("POST", "/fleet/pause")
def pause_queue() -> Answer:
    """Pause the queue."""
    caller().need_operator()
    context().ledger.queue.pause(caller().name)
    return redirect("/fleet", 303)


@page("POST", "/fleet/resume")
def resume_queue() -> Answer:
    """Resume the queue."""
    caller().need_operator()
    context().ledger.queue.resume(caller().name)
    context().submitter()
    return redirect("/fleet", 303)
