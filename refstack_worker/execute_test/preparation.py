"""Everything before the first test: server, cloud, and Tempest's configuration."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from refstack_worker.contract.accounts import accounts_in, without_accounts
from refstack_worker.contract.cloud_needs import Gap, consequences
from refstack_worker.contract.execute_test import TEMPESTCONF
from refstack_worker.execute_test.arguments import Arguments
from refstack_worker.execute_test.cloud.account_networks import add_networks
from refstack_worker.execute_test.cloud.cleanup.resources import floating_ips
from refstack_worker.execute_test.cloud.cleanup.run_traces import CloudSnapshot
from refstack_worker.execute_test.cloud.discovery import (
    DEFAULT_RESELLER_ROLE,
    Discovery,
    acting_administrator,
    discover,
)
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.keystone import Keystone, acting_user, sensible_answers
from refstack_worker.execute_test.cloud.options import OptionFinder
from refstack_worker.execute_test.cloud.service_types import SECTIONS
from refstack_worker.execute_test.inputs import accounts_from_file, conf_from_environment, with_absolute_paths
from refstack_worker.execute_test.log import SECRETS
from refstack_worker.execute_test.progress import EventWriter
from refstack_worker.execute_test.refstack_server import RefstackServer
from refstack_worker.execute_test.tempest.account_names import name_accounts
from refstack_worker.execute_test.tempest.accounts.needs import better_trial, plan_accounts, ways_to_list
from refstack_worker.execute_test.tempest.accounts.plan import AccountPlan
from refstack_worker.execute_test.tempest.accounts.rehearsal import Rehearsal
from refstack_worker.execute_test.tempest.conf import (
    COMMON_CONF,
    KEYSTONE_VERSION,
    Conf,
    is_true,
    merge,
    open_private,
    without_users,
    write_conf,
)
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.listing import TestFacts, TestListing, list_tests
from refstack_worker.execute_test.tempest.selection import Selection
from refstack_worker.execute_test.tempest.tempestconf import run_tempestconf
from refstack_worker.execute_test.tempest.waiting_run import WaitingRun
from refstack_worker.execute_test.tempest.workspace import Workspace

ACCOUNTS_PER_PROCESS = 2
"""Where it could not be tried: most of Tempest's classes use two accounts at a time."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start."""

    tempest: Tempest
    workspace: Workspace
    selection: Selection
    discovery: Discovery
    concurrency: int
    """Test processes; 0: as many as Tempest chooses."""
    gaps: tuple[Gap, ...] = ()
    """What the cloud lacks, each with its consequence."""
    plan: AccountPlan = field(default_factory=AccountPlan)
    """What the accounts are enough for."""
    rehearsal: Rehearsal | None = None
    """That still logs in, as the administrator; None: Tempest could log in."""
    waiting: WaitingRun | None = None
    """A ``tempest run`` that waits for the names of its tests."""

    def need_login(self) -> None:
        """Wait until Tempest has logged in; no test may begin before.

        :raises CloudFailure: Tempest cannot log in.
        :raises BadInput: it cannot read its configuration.
        """
        if self.rehearsal is not None:
            self.rehearsal.end_login()


@contextlib.contextmanager
def prepared(
    args: Arguments, workspace: Workspace, events: EventWriter, facts: TestFacts | None = None
) -> Iterator[Prepared]:
    """Collect what the run needs, and write Tempest's configuration.

    :param facts: what is known about the tests that will run; None: none will.
    """
    assert args.tempest_home is not None  # noqa: S101 - the command line was checked
    tempest = Tempest.find(args.tempest_home)
    requested = _with_accounts_file(requested_conf(args))
    entries = args.testcases or (RefstackServer(args).testcases() if args.callback else ("tempest",))
    _report_limits(args, tempest, events)
    name_accounts(workspace.python_path, args.prefix)
    with Rehearsal.begun(tempest, workspace) as rehearsal, contextlib.ExitStack() as ends:
        waiting = None
        if facts and facts.names and tempest.load_list and tempest.reads_conf_late and acting_administrator(requested):
            waiting = ends.enter_context(WaitingRun.begun(tempest, workspace, args.concurrency, facts.durations))
        ready = _configure(args, tempest, workspace, Selection(entries), requested, rehearsal, events)
        yield replace(ready, waiting=waiting)


