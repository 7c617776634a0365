"""``/v1/nodes``, ``/v1/queue``, ``/v1/demand``: what operators look at and switch."""

from __future__ import annotations

from dataclasses import asdict

from flask import Response, jsonify

from refstack_worker.server.api.openapi.schemas import page, reference
from refstack_worker.server.api.routing import Call, Resource, Who
from refstack_worker.server.api.serializers import node_json
from refstack_worker.server.queue.capacity import demand

NODES = Resource("nodes", "Worker nodes and the queue (operators).")


@NODES.call("GET", "/v1/nodes", Who.OPERATOR, {200: page("nodes", "Node")})
def list_nodes(call: Call) -> Response:
    """List the nodes."""
    return jsonify({"nodes": [node_json(node) for node in call.ledger.nodes.all()]})


@NODES.call("GET", "/v1/queue", Who.OPERATOR, {200: reference("Queue")})
def show_queue(call: Call) -> Response:
    """Show whether the queue is paused, and how many runs are in each state."""
    return _state(call)


@NODES.call("POST", "/v1/queue/pause", Who.OPERATOR, {200: reference("Queue")})
def pause_queue(call: Call) -> Response:
    """Pause the queue: new runs wait; running ones continue."""
    call.ledger.queue.pause(call.caller.name)
    return _state(call)


@NODES.call("POST", "/v1/queue/resume", Who.OPERATOR, {200: reference("Queue")})
def resume_queue(call: Call) -> Response:
    """Resume the queue."""
    call.ledger.queue.resume(call.caller.name)
    call.context.submitter()
    return _state(call)


@NODES.call("GET", "/v1/demand", Who.OPERATOR, {200: page("demand", "Demand")})
def show_demand(call: Call) -> Response:
    """Show what waits for which nodes, and how many more slots are needed; for autoscalers."""
    return jsonify({"demand": [asdict(row) for row in demand(call.ledger)]})


def _state(call: Call) -> Response:
    return jsonify({"paused": call.ledger.queue.is_paused(), "runs": call.ledger.queue.count_states()})
