"""What the monitor records for subscribers: runs that wait in vain, lost nodes, first failures; and schedules."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.server.db.notify_tables import event
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.notifications import EventKind
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.monitor.monitor import Monitor
from refstack_worker.server.queue.capacity import SILENT_SECONDS
from tests.support.ledgers import claimed, new_run
from tests.support.monitors import EVERY_TIME, Site
from tests.support.notifications import subscribe
from tests.support.schedules import schedule


def recorded(site: Site) -> list[str]:
    with site.ledger.database.reading() as connection:
        return list(connection.execute(select(event.c.kind).order_by(event.c.id)).scalars())


def test_a_run_that_waits_in_vain_is_recorded_once(site: Site) -> None:
    site.ledger.runs.add(new_run())
    site.monitor.look()
    site.clock.forward(60)
    site.monitor.look()
    site.monitor.look()
    Monitor(site.ledger, site.client, EVERY_TIME).look()
    assert recorded(site) == ["run.waiting"]


@pytest.mark.parametrize(("state", "expected"), [("ready", ["node.lost"]), ("draining", [])])
def test_a_node_that_goes_silent_is_recorded_once_unless_it_was_drained(
    site: Site, state: str, expected: list[str]
) -> None:
    site.ledger.nodes.record(Node("n", ("47.0.0",), 1, 0, (), state, "1", site.clock()))
    site.monitor.look()
    assert recorded(site) == []
    site.clock.forward(SILENT_SECONDS)
    for monitor in (site.monitor, site.monitor, Monitor(site.ledger, site.client, EVERY_TIME)):
        monitor.look()
    assert recorded(site) == expected


class Blamed:
    """A server that could not have heard its nodes."""

    def look(self) -> None: ...

    def disturbed(self) -> None: ...

    def nobody_is_silent(self) -> None: ...

    def is_good(self) -> bool:
        return False


def test_a_node_is_not_lost_while_the_server_could_not_hear_it(site: Site) -> None:
    site.ledger.nodes.record(Node("n", ("47.0.0",), 1, 0, (), "ready", "1", site.clock()))
    site.clock.forward(SILENT_SECONDS)
    Monitor(site.ledger, site.client, EVERY_TIME, Blamed()).look()
    assert recorded(site) == []


def test_first_failures_are_found_and_due_schedules_started(site: Site) -> None:
    subscribe(site.ledger, EventKind.RUN_FAILING)
    job = claimed(site.ledger)
    site.ledger.attempts.report(job.proof, Report(RunState.RUNNING))
    site.ledger.attempts.heartbeat(job.proof, job.claim_id, Progress(total=2, done=1, failed=1))
    one = schedule(site.ledger)
    site.monitor.look()
    assert recorded(site) == ["run.failing"]
    site.clock.time = one.next_at
    site.monitor.look()
    assert site.monitor.starts.wait(30)
    assert site.ledger.schedules.get(one.id).last_test_id in [run.test_id for run in site.ledger.runs.find(RunQuery())]
