"""The Tempest version of a run that names a guideline and no version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_worker.errors import NotFoundError
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.capacity import alive
from refstack_worker.server.services import access, tempest_tests
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import invalid


def with_version(ledger: Ledger, caller: Caller, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a run with the Tempest version that its guideline proposes, where it names none.

    :raises InvalidInput: there is no such guideline or program, or no node that a version could be chosen from.
    """
    if body.get("tempest_version") or body.get("openstack_release") or not body.get("guideline"):
        return body
    given = body["guideline"]
    try:
        _, guideline = ledger.guidelines.get(given.get("id") or given.get("name", ""), access.scope_of(ledger, caller))
        program = guideline.program(given["program"])
    except NotFoundError as error:
        raise invalid("guideline", str(error)) from None
    version = tempest_tests.proposal(guideline, tuple(program.tests()), offered(ledger, body.get("tag", ""))).version
    if not version:
        raise invalid("tempest_version", "is required: no node is available that a version could be chosen from")
    return {**body, "tempest_version": version}


def offered(ledger: Ledger, tag: str = "") -> set[str]:
    """Return the Tempest versions of the nodes that take runs. :param tag: only of nodes that carry it."""
    nodes = [node for node in alive(ledger) if node.state == "ready" and (not tag or tag in node.tags)]
    return {version for node in nodes for version in node.versions}
