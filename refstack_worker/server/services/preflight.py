"""Tells in advance what a run would lack: passwords, accounts, services in the catalogue, a node with its version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract import tempest_options
from refstack_worker.contract.accounts import accounts_in
from refstack_worker.contract.cloud_needs import consequences
from refstack_worker.contract.gearman_functions import is_served
from refstack_worker.contract.states import RunState
from refstack_worker.contract.testcases import check_testcases
from refstack_worker.errors import NotFoundError, PayloadError, RefusedError, UsageError
from refstack_worker.execute_test.cloud.service_types import ALL_TYPES
from refstack_worker.server.domain.clouds import Cloud, CloudRecord, Conf
from refstack_worker.server.domain.guidelines import ADVISORY, REQUIRED, Program
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.capacity import alive
from refstack_worker.server.services import (
    access,
    account_needs,
    cloud_check,
    proposed_version,
    run_shards,
    tempest_tests,
)
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.cloud_contents import CloudContents, look_inside
from refstack_worker.server.services.exclusions import without_effect
from refstack_worker.server.services.guidelines import need_tests
from refstack_worker.server.services.inputs.checks import FieldError, InvalidInput, invalid
from refstack_worker.server.services.inputs.run_input import conf_of, new_run
from refstack_worker.server.services.mini_conf import merged, mini_conf, with_saved

_SERVICES = {
    "compute": "nova",
    "images": "glance",
    "networks": "neutron",
    "objectstore": "swift",
    "volume": "cinder",
    "volumes": "cinder",
    "dns": "designate",
    "orchestration": "heat",
    "stack": "heat",
    "shared": "manila",
}
"""First word of a capability's name to the service, as :data:`ALL_TYPES` names it."""

_ONE_TEST = re.compile(r"^id-|\[|\.[A-Z_]\w*\.test_\w+$")
"""What names a test, and no module or class with many."""
MANY = 200
"""Runs in line that are counted."""


@dataclass(frozen=True)
class Findings:
    """What prevents a run from starting."""

    warnings: tuple[str, ...]
    outlook: str
    """One sentence about what would run."""


def preflight(ledger: Ledger, caller: Caller, body: Mapping[str, Any]) -> Findings:
    """Return what a run would lack.

    :param body: of the schema :data:`~refstack_worker.server.services.inputs.run_input.NEW_RUN`.
    :raises InvalidInput: it cannot succeed: no cloud, no password, no such version.
    :raises PayloadError: tests that cannot be chosen so.
    """
    body = proposed_version.with_version(ledger, caller, body)
    spec = new_run(body).spec
    if spec.testcases is not None:
        check_testcases(spec.testcases)
    known = _cloud(ledger, caller, body)
    conf = _with_saved(ledger, known, conf_of(body))
    tempest_options.check(conf)
    _check_access(known, conf)
    run_shards.check(ledger, spec, conf, known)
    program = _program(ledger, caller, body)
    if program is not None:
        need_tests(program, body["guideline"])
    warnings = [*_versions(ledger, body), *run_shards.warnings(spec)]
    warnings += [*_quick(body, program, known, conf), *without_effect(body, program)]
    names = _names(body, program)
    inside = _inside(ledger, caller, _of_run(ledger, known, conf), names)
    warnings += consequences(inside.gaps, names)
    if inside.problem and program is not None and known is not None:
        warnings += _catalogue(known, program)
    outlook = f"{_outlook(ledger, body, program)}{account_needs.side_by_side(conf, known)}"
    return Findings(tuple(warnings), f"{outlook}{_seen(inside)}")


