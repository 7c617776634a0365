"""Starts the runs of schedules that are due, each once however many monitors look.

Beside the watch over the runs: to look for the tests of a run that is to be split takes seconds.
"""

from __future__ import annotations

import logging

from refstack_worker.errors import LedgerError, NotFoundError, RefstackError
from refstack_worker.server.domain.schedules import Schedule
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.monitor.background import BackgroundWork
from refstack_worker.server.queue.submitter import Submitter
from refstack_worker.server.services.schedules import ScheduleService

LOG = logging.getLogger(__name__)

MAX_LATE_SECONDS = 6 * 3600.0
"""After which a run that no monitor could start is left out: a nightly run must not start at noon."""


class BackgroundStarts:
    """Starts due runs beside the watch, few of one vendor at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._work = BackgroundWork("schedules", self._start_all)
        self.wait = self._work.wait

    def look(self) -> None:
        """Start soon what is due. :raises LedgerError: database trouble."""
        if self._ledger.schedules.is_any_due():
            self._work.want()

    def _start_all(self) -> None:
        try:
            while start_due(self._ledger):
                pass  # few of one vendor are taken at once
        except Exception as error:  # the monitor looks again in its next round
            LOG.error("schedules: the runs that are due are not started yet: %s", error or type(error).__name__)


def start_due(ledger: Ledger) -> int:
    """Start what is due, and return how many runs that were.

    :raises LedgerError: database trouble; what is under way is tried again when its lease ends.
    """
    service = ScheduleService(ledger, Submitter(ledger, None))
    return sum(_start(ledger, service, due) for due in ledger.schedules.take_due())


def _start(ledger: Ledger, service: ScheduleService, due: Schedule) -> bool:
    problem = _obstacle(ledger, due)
    if not problem:
        try:
            run = service.start(due)
        except LedgerError:
            raise
        except RefstackError as error:
            problem = str(error)
        except Exception as error:  # the schedules of others are started after it
            LOG.exception("schedule %d: unexpected error", due.id)
            problem = f"fault of the server: {type(error).__name__}"
        else:
            # a monitor that dies here leaves the lease: the next one gets the same run for the same due time
            ledger.schedules.close(due, run.test_id)
            LOG.info("schedule %d started run %d", due.id, run.test_id)
            return True
    LOG.warning("schedule %d started no run: %s", due.id, problem)
    ledger.events.schedule_skipped(due, problem)
    ledger.schedules.close(due, None, problem)
    return False


def _obstacle(ledger: Ledger, due: Schedule) -> str:
    """Return why the run of a schedule should not start now; empty: nothing."""
    if ledger.clock() - due.next_at > MAX_LATE_SECONDS:
        return "missed: no monitor of the server was running at that time"
    if ledger.account_changes.is_disabled(due.owner_id):
        return "its owner is disabled"
    if due.last_test_id is None:
        return ""
    try:
        last = ledger.runs.get(due.last_test_id)
    except NotFoundError:
        return ""  # removed
    # the run of this very time, recorded by a monitor that died before it could say so
    if last.state.is_end or last.created_at >= due.next_at:
        return ""
    return f"the previous run {last.test_id} has not ended"
