"""What a run that was cut short left in the vendor's cloud: removed by its prefix, or said."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefstackError, RefusedError, ServerError
from refstack_worker.worker.attempt.outcome import Ending, Kind
from refstack_worker.worker.sandbox.commands import Commands
from refstack_worker.worker.sandbox.runner import Session
from refstack_worker.worker.server_api.attempts import Reporter
from refstack_worker.worker.server_api.heartbeat import OrderBook
from refstack_worker.worker.server_api.reports import CleanupListener

LOG = logging.getLogger(__name__)

CUT_SHORT = frozenset({Kind.CANCELLED, Kind.FAILED, Kind.RELEASED, Kind.STOPPED})
HEARD = frozenset({Kind.CANCELLED, Kind.FAILED, Kind.POSTED, Kind.SPOOLED})
"""Endings after which the server still takes messages of this attempt."""
EARLIER = 3
"""Earlier attempts whose leftovers are looked for: the node of one that was lost could not do it."""
PATIENCE = 5.0


class CloudCleanup:
    """Runs ``execute_test --cleanup-only`` in the folder of the run, whose configuration is still there."""

    def __init__(self, session: Session, commands: Commands, reporter: Reporter, orders: OrderBook) -> None:
        self._session = session
        self._commands = commands
        self._reporter = reporter
        self._orders = orders

    def after(self, ending: Ending, tempest_home: Path, started: bool) -> None:
        """Clean up after an attempt that ended so, and after earlier ones of its run.

        :param started: whether its tests began.
        """
        prefixes = self._prefixes(ending, started)
        if not prefixes or not self._commands.settings.run.cleanup_seconds:
            return
        over = threading.Event()
        limit = threading.Thread(target=self._limit, args=(over,), name="clean-up limit", daemon=True)
        limit.start()
        try:
            for prefix in prefixes:
                if over.is_set():
                    break
                self._clean(prefix, tempest_home, ending, over)
        except RefstackError as error:
            LOG.warning("clean-up: %s", error)
        finally:
            over.set()

    def _prefixes(self, ending: Ending, started: bool) -> list[str]:
        payload = self._commands.held.payload
        own = [payload.prefix] if started and ending.kind in CUT_SHORT else []
        if ending.kind is Kind.RELEASED or not started:
            return own
        first = max(1, payload.attempt - EARLIER)
        return own + [f"refstack-{payload.test_id}-{number}" for number in range(first, payload.attempt)]

    def _clean(self, prefix: str, tempest_home: Path, ending: Ending, over: threading.Event) -> None:
        LOG.info("removing from the cloud what carries %s", prefix)
        listener = CleanupListener()
        end = self._session.run(self._commands.clean_up(tempest_home, prefix), listener, after_stop=True)
        said = [*listener.messages, str(listener.last.get("message") or f"clean-up ended with status {end.status}")]
        if over.is_set():
            said.append(f"clean-up was stopped before its end; what carries {prefix} may still be in the cloud")
        for text in said:
            LOG.info("clean-up: %s", text)
        if ending.kind in HEARD:
            self._tell(said)

    def _tell(self, said: list[str]) -> None:
        for text in said:
            try:
                self._reporter.report(Report(message=f"clean-up: {text}"), PATIENCE)
            except RefusedError:
                return
            except ServerError as error:
                LOG.warning("not told: %s", error)
                return

    def _limit(self, over: threading.Event) -> None:
        """Stop the clean-up when its time is over; much sooner when the worker is being stopped."""
        settings = self._commands.settings.run
        waited = 0.0
        while waited < settings.cleanup_seconds and not over.wait(0.5):
            waited += 0.5
            if self._orders.hurried.is_set():
                over.wait(min(settings.handover_seconds, settings.cleanup_seconds - waited))
                break
        if not over.is_set():
            over.set()
            self._session.stop()