def warnings_for(ledger: Ledger, caller: Caller, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a run that was recorded may lack for its guideline, and which exclusions have no effect.

    The cloud is not asked.
    """
    if not (body.get("guideline") or body.get("exclude")):
        return ()
    try:
        body = proposed_version.with_version(ledger, caller, body)
        known, program = _cloud(ledger, caller, body), _program(ledger, caller, body)
        conf = _with_saved(ledger, known, conf_of(body))
    except (UsageError, PayloadError, NotFoundError):
        # it was taken all the same
        return ()
    of_guideline = [*_versions(ledger, body), *_quick(body, program, known, conf)] if program else []
    return (*of_guideline, *without_effect(body, program))


def _with_saved(ledger: Ledger, known: CloudRecord | None, conf: Conf) -> Conf:
    return with_saved(ledger.clouds.saved_conf(known.cloud.id), conf, known.cloud.endpoint_v3) if known else conf


def _quick(body: Mapping[str, Any], program: Program | None, known: CloudRecord | None, conf: Conf) -> list[str]:
    """Return what is known without asking the cloud."""
    if program is None:
        return []
    version = body.get("tempest_version", "")
    lacking = [*_version_lacks(version, program), *_plugins_lack(body.get("plugins") or {}, program)]
    return [*lacking, *account_needs.warnings(conf, known, version, program)]


def _of_run(ledger: Ledger, known: CloudRecord | None, conf: Conf) -> Conf:
    """Return the options that a run gets, as ``execute_test`` lays them on top of each other."""
    cloud = known.cloud if known else Cloud()
    options = {"identity": {"region": known.region}} if known and known.region else {}
    requested = merged(mini_conf(ledger.settings.tempest, cloud), known.options if known else {}, options, conf)
    # as RefStack has it; Tempest has the administrator in another section
    admin = {option: requested["identity"].get(option) for option in ("admin_username", "admin_password")}
    auth = {**{name: value for name, value in admin.items() if value}, **requested.get("auth", {})}
    return {**requested, "auth": auth}


def _inside(ledger: Ledger, caller: Caller, conf: Conf, names: Sequence[str]) -> CloudContents:
    try:
        with cloud_check.TURNS.turn(caller.token.account):
            return look_inside(conf, ledger.settings.outbound.cloud_networks, names)
    except RefusedError as error:
        return CloudContents(problem=str(error))


def _names(body: Mapping[str, Any], program: Program | None) -> list[str]:
    """Return the tests that a run is asked for by name; all tests count as one."""
    chosen = body.get("testcases") or {}
    names = [test.name for test in program.tests()] if program else list(chosen.get("names", ()))
    return names if names and not chosen.get("regexes") else ["tempest"]


def _seen(inside: CloudContents) -> str:
    if inside.problem:
        return f" The server could not inspect the cloud: {inside.problem.rstrip('.')}."
    return f" Found in the cloud: {'; '.join(inside.choices)}." if inside.choices else ""


def _cloud(ledger: Ledger, caller: Caller, body: Mapping[str, Any]) -> CloudRecord | None:
    cloud_id = body.get("cloud_id")
    if cloud_id is None and not conf_of(body):
        raise invalid("cloud_id", "Choose a cloud.")
    try:
        return access.visible_cloud(ledger, caller, cloud_id) if cloud_id is not None else None
    except NotFoundError as error:
        raise invalid("cloud_id", str(error)) from None


def _check_access(known: CloudRecord | None, conf: Mapping[str, Mapping[str, Any]]) -> None:
    identity, auth = conf.get("identity", {}), conf.get("auth", {})
    if known is None and not (identity.get("uri_v3") or identity.get("uri")):
        raise invalid("options", "identity.uri_v3 is missing: the Keystone URL of the cloud.")
    if accounts_in(conf):
        return
    if not (identity.get("password") or auth.get("admin_password") or identity.get("admin_password")):
        user = known.cloud.test_user if known else ""
        who = f'test user "{user}"' if user else "the test user"
        raise InvalidInput(FieldError("password", f"No password was given for {who}."))


def _versions(ledger: Ledger, body: Mapping[str, Any]) -> list[str]:
    version, tag = body.get("tempest_version", ""), body.get("tag", "")
    nodes = [node for node in alive(ledger) if node.state == "ready"]
    plugins = body.get("plugins") or {}
    fitting = [node for node in nodes if not version or is_served(node.versions, version, plugins)]
    if any(not tag or tag in node.tags for node in fitting):
        return []
    there = ", ".join(sorted({one for node in nodes for one in node.versions})) or "none"
    what = f"Tempest {version}" if version else f"OpenStack {body.get('openstack_release', '')}"
    what += f" with {', '.join(f'{name} {number}' for name, number in plugins.items())}" if plugins else ""
    return [f"No available node runs {what}{f' with the tag {tag}' if tag else ''}. Available: {there}."]


def _program(ledger: Ledger, caller: Caller, body: Mapping[str, Any]) -> Program | None:
    given = body.get("guideline")
    if not given:
        return None
    try:
        requested = given.get("id") or given.get("name", "")
        return ledger.guidelines.get(requested, access.scope_of(ledger, caller))[1].program(given["program"])
    except NotFoundError as error:
        raise invalid("guideline", str(error)) from None


def _version_lacks(version: str, program: Program) -> list[str]:
    """Say that a version has fewer tests than the program requires."""
    found = tempest_tests.of_version(version)
    tests = list(program.tests())
    missing = found.missing(tests) if found is not None else []
    if not missing:
        return []
    names = ", ".join(missing[:3]) + (" and others" if len(missing) > 3 else "")
    there = len(tests) - len(missing)
    return [f"Tempest {version} has {there} of the {len(tests)} required tests. It doesn't have {names}."]


def _plugins_lack(plugins: Mapping[str, str], program: Program) -> list[str]:
    """Say that the program's tests are in a plugin that the run does not have."""
    packages = {test.name.partition(".")[0] for test in program.tests()} - {"tempest"}
    lacking = sorted(packages - {name.lower().replace("-", "_") for name in plugins})
    names = ", ".join(name.replace("_", "-") for name in lacking)
    return [f"Tests of {program.name} are in {names}: add this Tempest plugin to the run."] if lacking else []


def _catalogue(known: CloudRecord, program: Program) -> list[str]:
    there = cloud_check.services_in(known.check.said) if known.check and known.check.ok else ()
    if not there:
        return []
    words = {capability.name.partition("-")[0] for capability in program.capabilities.get("required", ())}
    lacking = sorted(word for word in words & set(_SERVICES) if set(ALL_TYPES[_SERVICES[word]]).isdisjoint(there))
    if not lacking:
        return []
    return [f"{program.name} tests {', '.join(lacking)}, but the cloud's catalogue has only: {', '.join(there)}."]


def _outlook(ledger: Ledger, body: Mapping[str, Any], program: Program | None) -> str:
    free = sum(max(0, node.slots - node.busy) for node in alive(ledger) if node.state == "ready")
    version = f" with Tempest {body['tempest_version']}" if body.get("tempest_version") else ""
    return f"This will run {_what(body, program)}{version}{_time(ledger, body, program)}.{_queue(ledger, free)}"


def _queue(ledger: Ledger, free: int) -> str:
    """Return when a run would start, in words."""
    if ledger.queue.is_paused():
        return " It waits until the operator resumes the queue."
    if free:
        return f" {free} free slot{'s' if free != 1 else ''} on the fleet."
    waiting = len(ledger.runs.find(RunQuery(states=(RunState.QUEUED,), limit=MANY)))
    return f" No slot is free; {waiting if waiting < MANY else 'many'} run{'s' if waiting != 1 else ''} ahead in line."


def _time(ledger: Ledger, body: Mapping[str, Any], program: Program | None) -> str:
    """Return how long the tests would take, from the last runs of the cloud; nothing if that is not known."""
    count, cloud_id = _count(body, program), body.get("cloud_id")
    seconds = count * ledger.durations.of_one_test(cloud_id) if count and cloud_id is not None else 0.0
    if not seconds:
        return ""
    return f" in about {seconds / 60:.0f} min" if seconds >= 90 else f" in about {max(1, round(seconds))} s"


def _what(body: Mapping[str, Any], program: Program | None) -> str:
    """Return what a run is asked for, in words. A test that the guideline knows by several names counts once."""
    count = _count(body, program)
    if count:
        return f"{'up to ' if body.get('exclude') else ''}{count} test{'s' if count != 1 else ''}"
    if program is not None:
        return "all API tests"
    return "the tests you chose" if body.get("testcases") else "all tests"


def _count(body: Mapping[str, Any], program: Program | None) -> int:
    """Return how many tests a run is asked for; 0: that is not known before."""
    chosen, asked = body.get("testcases") or {}, body.get("guideline") or {}
    if asked.get("tests") == "api" or chosen.get("regexes"):
        return 0
    kinds = (REQUIRED, ADVISORY) if asked.get("advisory") else (REQUIRED,)
    if program:
        return len({test.name for test in program.tests(kinds)})
    names = chosen.get("names", ())
    return len(names) if all(map(_ONE_TEST.search, names)) else 0
