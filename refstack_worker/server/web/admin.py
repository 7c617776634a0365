"""The pages of the fleet and its nodes, for operators; and about this server, for all."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from flask import make_response, redirect, request

from refstack_worker.contract.node_command import NodeAction
from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.notices import MAX_TEXT
from refstack_worker.server.queue.capacity import SILENT_SECONDS, demand
from refstack_worker.server.services.about import versions
from refstack_worker.server.services.inputs.checks import FieldError, check
from refstack_worker.server.services.inputs.schema import fields, string
from refstack_worker.server.serving.context import context
from refstack_worker.server.web.forms import errors_of
from refstack_worker.server.web.pages import Answer, caller, form, page, show, typed

MAX_REASON = 200
"""Characters of why the queue is paused."""


@page("GET", "/fleet")
def show_fleet() -> Answer:
    """Show nodes, queue, and what is needed."""
    return _fleet({}, ())


@form("/fleet/pause")
@form("/fleet/announce")
def show_form(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> Answer:
    """Show the page with what was typed."""
    return _fleet(kept, errors)


def _fleet(kept: Mapping[str, str], errors: tuple[FieldError, ...]) -> str:
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
        form=kept,
        errors={one.field: one.message for one in errors},
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
    try:
        reason = _line("reason", MAX_REASON)
    except UsageError as error:
        return make_response(_fleet(typed(), errors_of(error, {})), 400)
    context().ledger.queue.pause(caller().name, reason)
    return redirect("/fleet", 303)


@page("POST", "/fleet/announce")
def announce() -> Answer:
    """Announce something on every page."""
    caller().need_operator()
    try:
        announcement = _line("announcement", MAX_TEXT)
    except UsageError as error:
        return make_response(_fleet(typed(), errors_of(error, {})), 400)
    context().ledger.notices.announce(announcement, caller().name)
    return redirect("/fleet", 303)


@page("POST", "/fleet/resume")
def resume_queue() -> Answer:
    caller().need_operator()
    context().ledger.queue.resume(caller().name)
    context().submitter()
    return redirect("/fleet", 303)


def _line(name: str, longest: int) -> str:
    """Return the text in a field of this request. :raises InvalidInput: too long, or with control characters."""
    # pasted text often has no-break spaces and line ends
    line = " ".join(request.form.get(name, "").split())
    check(fields(name, **{name: string(longest)}), {name: line})
    return line
