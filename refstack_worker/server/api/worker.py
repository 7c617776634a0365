"""The calls of the worker (``/worker/v1``): claim, heartbeat, release, and what a node says of itself."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, jsonify, request
from nacl.public import PublicKey

from refstack_worker.config.server_values import FLEET
from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import keys, strict_json
from refstack_worker.contract.console import BATCH_SECONDS, MAX_BATCH_BYTES, read_batch
from refstack_worker.contract.durations import durations_body
from refstack_worker.contract.enrolment import NOT_ITS_KEY, EnrolmentToken, read_public
from refstack_worker.contract.messages import clean_line
from refstack_worker.contract.progress import Progress
from refstack_worker.errors import PayloadError, UsageError
from refstack_worker.server import auth
from refstack_worker.server.domain.attempts import Claim, Proof
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.node_keys import check_speaks_for
from refstack_worker.server.ledger.transactions import refused
from refstack_worker.server.services import tempest_tests
from refstack_worker.server.services.inputs.schema import MAX_ID
from refstack_worker.server.serving.context import context
from refstack_worker.server.serving.responses import failure, json_body, limit, number, text

LOG = logging.getLogger(__name__)

NODE_SECONDS = 30.0
"""How often a node is asked to say how it is."""
MAX_NODE_BYTES = 65_536
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")
_CLAIMED_WITH = (("tempest_version", 40), ("lock", 64))
"""What a worker says of the environment that it will build, and how long it may be."""
_NODE_STATES = ("ready", "draining", "paused")
MAX_CONSOLE_BYTES = MAX_BATCH_BYTES + 4096
_MAX_LIST = 500
_MAX_SET = 1500
"""Characters of a version with its plugins, at most 20."""
_CLOCK_MOST = 10**11


WORKER = Blueprint("worker", __name__)
_ATTEMPT = "/worker/v1/runs/<int:test_id>/attempts/<int:attempt>"


@WORKER.post(f"{_ATTEMPT}/claim")
def claim(test_id: int, attempt: int) -> Response:
    """Let the first worker that asks claim an attempt."""
    proof = _proof(test_id, attempt)
    body = json_body()
    about = [text(body, name, longest) for name, longest in _CLAIMED_WITH]
    answer = context().ledger.attempts.claim(proof, Claim(_claim_id(body), _worker(body), *about))
    if answer.reason == "paused":
        context().submitter()
    if not answer.granted:
        return failure(409, f"run {test_id}, attempt {attempt}: {answer.reason}", answer.reason)
    LOG.info("run %d:%d claimed by %s", test_id, attempt, _worker(body))
    return jsonify({"heartbeat_seconds": context().settings.rules.heartbeat_seconds, "state": answer.state.value})


@WORKER.post(f"{_ATTEMPT}/heartbeat")
def heartbeat(test_id: int, attempt: int) -> Response:
    """Record that a worker is alive; the answer says whether to go on."""
    proof = _proof(test_id, attempt)
    body = json_body()
    _worker(body)
    progress = _progress(body)
    answer = context().ledger.attempts.heartbeat(proof, _claim_id(body), progress)
    return jsonify(replace(answer, heartbeat_seconds=context().settings.rules.heartbeat_seconds).to_json())


@WORKER.post(f"{_ATTEMPT}/release")
def release(test_id: int, attempt: int) -> Response:
    """Take an attempt back; the next one is given to the queue at once."""
    proof = _proof(test_id, attempt)
    body = json_body()
    reason = body.get("reason", "")
    if not isinstance(reason, str):
        raise UsageError("reason: must be text")
    worker = _worker(body)
    context().ledger.attempts.release(proof, _claim_id(body), clean_line(reason))
    LOG.info("run %d:%d released by %s", test_id, attempt, worker)
    context().submitter()
    return jsonify({})


@WORKER.post(f"{_ATTEMPT}/console")
def console(test_id: int, attempt: int) -> Response:
    """Take lines of the live console."""
    proof = _proof(test_id, attempt)
    body = json_body(MAX_CONSOLE_BYTES)
    claim_id = _claim_id(body)
    batch = read_batch(body)
    if batch is None:
        raise UsageError("console: not a valid batch")
    state = context().ledger.console.add(proof, claim_id, batch)
    return jsonify({"next": state.next, "seconds": BATCH_SECONDS, "full": state.full})


@WORKER.post(f"{_ATTEMPT}/durations")
def durations(test_id: int, attempt: int) -> Response:
    """Say how long tests took in earlier runs, so that this one divides them evenly among its processes."""
    proof = _proof(test_id, attempt)
    body = json_body()
    found = context().ledger.durations.of_attempt(proof, _claim_id(body), tempest_tests.is_known)
    return jsonify(durations_body(found))


@WORKER.post("/worker/v1/nodes/<name>")
def node(name: str) -> Response:
    """Receive the status report of a node."""
    _check_host()
    limit(MAX_NODE_BYTES)
    if not _NODE_NAME.match(name):
        raise UsageError("the node's name must consist of letters, digits, '.', '_' and '-'")
    sender, message = _node_message(name)
    body = _node_body(name, message)
    said = _node(name, body)
    context().ledger.nodes.record(said)
    context().ledger.node_keys.note_spoken(name, sender)
    confirmed = number(body.get("command_done", 0), "command_done", 0, MAX_ID)
    command = context().ledger.node_commands.pending(name, confirmed)
    wanted = context().ledger.queue.wanted_plugins(said.versions)
    more = {**({"command": command.to_json()} if command else {}), **({"wanted_plugins": wanted} if wanted else {})}
    return jsonify({"seconds": NODE_SECONDS, **more})


@WORKER.post("/worker/v1/nodes/<name>/key")
def node_key(name: str) -> Response:
    """Take a node's new key: with a token that works once, or in a message sealed with the key that it has."""
    _check_host()
    limit(MAX_NODE_BYTES)
    if not _NODE_NAME.match(name):
        raise UsageError("the node's name must consist of letters, digits, '.', '_' and '-'")
    ledger = context().ledger
    if request.mimetype == "application/json":
        body = json_body()
        token = EnrolmentToken.parse(text(body, "token", 200, needed=True))
        key = ledger.node_keys.enrol(name, token.secret, read_public(text(body, "public", 200, needed=True)))
    else:
        sender, message = _node_message(name)
        body = _node_body(name, message)
        key = ledger.node_keys.rotate(name, sender, read_public(text(body, "public", 200, needed=True)))
    LOG.info("node %s enrolled the key %s", name, key.id)
    signing = keys.load_sign_private(context().settings.keys.sign)
    own = [keys.public_line(keys.SIGN_PUBLIC, bytes(one.verify_key)) for _, one in signing.keys]
    return jsonify({"key": key.id, "server_keys": own})