def _configure(
    args: Arguments, tempest: Tempest, workspace: Workspace, selection: Selection, requested: Conf,
    rehearsal: Rehearsal, events: EventWriter,
) -> Prepared:  # fmt: skip
    """Ask the cloud for what is not given, write Tempest's configuration, and try it."""
    keystone = Keystone(requested)
    discovery = discover(requested, keystone, selection)
    if accounts_in(requested) and not discovery.accounts:
        events.message("the accounts are not used, because Tempest creates its own users as the administrator; to use "
                       "the accounts, set auth.use_dynamic_credentials = false")  # fmt: skip
    if discovery.repeated:
        events.message(f"accounts that repeat another one's user, password and project are not used: "
                       f"{discovery.repeated}; Tempest needs different ones")  # fmt: skip
    region = str(discovery.conf["identity"].get("region") or "")
    with sensible_answers():
        addresses = floating_ips(keystone, discovery.token, region)
        CloudSnapshot.take(workspace.folder, args.prefix, keystone, discovery.token, addresses)
    findings = _find_options(keystone, discovery, requested, args, selection, events)
    found = findings.conf
    if args.discover == TEMPESTCONF:
        given = merge(_for_tempestconf(findings), requested)
        cloud = _clouds_entry(discovery, requested)
        found = merge(found, run_tempestconf(tempest, workspace, cloud, given, not discovery.accounts))
    # who the users are, and which role they need, Keystone has already shown
    discovered = merge(found, discovery.conf)
    add_networks(keystone, zip(discovery.accounts, discovery.account_tokens), region)
    forced = workspace.forced_conf(args.prefix if tempest.name_prefix else "")
    # Tempest logs in as it worked here: maybe at another address than the one that was set, and never by version 2
    used = {
        "identity": {"uri_v3": keystone.url, "auth_version": KEYSTONE_VERSION},
        "auth": _credentials_conf(workspace, discovery),
    }
    conf = without_users(merge(discovered, requested, used, forced))
    SECRETS.add_conf(conf)
    write_conf(workspace.conf, without_accounts(conf))
    for sentence in consequences(findings.gaps, selection.entries):
        events.message(sentence)
    available = conf.get("service_available", {})
    services = {name: section for name, section in SECTIONS.items() if is_true(available.get(name))}
    ready = Prepared(tempest, workspace, selection, discovery, args.concurrency, tuple(findings.gaps))
    if not discovery.accounts:
        rehearsal.begin_login(services)
        return replace(ready, rehearsal=rehearsal)
    reseller = str(conf.get("object-storage", {}).get("reseller_admin_role") or DEFAULT_RESELLER_ROLE)
    variants = ways_to_list(discovery.accounts, reseller)
    plan = _rehearsed_plan(args, ready, variants, rehearsal, services)
    if plan.summary:
        events.message(plan.summary)
    return replace(ready, plan=plan, concurrency=_concurrency(args, plan, len(discovery.accounts), events))


