"""Removes by its prefix what an interrupted run left in the vendor's cloud, or reports what could not be removed."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefstackError, RefusedError, ServerError
from refstack_worker.worker.attempt.outcome import AttemptOutcome, OutcomeKind
from refstack_worker.worker.attempt.stop_request import StopRequest
from refstack_worker.worker.sandbox.commands import Commands
from refstack_worker.worker.sandbox.listeners import CleanupListener
from refstack_worker.worker.sandbox.runner import ProcessExit, Sandbox
from refstack_worker.worker.server_api.attempts import AttemptApi, earlier_prefixes

LOG = logging.getLogger(__name__)

INTERRUPTED = frozenset({OutcomeKind.CANCELLED, OutcomeKind.FAILED, OutcomeKind.RELEASED, OutcomeKind.STOPPED})
REPORTABLE = frozenset({OutcomeKind.CANCELLED, OutcomeKind.FAILED, OutcomeKind.POSTED, OutcomeKind.SPOOLED})
"""Outcomes after which the server still accepts messages of this attempt."""
PATIENCE = 5.0
POLL_SECONDS = 0.5


class CloudCleanup:
    """Runs ``execute_test --cleanup-only`` in the run's folder, whose configuration is still there."""

    def __init__(self, sandbox: Sandbox, commands: Commands, api: AttemptApi, stop_request: StopRequest) -> None:
        self._sandbox = sandbox
        self._commands = commands
        self._api = api
        self._stop_request = stop_request

    def after(self, outcome: AttemptOutcome, tempest_home: Path, started: bool) -> None:
        """Clean up after an attempt with this outcome, and after earlier attempts of its run.

        :param started: whether its tests began.
        """
        prefixes = self._prefixes(outcome, started)
        if not prefixes or not self._commands.settings.run.cleanup_seconds:
            return
        over = threading.Event()
        limit = threading.Thread(target=self._limit, args=(over,), name="clean-up limit", daemon=True)
        limit.start()
        try:
            for prefix in prefixes:
                if over.is_set():
                    break
                self._clean(prefix, tempest_home, outcome, over)
        except RefstackError as error:
            LOG.warning("clean-up: %s", error)
        finally:
            over.set()

    def _prefixes(self, outcome: AttemptOutcome, started: bool) -> list[str]:
        payload = self._commands.payload
        own = [payload.prefix] if started and outcome.kind in INTERRUPTED else []
        if outcome.kind is OutcomeKind.RELEASED or not started:
            return own
        return own + earlier_prefixes(payload)

    def _clean(self, prefix: str, tempest_home: Path, outcome: AttemptOutcome, over: threading.Event) -> None:
        LOG.info("removing resources named %s… from the cloud", prefix)
        listener = CleanupListener()
        end = self._sandbox.run(self._commands.clean_up(tempest_home, prefix), listener, after_stop=True)
        messages = [*listener.messages, _last_message(listener, end)]
        if over.is_set():
            messages.append(f"stopped before it was complete; the cloud may still hold resources named {prefix}…")
        for message in messages:
            LOG.info("clean-up: %s", message)
        if outcome.kind in REPORTABLE:
            self._report(messages)

    def _report(self, messages: list[str]) -> None:
        for message in messages:
            try:
                self._api.report(Report(message=f"clean-up: {message}"), PATIENCE)
            except RefusedError:
                return
            except ServerError as error:
                LOG.warning("report not sent: %s", error)
                return

    def _limit(self, over: threading.Event) -> None:
        """Stop the clean-up at its time limit; much sooner if the worker is being stopped."""
        settings = self._commands.settings.run
        waited = 0.0
        while waited < settings.cleanup_seconds and not over.wait(POLL_SECONDS):
            waited += POLL_SECONDS
            if self._stop_request.shutting_down.is_set():
                over.wait(min(settings.handover_seconds, settings.cleanup_seconds - waited))
                break
        if not over.is_set():
            over.set()
            self._sandbox.stop()


def _last_message(listener: CleanupListener, end: ProcessExit) -> str:
    return (listener.last.message if listener.last else "") or f"ended with status {end.status}"
