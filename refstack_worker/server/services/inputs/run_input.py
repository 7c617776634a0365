"""What a new run is asked for with, as JSON: the schema, and reading it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_worker.contract.accounts import without_accounts
from refstack_worker.contract.execute_test import DISCOVERERS, TEMPESTCONF
from refstack_worker.contract.limits import MAX_CONCURRENCY, MAX_RUN_SECONDS
from refstack_worker.contract.payload import release_trouble
from refstack_worker.contract.tempest_options import with_known_sections
from refstack_worker.contract.testcases import MAX_TEST_NAME, Testcases
from refstack_worker.server.domain.runs import NewRun, RunSpec
from refstack_worker.server.domain.shards import MAX_SHARDS
from refstack_worker.server.services.exclusions import EXCLUDE
from refstack_worker.server.services.inputs.accounts_input import ACCOUNTS, accounts_of
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import CONF, FLAG, ID, array, choice, fields, integer, maybe, string

TESTCASES = fields(
    names=array(string(MAX_TEST_NAME), description="Test names, module or package prefixes, or id-<uuid>"),
    regexes=array(string(2048), description="Regular expressions, searched for in the full names"),
    url=string(2048, description="Address of a list, one name per line; only where the operator allows it"),
)
CONF_OR_NONE = maybe(CONF)
LABEL = string(200, description="Helps you find the run later")
NEW_RUN = fields(
    tempest_version=string(40, description="Exact version; give this or openstack_release", examples=["47.0.0"]),
    openstack_release=string(40, description="Uses the newest Tempest that supports it", examples=["2025.1"]),
    plugins=maybe({"type": "object", "additionalProperties": string(40), "description": "Tempest plugin to version"}),
    conf_json=CONF_OR_NONE,
    accounts=ACCOUNTS,
    testcases=maybe(TESTCASES),
    guideline=maybe(
        fields(
            "program",
            id=maybe(ID),
            name=string(60, description="Guideline, such as 2020.06; give this or id"),
            program=string(200, minLength=1),
            advisory=FLAG,
            tests=choice("required", "api", description="api: run all API tests, and evaluate the required ones"),
        )
    ),
    exclude=EXCLUDE,
    concurrency=integer(0, MAX_CONCURRENCY, description="Test processes; 0: one for each CPU core"),
    shards=integer(0, MAX_SHARDS, description="Nodes that share the run; 0 or 1: one carries it out"),
    timeout=integer(0, MAX_RUN_SECONDS, description="Time limit in seconds; 0: set by the server"),
    tag=string(32, description="Run only on nodes with this tag"),
    priority=integer(-1, 1, description="-1 low, 0 normal, 1 high"),
    discover=choice(
        *DISCOVERERS,
        description="Finds Tempest options that are not set. tempestconf: python-tempestconf, on nodes that have it",
    ),
    label=LABEL,
    test_id=maybe({**ID, "description": "An existing test of RefStack (operators)"}),
    cloud_id=maybe({**ID, "description": "A saved cloud"}),
)
RERUN = fields(
    only=choice("all", "failed", description="All tests, or those that failed"),
    conf_json=CONF_OR_NONE,
    label=LABEL,
    accounts=ACCOUNTS,
)


def new_run(body: Mapping[str, Any]) -> NewRun:
    """Return the run that a body of the schema :data:`NEW_RUN` asks for; the ledger checks what it asks of Tempest.

    :raises InvalidInput: the version or the choice of tests makes no sense.
    """
    spec = RunSpec(
        tempest_version=release_of(body),
        openstack_release=body.get("openstack_release", ""),
        plugins=body.get("plugins") or {},
        testcases=testcases(body.get("testcases")),
        concurrency=body.get("concurrency", 0),
        timeout=body.get("timeout", 0),
        shards=body.get("shards", 0),
        tag=body.get("tag", ""),
        priority=body.get("priority", 0),
        discover=TEMPESTCONF if body.get("discover") == TEMPESTCONF else "",
    )
    return NewRun(
        spec=spec,
        conf_json=conf_of(body),
        test_id=body.get("test_id"),
        cloud_id=body.get("cloud_id"),
        label=body.get("label", ""),
    )


def conf_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in a body, with its accounts.

    :raises InvalidInput: they are not a list of accounts.
    :raises PayloadError: an option is set twice.
    """
    conf, accounts = body.get("conf_json") or {}, accounts_of(body)
    with_known_sections(conf)  # messages about options name them as they were given
    return dict(conf) if accounts is None else {**without_accounts(conf), **accounts}


def testcases(value: Mapping[str, Any] | None) -> Testcases | None:
    """Return the choice of tests in a body; None: the server's default."""
    if not value:
        return None
    if not value.get("url", "x"):
        raise invalid("testcases.url", "must not be empty")
    chosen = Testcases.from_json(value)
    if not chosen.to_json():
        raise invalid("testcases", "names no test; leave it out for the server's default")
    return chosen


def release_of(body: Mapping[str, Any]) -> str:
    version: str = body.get("tempest_version", "")
    trouble = release_trouble(version) if version else ""
    if trouble:
        raise invalid("tempest_version", trouble)
    return version