def _rehearsed_plan(
    args: Arguments, ready: Prepared, variants: Sequence[Sequence[Mapping[str, Any]]], rehearsal: Rehearsal,
    services: Mapping[str, str],
) -> AccountPlan:  # fmt: skip
    """Let Tempest log in, and hand out the accounts that the selected tests need.

    :param variants: ways to list the accounts.
    :raises BadInput: no test could run with these accounts.
    :raises CloudFailure: Tempest cannot log in.
    """
    tempest, workspace, accounts = ready.tempest, ready.workspace, ready.discovery.accounts
    _write_accounts(workspace, variants[0])
    known = TestFacts.read(args.known_tests, None).names
    listing = TestListing(0, known) if known else list_tests(tempest, workspace, ready.selection.listing_expressions)
    names = ready.selection.chosen_of(listing.names)[1] if listing.status == 0 else []
    processes = args.concurrency or len(os.sched_getaffinity(0))
    rehearsed = rehearsal.ask(services, names, variants, processes)
    if not rehearsed.trials:
        return AccountPlan(processes=max(1, len(accounts) // ACCOUNTS_PER_PROCESS))
    best = better_trial(rehearsed.trials, rehearsed.needs)
    _write_accounts(workspace, variants[best])
    return plan_accounts(names, listing, rehearsed, rehearsed.trials[best], accounts)


def requested_conf(args: Arguments) -> Conf:
    """Return common values, on top of them the server's, and on top of those the caller's."""
    if args.from_env:
        below = conf_from_environment(os.environ)
    else:
        below = RefstackServer(args).miniconf() if args.callback else {}
    return with_absolute_paths(merge(COMMON_CONF, below, args.conf_json))


def _find_options(
    keystone: Keystone, discovery: Discovery, requested: Conf, args: Arguments, selection: Selection,
    events: EventWriter,
) -> CloudFindings:  # fmt: skip
    """Return the options that the cloud's services lead to; report the choices."""
    region = str(discovery.conf["identity"].get("region") or "")
    finder = OptionFinder(keystone, discovery.token, region, is_admin=not discovery.accounts)
    findings = finder.find(requested, args.prefix, selection.entries)
    findings.gaps[:0] = discovery.gaps
    if args.discover == TEMPESTCONF:
        events.message("python-tempestconf chooses the options of this cloud")
    elif findings.choices:
        events.message("; ".join(findings.choices))
    return findings


def _report_limits(args: Arguments, tempest: Tempest, events: EventWriter) -> None:
    """Report what this version of Tempest cannot do."""
    if args.remark:
        events.message(args.remark)
    if unknown := tempest.unknown_options(without_users(args.conf_json)):
        events.message(f"Tempest {tempest.version} ignores unknown options: {', '.join(unknown[:10])}")
    version = str(args.conf_json.get("identity", {}).get("auth_version") or KEYSTONE_VERSION)
    if version != KEYSTONE_VERSION:
        events.message(f"identity.auth_version = {version[:20]} is not used: runs use Keystone's v3 API alone")
    if args.prefix and not tempest.name_prefix:
        events.message(f"Tempest {tempest.version} cannot name its resources by a prefix; leftovers are only listed")


def _with_accounts_file(requested: Conf) -> Conf:
    """Take the accounts out of the file that ``auth.test_accounts_file`` names, where one is named.

    :raises BadInput: the file cannot be read, or is not an accounts file.
    """
    path = str(requested.get("auth", {}).get("test_accounts_file") or "")
    if not path or accounts_in(requested):
        return requested
    conf = merge(requested, accounts_from_file(path, "auth.test_accounts_file"))
    conf["auth"].pop("test_accounts_file")
    SECRETS.add_conf(conf)
    return conf


def _concurrency(args: Arguments, plan: AccountPlan, accounts: int, events: EventWriter) -> int:
    """Return how many processes find the accounts that they need."""
    if not plan.processes:
        return args.concurrency
    wanted = args.concurrency or len(os.sched_getaffinity(0))
    if wanted > plan.processes:
        given = "one account" if accounts == 1 else f"{accounts} accounts"
        processes = "one test process" if plan.processes == 1 else f"{plan.processes} test processes"
        events.message(f"with {given}, only {processes} can run (instead of {wanted})")
    if plan.serial_classes:
        classes = ", ".join(plan.serial_classes[:10])
        events.message(f"few accounts suit these tests, so one process runs them all: {classes}")
    return min(wanted, plan.processes)


def _credentials_conf(workspace: Workspace, discovery: Discovery) -> dict[str, Any]:
    """Return where Tempest gets its users: it makes them, or takes those of the accounts file."""
    if not discovery.accounts:
        return {"use_dynamic_credentials": True}
    return {"use_dynamic_credentials": False, "test_accounts_file": str(workspace.accounts_file)}


def _write_accounts(workspace: Workspace, accounts: Sequence[Mapping[str, Any]]) -> None:
    """Write the file of ordinary users that Tempest needs when there is no administrator."""
    with open_private(workspace.accounts_file) as file:
        json.dump(accounts, file)  # JSON is YAML


def _for_tempestconf(findings: CloudFindings) -> Conf:
    """Return what python-tempestconf would otherwise upload from the internet, or fail for want of."""
    wanted = {"compute": ("image_ref", "image_ref_alt"), "volume": ("catalog_type",)}
    found = {section: {name: findings.value(section, name) for name in names} for section, names in wanted.items()}
    return merge(found)


def _clouds_entry(discovery: Discovery, requested: Conf) -> dict[str, Any]:
    """Return the entry of ``clouds.yaml`` for the user whose token the discovery has."""
    user = acting_user(merge(discovery.conf, requested))
    project, person = discovery.token.body.get("project", {}), discovery.token.body.get("user", {})
    auth = {"auth_url": discovery.conf["identity"]["uri_v3"], "username": user.name, "password": user.password,
            "project_name": project.get("name", user.project),
            "user_domain_name": person.get("domain", {}).get("name") or "Default",
            "project_domain_name": project.get("domain", {}).get("name") or "Default"}  # fmt: skip
    identity = requested.get("identity", {})
    is_unchecked = is_true(identity.get("disable_ssl_certificate_validation", ""))
    entry = {
        "auth": auth,
        "region_name": discovery.conf["identity"].get("region"),
        "identity_api_version": "3",
        "cacert": None if is_unchecked else identity.get("ca_certificates_file"),
        "verify": False if is_unchecked else None,
    }
    return {name: value for name, value in entry.items() if value is not None}
