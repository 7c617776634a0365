"""``/v1/nodes``, ``/v1/queue``, ``/v1/demand``: what operators look at and switch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, jsonify

from refstack_worker.contract.node_command import NodeAction
from refstack_worker.server.api.openapi.schemas import page, reference
from refstack_worker.server.api.routing import Call, Resource, Takes, Who
from refstack_worker.server.api.serializers import iso, node_json
from refstack_worker.server.domain.node_keys import NodeKey
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.queue.capacity import demand
from refstack_worker.server.services.inputs.schema import fields, string

NODES = Resource("nodes", "Worker nodes and the queue (operators).")


@NODES.call("GET", "/v1/nodes", Who.OPERATOR, {200: page("nodes", "Node")})
def list_nodes(call: Call) -> Response:
    """List the nodes and their state."""
    now = call.ledger.clock()
    own = {key.node: key for key in call.ledger.node_keys.all() if key.state == "active"}
    nodes = call.ledger.nodes.all()
    asked = call.ledger.node_commands.waiting(node.name for node in nodes)
    shown = [{**_shown(node, own.get(node.name), now), "asked": asked.get(node.name)} for node in nodes]
    return jsonify({"nodes": shown})


def _shown(node: Node, key: NodeKey | None, now: float) -> dict[str, Any]:
    about_key = {"key": key.id if key else "", "key_since": iso(key.enrolled_at) if key else None}
    return {**node_json(node), "silent_seconds": max(0.0, now - node.seen_at), **about_key}


@NODES.call("DELETE", "/v1/nodes/<node>", Who.OPERATOR, {204: None}, (404,))
def forget_node(call: Call, node: str) -> Response:
    """Forget a node; it comes back when its worker connects again."""
    call.ledger.nodes.forget(node)
    return Response(status=204)


@NODES.call(
    "POST",
    "/v1/nodes/<node>/commands",
    Who.OPERATOR,
    {202: reference("NodeCommand")},
    (404, 413),
    Takes(
        body={
            "type": "object",
            "additionalProperties": False,
            "required": ["action"],
            "properties": {"action": {"enum": [action.value for action in NodeAction]}},
        },
        name="NewNodeCommand",
        example={"action": "drain"},
    ),
)
def ask_node(call: Call, node: str) -> tuple[Response, int]:
    """Pause, resume or drain a node. The node does so with its next report, within 30 seconds."""
    command = call.ledger.node_commands.ask(node, NodeAction(call.body["action"]), call.caller.name)
    return jsonify({"node": node, **command.to_json()}), 202


@NODES.call("GET", "/v1/queue", Who.OPERATOR, {200: reference("Queue")})
def show_queue(call: Call) -> Response:
    """Show whether the queue is paused, and how many runs are in each state."""
    return _state(call)


@NODES.call(
    "POST",
    "/v1/queue/pause",
    Who.OPERATOR,
    {200: reference("Queue")},
    (413,),
    Takes(fields(reason=string(200, description="Shown to vendors")), "Pause", {"reason": "new disks"}),
)
def pause_queue(call: Call) -> Response:
    """Pause the queue: new runs wait; running ones continue. The body may be left out."""
    call.ledger.queue.pause(call.caller.name, call.body.get("reason", ""))
    return _state(call)


@NODES.call("POST", "/v1/queue/resume", Who.OPERATOR, {200: reference("Queue")})
def resume_queue(call: Call) -> Response:
    """Resume handing out runs to nodes."""
    call.ledger.queue.resume(call.caller.name)
    call.context.submitter()
    return _state(call)


@NODES.call("GET", "/v1/demand", Who.OPERATOR, {200: page("demand", "Demand")})
def show_demand(call: Call) -> Response:
    """Show how many runs wait for which nodes, and how many slots are missing; for autoscalers."""
    return jsonify({"demand": [asdict(row) for row in demand(call.ledger)]})


def _state(call: Call) -> Response:
    note, queue = call.ledger.queue.pause_note(), call.ledger.queue
    pause = {"by": note.by, "at": iso(note.at), "reason": note.reason} if note else None
    return jsonify({"paused": queue.is_paused(), "runs": queue.count_states(), "pause": pause})
