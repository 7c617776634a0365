"""The pages of the fleet and its nodes, for operators; and about this server, for all."""

from __future__ import annotations

from urllib.parse import quote

from flask import redirect, request

from refstack_worker.contract.node_command import NodeAction
from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.notices import MAX_TEXT
from refstack_worker.server.queue.capacity import SILENT_SECONDS, demand
from refstack_worker.server.services.about import versions
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.responses import text
from refstack_worker.server.web.pages import Answer, caller, page, show


@page("GET", "/fleet")
def show_fleet() -> Answer:
    """Show nodes, queue, and what is needed."""
    caller().need_operator()
    ledger = context().ledger
    nodes = ledger.nodes.all()
    return show(
        "fleet.html",
        nodes=nodes,
        asked=ledger.node_commands.waiting(node.name for node in nodes),
        now=ledger.clock(),
        silent=SILENT_SECONDS,
        paused=ledger.queue.is_paused(),
        states=ledger.queue.count_states(),
        demand=demand(ledger),
        pause=ledger.queue.pause_note(),
    )


@page("GET", "/fleet/<name>")
def show_node(name: str) -> Answer:
    """Show a node with its last runs."""
    caller().need_operator()
    ledger = context().ledger
    node = next((one for one in ledger.nodes.all() if one.name == name), None)
    if node is None:
        raise NotFoundError(f"there is no node {name[:80]}")
    runs = ledger.runs.find(RunQuery(worker=name, limit=50))
    asked = ledger.node_commands.waiting([name]).get(name, "")
    silent = ledger.clock() - node.seen_at > SILENT_SECONDS
    return show("node.html", node=node, runs=runs, silent=silent, asked=asked)


@page("POST", "/fleet/<name>/command")
def ask_node(name: str) -> Answer:
    """Pause, resume or drain a node."""
    caller().need_operator()
    action = request.form.get("action", "")
    if action not in {one.value for one in NodeAction}:
        raise UsageError("Choose what the node should do.")
    context().ledger.node_commands.ask(name, NodeAction(action), caller().name)
    return redirect(f"/fleet/{quote(name, safe='')}", 303)


@page("POST", "/fleet/<name>/forget")
def forget_node(name: str) -> Answer:
    """Forget a node that is offline."""
    caller().need_operator()
    context().ledger.nodes.forget(name)
    return redirect("/fleet", 303)


@page("GET", "/about")
def show_about() -> Answer:
    ledger = context().ledger
    return show("about.html", versions=versions(ledger, caller()), pause=ledger.queue.pause_note())


@page("POST", "/fleet/pause")
def pause_queue() -> Answer:
    caller().need_operator()
    context().ledger.queue.pause(caller().name, text(request.form, "reason", 200))
    return redirect("/fleet", 303)


@page("POST", "/fleet/announce")
def announce() -> Answer:
    """Announce something on every page."""
    caller().need_operator()
    context().ledger.notices.announce(text(request.form, "announcement", MAX_TEXT).strip(), caller().name)
    return redirect("/fleet", 303)


@page("POST", "/fleet/resume")
def resume_queue() -> Answer:
    caller().need_operator()
    context().ledger.queue.resume(caller().name)
    context().submitter()
    return redirect("/fleet", 303)
