from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.config.worker import RunSettings, WorkerSettings
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import RefusedError
from refstack_worker.worker.attempt import cloud_cleanup
from refstack_worker.worker.attempt.cloud_cleanup import CloudCleanup
from refstack_worker.worker.attempt.outcome import AttemptOutcome, OutcomeKind
from refstack_worker.worker.attempt.stop_request import StopRequest
from refstack_worker.worker.sandbox.commands import Commands
from refstack_worker.worker.sandbox.runner import Command, ProcessExit, ProcessListener
from refstack_worker.worker.server_api.attempts import ClaimedAttempt


class RecordingSandbox:
    """Records the prefixes of the clean-ups; one may last until it is stopped."""

    def __init__(self, endless: bool = False) -> None:
        self.prefixes: list[str] = []
        self.stopped = threading.Event()
        self._endless = endless

    def run(self, command: Command, listener: ProcessListener, after_stop: bool = False) -> ProcessExit:
        assert after_stop and "--cleanup-only" in command.argv
        self.prefixes.append(command.argv[command.argv.index("--resource-prefix") + 1])
        listener.event({"event": "message", "text": "3 servers removed"})
        if self._endless:
            assert self.stopped.wait(10)
            return ProcessExit(None, "stopped")
        listener.event({"event": "end", "message": "nothing left"})
        return ProcessExit(0)

    def stop(self) -> None:
        self.stopped.set()


class RecordingApi:
    """Records the reports; or refuses them."""

    def __init__(self, refuses: bool = False) -> None:
        self.messages: list[str] = []
        self._refuses = refuses

    def report(self, report: Report, patience: float) -> None:
        self.messages.append(report.message)
        if self._refuses:
            raise RefusedError("over")


class Scene:
    """A clean-up with everything around it."""

    def __init__(self, settings: WorkerSettings, claimed: ClaimedAttempt, **options: Any) -> None:
        self.sandbox = RecordingSandbox(options.get("endless", False))
        self.api = RecordingApi(options.get("refuses", False))
        self.stop_request = StopRequest()
        commands = Commands(("execute_test",), settings, claimed.payload, claimed.token)
        self.cleanup = CloudCleanup(self.sandbox, commands, self.api, self.stop_request)  # type: ignore[arg-type]

    def after(self, kind: OutcomeKind, started: bool = True) -> None:
        self.cleanup.after(AttemptOutcome(kind), Path("/env"), started)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_cleanup, "POLL_SECONDS", 0.01)


@pytest.mark.parametrize(
    ("kind", "started", "attempts"),
    [
        (OutcomeKind.CANCELLED, True, [2, 1]),
        (OutcomeKind.FAILED, True, [2, 1]),
        (OutcomeKind.POSTED, True, [1]),
        (OutcomeKind.RELEASED, True, [2]),
        (OutcomeKind.CANCELLED, False, []),
        (OutcomeKind.FAILED, False, []),
    ],
)
def test_what_is_cleaned_up(
    settings: WorkerSettings, claimed: ClaimedAttempt, kind: OutcomeKind, started: bool, attempts: list[int]
) -> None:
    scene = Scene(settings, claimed)
    scene.after(kind, started)
    assert scene.sandbox.prefixes == [claimed.payload.prefix_of(number) for number in attempts]


def test_the_vendor_learns_what_was_removed(settings: WorkerSettings, claimed: ClaimedAttempt) -> None:
    scene = Scene(settings, replace(claimed, payload=replace(claimed.payload, attempt=1)))
    scene.after(OutcomeKind.CANCELLED)
    assert scene.api.messages == ["clean-up: 3 servers removed", "clean-up: nothing left"]


def test_a_released_attempt_is_not_reported_on(settings: WorkerSettings, claimed: ClaimedAttempt) -> None:
    scene = Scene(settings, claimed)
    scene.after(OutcomeKind.RELEASED)
    assert scene.sandbox.prefixes and scene.api.messages == []


def test_nothing_is_done_where_it_is_turned_off(settings: WorkerSettings, claimed: ClaimedAttempt) -> None:
    scene = Scene(replace(settings, run=RunSettings(cleanup_seconds=0.0)), claimed)
    scene.after(OutcomeKind.CANCELLED)
    assert scene.sandbox.prefixes == []


def test_a_refused_report_ends_the_reports_not_the_clean_up(settings: WorkerSettings, claimed: ClaimedAttempt) -> None:
    scene = Scene(settings, claimed, refuses=True)
    scene.after(OutcomeKind.CANCELLED)
    assert len(scene.sandbox.prefixes) == len(scene.api.messages) == 2


def test_an_endless_clean_up_is_stopped_and_says_so(settings: WorkerSettings, claimed: ClaimedAttempt) -> None:
    scene = Scene(replace(settings, run=RunSettings(cleanup_seconds=0.05)), claimed, endless=True)
    scene.after(OutcomeKind.CANCELLED)
    assert len(scene.sandbox.prefixes) == 1, "no time is left for earlier attempts"
    assert "may still hold resources" in scene.api.messages[-1]


def test_a_worker_that_is_being_stopped_does_not_wait_long(settings: WorkerSettings, claimed: ClaimedAttempt) -> None:
    hurried = replace(settings, run=RunSettings(cleanup_seconds=3600.0, handover_seconds=0.0))
    scene = Scene(hurried, claimed, endless=True)
    scene.stop_request.shutting_down.set()
    scene.after(OutcomeKind.RELEASED)
    assert scene.sandbox.stopped.is_set()
