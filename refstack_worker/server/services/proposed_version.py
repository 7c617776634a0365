"""The Tempest version of a run that names a guideline and no version."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from refstack_worker.contract.gearman_functions import is_served, plugins_of
from refstack_worker.errors import NotFoundError
from refstack_worker.server.domain.guidelines import GuidelineTest
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
    words, plugins = offered(ledger, body.get("tag", "")), body.get("plugins") or {}
    there = {number for word in words if is_served([word], number := word.partition(",")[0], plugins)}
    version = tempest_tests.proposal(guideline, tuple(program.tests()), there).version
    if not version:
        raise invalid("tempest_version", "is required: no node is available to choose a version from")
    return {**body, "tempest_version": version}


def offered_to(tests: Collection[GuidelineTest], words: Iterable[str]) -> set[str]:
    """Return the versions out of :func:`offered` that have the plugins in which these tests are, and no others' tests.

    The plugins' own versions are left to the run.
    """
    packages = {test.name.partition(".")[0] for test in tests} - {"tempest", ""}
    there = set()
    for word in words:
        plugins = {name.replace("-", "_") for name in plugins_of(word)}
        if packages <= plugins and bool(packages) == bool(plugins):
            there.add(word.partition(",")[0])
    return there


def offered(ledger: Ledger, tag: str = "") -> set[str]:
    """Return what the nodes that take runs serve: Tempest versions, each with its plugins.

    :param tag: only of nodes that carry it.
    """
    nodes = [node for node in alive(ledger) if node.state == "ready" and (not tag or tag in node.tags)]
    return {version for node in nodes for version in node.versions}
