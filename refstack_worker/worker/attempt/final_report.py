"""How an attempt's end is told: to the server, or to the spool while the server does not hear."""

from __future__ import annotations

import logging

from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefusedError, ServerError, SpoolError
from refstack_worker.worker.attempt.outcome import Ending, Kind
from refstack_worker.worker.server_api.attempts import Reporter
from refstack_worker.worker.server_api.heartbeat import Heart
from refstack_worker.worker.server_api.reports import ReportQueue
from refstack_worker.worker.spool.spool import RELEASE, REPORT, Entry, Spool

LOG = logging.getLogger(__name__)

PATIENCE = 20.0
"""Seconds for which the slot waits; then the spool goes on."""
STATES = {Kind.FAILED: RunState.FAILED, Kind.CANCELLED: RunState.CANCELLED}


class Voice:
    """What speaks for an attempt while it is held."""

    def __init__(self, reporter: Reporter, heart: Heart, spool: Spool) -> None:
        self.reporter = reporter
        self.heart = heart
        self.teller = ReportQueue(reporter)
        self._spool = spool
        self._ending: Ending | None = None

    def last_word(self, ending: Ending) -> Ending:
        """Tell how the attempt ended, after all that was said before; nothing is told afterwards but messages.

        :returns: how it ended, which stays what was told first: a fault while clearing away changes nothing.
        """
        if self._ending is not None:
            return self._ending
        self._ending = ending
        self.teller.close()
        self.heart.stop()
        if ending.kind in STATES or ending.kind is Kind.RELEASED:
            try:
                self._tell(ending)
            except RefusedError as error:
                LOG.info("%s", error)  # the server knows better: cancelled, superseded or finished meanwhile
            except ServerError as error:
                LOG.warning("%s; it is told later", error)
                self._keep(ending)
        return ending

    def _tell(self, ending: Ending) -> None:
        if ending.kind is Kind.RELEASED:
            self.reporter.release(ending.message or ending.reason, PATIENCE)
        else:
            self.reporter.report(Report(STATES[ending.kind], ending.message, ending.reason), PATIENCE)

    def _keep(self, ending: Ending) -> None:
        state = STATES.get(ending.kind)
        held = self.reporter.held
        kind = REPORT if state else RELEASE
        status = state.value if state else ""
        entry = Entry.of(held, kind, status=status, reason=ending.reason, message=ending.message)
        try:
            self._spool.add(held, entry)
        except SpoolError as full:
            LOG.error("%s; the server will notice the silence", full)