def _node_message(name: str) -> tuple[str, bytes]:
    """Return the key and the content of a node's sealed message.

    :raises RefusedError: the key was revoked or replaced, is another node's, or is the fleet's where only enrolled
        nodes count.
    """
    files = context().settings.keys
    envelope = request.stream.read(MAX_NODE_BYTES + 1).strip()
    sender = sealing.sender_of(envelope)
    own = context().ledger.node_keys.get(sender)
    if own is not None:
        check_speaks_for(own, name, context().ledger.clock())
        trusted = keys.Keyring(((own.id, PublicKey(base64.b64decode(own.public))),))
    elif context().ledger.node_keys.is_revoked(name):
        # the fleet's key, say, which may still lie beside the revoked one
        raise refused("revoked", f"the keys of node {name} were revoked; enrol it again if it is yours")
    elif files.seal_to == FLEET:
        trusted = keys.load_seal_public(files.fleet)
    else:
        raise refused(NOT_ITS_KEY, f"node {name} is not enrolled here; 'refstack-worker enrol' does it")
    return sender, sealing.open_node_message(envelope, keys.load_sign_private(files.sign), trusted)


def _progress(body: Mapping[str, Any]) -> Progress:
    try:
        return Progress.from_json(body.get("progress") or {})
    except ValueError as error:
        raise PayloadError(str(error)) from None


def _proof(test_id: int, attempt: int) -> Proof:
    _check_host()
    bounded = number(test_id, "test_id", 1, MAX_ID), number(attempt, "attempt", 1, MAX_ID)
    return auth.proof(request, bounded[0], bounded[1])


def _check_host() -> None:
    if not auth.is_from(request, context().settings.web.testing_hosts, context().settings.web.trusted_proxies):
        raise refused("host", "calls of workers are only accepted from testing hosts (TESTING_HOSTS)")


def _claim_id(body: dict[str, Any]) -> str:
    return text(body, "claim", 100, needed=True)


def _worker(body: dict[str, Any]) -> str:
    return text(body, "worker", 200, needed=True)


def _node_body(name: str, message: bytes) -> dict[str, Any]:
    try:
        body = strict_json.loads(message.decode("utf-8"), "node message")
    except UnicodeDecodeError:
        raise PayloadError("node message: not UTF-8") from None
    if not isinstance(body, dict) or body.get("name", name) != name:
        raise PayloadError("node message: not a JSON object of this node")
    return body


def _node(name: str, body: dict[str, Any]) -> Node:
    state = text(body, "state", 16)
    if state not in _NODE_STATES:
        raise UsageError(f"state: must be one of {', '.join(_NODE_STATES)}")
    return Node(
        name=name,
        versions=(*_texts(body, "versions"), *_texts(body, "plugin_sets", _MAX_SET)),
        slots=number(body.get("slots", 0), "slots", 0, 10_000),
        busy=number(body.get("busy", 0), "busy", 0, 10_000),
        tags=_texts(body, "tags"),
        state=state,
        software=text(body, "software", 80),
        time=_time(body.get("time")),
    )


def _texts(body: dict[str, Any], name: str, characters: int = 80) -> tuple[str, ...]:
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > _MAX_LIST:
        raise UsageError(f"{name}: must be a list")
    return tuple(text({name: item}, name, characters, needed=True) for item in value)


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < _CLOCK_MOST:
        raise UsageError("time: must be seconds since 1970")
    return float(value)
