"""``refstack-queue doctor``: checks the server's side for common problems, with instructions to fix them."""

from __future__ import annotations

import argparse
import email.utils
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import requests
from cliff.lister import Lister
from urllib3.exceptions import InsecureRequestWarning

from refstack_worker.cli.queue import ownership
from refstack_worker.cli.queue.ledger_access import open_ledger, settings_of
from refstack_worker.cli.queue.nodes import SILENT_SECONDS
from refstack_worker.cli.queue.records import Rows
from refstack_worker.errors import RefstackError
from refstack_worker.http.session import cause
from refstack_worker.server.db import migrate
from refstack_worker.server.db.clock import NOTABLE_SKEW
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.queue.capacity import demand
from refstack_worker.server.queue.client import QueueClient
from refstack_worker.server.services import health
from refstack_worker.worker.doctor.finding import BAD, GOOD, WARNING, Finding

MAX_SKEW = 60.0
"""Seconds; beyond them certificates and the messages of nodes are invalid."""
DATE_SECONDS = 1.0
"""An HTTP date has whole seconds."""
ANSWER_SECONDS = 10.0
SET_CLOCK = "set its clock; run chrony or systemd-timesyncd"


class Unsound(RefstackError):
    """The server's side has a problem; the message says which checks failed."""

    exit_code = 1
    reason = "unhealthy"


class DiagnoseQueue(Lister):
    """Check the server for common problems and say how to fix them; exits with 1 if there is one.

    Run it on each machine of the server, as root or as the service's user. It changes nothing.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Rows:
        with open_ledger(settings_of(self.app)) as ledger:
            self._findings = examine(ledger)
        rows = [(one.check, one.result, one.found, one.todo) for one in self._findings]
        return ("Check", "Result", "Found", "To do"), rows

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the findings, then fail if one is bad."""
        super().run(parsed_args)
        bad = [one.check for one in self._findings if one.result == BAD]
        if bad:
            raise Unsound(f"{len(bad)} of {len(self._findings)} checks failed: {', '.join(bad)}")
        return 0


def examine(ledger: Ledger) -> list[Finding]:
    """Make all the checks; one that cannot be made is a finding itself."""
    findings: list[Finding] = []
    for name, check in CHECKS:
        if name in OF_THE_TABLES and findings[0].result == BAD:
            continue  # it would only repeat that
        try:
            findings += check(ledger)
        except RefstackError as error:
            findings.append(Finding(name, BAD, str(error)))
    return findings


def check_database(ledger: Ledger) -> Iterator[Finding]:
    """The database is there and at the revision of this software."""
    for file in ownership.database_files(ledger.settings)[:1]:
        if not file.exists():  # to look into it would create it, with the wrong owner
            yield Finding("database", BAD, f"{file}: no such file; run 'refstack-queue db upgrade'")
            return
    migrate.check(ledger.database)
    yield Finding("database", GOOD, f"revision {migrate.newest()}")


def check_keys(ledger: Ledger) -> Iterator[Finding]:
    """The key files can be used."""
    health.check_keys(ledger.settings)
    yield Finding("keys", GOOD, f"sign, fleet and store key in {ledger.settings.keys.sign.parent}")


def check_owners(ledger: Ledger) -> Iterator[Finding]:
    """Keys and database belong to the user of the services, who owns the data folder."""
    others = [str(path) for path in ownership.strangers(ledger.settings)]
    data = ledger.settings.data
    if others:
        yield Finding(
            "owners", BAD, f"{', '.join(others)}: not owned by the owner of {data}", f"chown --reference={data} FILE"
        )
    else:
        yield Finding("owners", GOOD, f"as {data}")


def check_writing(ledger: Ledger) -> Iterator[Finding]:
    """The database can be written."""
    health.check_writing(ledger)
    yield Finding("writing", GOOD, "the database accepts changes")


def check_queue(ledger: Ledger) -> Iterator[Finding]:
    """At least one Gearman server answers."""
    if ledger.settings.queue.method != "gearman":
        return
    client = QueueClient(ledger.settings)
    try:
        workers = client.functions()
    except RefstackError as error:
        yield Finding("queue", BAD, str(error), "is gearmand running, and is GEARMAN_SERVER right?")
        return
    finally:
        client.close()
    yield Finding("queue", GOOD, f"{len(workers)} functions are served")


def check_demand(ledger: Ledger) -> Iterator[Finding]:
    """What waits is served by some node."""
    if ledger.settings.queue.method != "gearman":
        return
    for row in demand(ledger):
        if row.queued and not row.slots and row.function.startswith("refstack:tempest:"):
            yield Finding(
                "demand", WARNING, f"{row.queued} runs wait for {row.function}, which no ready node serves",
                "install the version's package on a node, or cancel the runs",
            )  # fmt: skip


def check_clocks(ledger: Ledger) -> Iterator[Finding]:
    """The machines of the server agree with the database on the time."""
    yield clock_finding("clock of this machine", ledger.server_clocks.of_this_machine())
    for machine in ledger.server_clocks.recent():
        yield clock_finding(f"clock of {machine.name}", machine.skew)


def check_api(ledger: Ledger) -> Iterator[Finding]:
    """The API answers where workers look for it, and its machine's clock agrees with the database's."""
    url = f"{ledger.settings.web.address.rstrip('/')}/health"
    try:
        with warnings.catch_warnings():
            # a private authority's certificate is the workers' affair: nothing secret is sent
            warnings.simplefilter("ignore", InsecureRequestWarning)
            answer = requests.get(url, timeout=ANSWER_SECONDS, allow_redirects=False, verify=False)  # noqa: S501 # nosec B501
    except requests.RequestException as error:
        yield Finding("api", BAD, f"{url}: {cause(error)}", "is refstack-queue api running, and is APP_ADDRESS right?")
        return
    if answer.status_code != 200:
        yield Finding("api", BAD, f"{url}: response {answer.status_code}", "the log of refstack-queue api says why")
    else:
        yield Finding("api", GOOD, f"{url} responds")
    try:
        date = email.utils.parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except (TypeError, ValueError, IndexError):
        return
    skew = date - ledger.clock()
    yield clock_finding("clock of the API", 0.0 if abs(skew) <= DATE_SECONDS else skew)


def check_nodes(ledger: Ledger) -> Iterator[Finding]:
    """Nodes that report are on time: the messages of one that is far off are refused."""
    for node in ledger.nodes.all():
        if ledger.clock() - node.seen_at < SILENT_SECONDS:
            yield clock_finding(f"clock of node {node.name}", node.time - node.seen_at)


def clock_finding(check: str, skew: float) -> Finding:
    """Return what it means that a clock is ``skew`` seconds ahead of the database's."""
    if abs(skew) <= NOTABLE_SKEW:
        return Finding(check, GOOD, f"{skew:+.1f} s off the database's")
    result = WARNING if abs(skew) <= MAX_SKEW else BAD
    return Finding(check, result, f"{skew:+.1f} s off the database's clock, which is used", SET_CLOCK)


CHECKS: tuple[tuple[str, Callable[[Ledger], Iterator[Any]]], ...] = (
    ("database", check_database),
    ("keys", check_keys),
    ("owners", check_owners),
    ("writing", check_writing),
    ("queue", check_queue),
    ("demand", check_demand),
    ("clock", check_clocks),
    ("api", check_api),
    ("nodes", check_nodes),
)
"""Each with the name of its finding when it cannot be made; the database is the first."""

OF_THE_TABLES = frozenset({"writing", "demand", "clock", "nodes"})
"""Checks that cannot be made without the queue's tables."""
