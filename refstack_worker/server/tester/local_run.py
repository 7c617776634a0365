"""The method ``local``: ``execute_test`` in a process of this machine, watched from a thread. For development.

What the run must not show goes to it on stdin (options) and in a file of its own (the proof), never as an argument.
"""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from refstack_worker import execute_test_program, process
from refstack_worker.contract import attempt_token as proofs
from refstack_worker.contract.execute_test import (
    SUBUNIT_FILE,
    SUMMARY_FILE,
    CommandLine,
    EndEvent,
    Event,
    ExitCode,
    MessageEvent,
    Reason,
    StateEvent,
    read_event_line,
    says_posted,
)
from refstack_worker.contract.heartbeat import HeartbeatReply
from refstack_worker.contract.payload import resource_prefix
from refstack_worker.contract.progress import Progress
from refstack_worker.contract.states import RunState
from refstack_worker.contract.status_report import Report
from refstack_worker.errors import ConfigError, RefstackError
from refstack_worker.server.domain.attempts import Proof, Submission
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance

LOG = logging.getLogger(__name__)

NAME = "local"
"""What stands where a node's name would."""
GRACE = 10.0
"""Seconds between TERM and KILL."""
STOP_MARGIN = 1.0
"""Seconds that ``execute_test`` has after Tempest's end before it is killed itself."""


@dataclass(frozen=True)
class LocalRun:
    """One run of this machine."""

    ledger: Ledger
    submission: Submission
    claim_id: str = field(repr=False)

    @property
    def folder(self) -> Path:
        """Where its files are while it runs."""
        return self.ledger.settings.data / "runs" / f"{self.submission.key.test_id}-{self.submission.key.attempt}"

    @property
    def proof(self) -> Proof:
        """What shows the ledger that the run is this process's."""
        key = self.submission.key
        return Proof(key.test_id, self.submission.secret, key.attempt, proofs.mark(self.claim_id))

    def start(self) -> threading.Thread:
        """Start it; the thread ends when the run has.

        :raises ConfigError: there is no Tempest or no ``execute_test`` on this machine; the run has failed.
        """
        try:
            command = self._command()
        except ConfigError as error:
            self._say(Report(RunState.FAILED, str(error), error.reason))
            raise
        thread = threading.Thread(target=self._run, args=(command,), name=f"run {self.submission.key}", daemon=True)
        thread.start()
        return thread

    def _run(self, command: list[str]) -> None:
        try:
            self.folder.mkdir(parents=True, mode=0o700)
            token = self.folder / "token"
            token.touch(0o600)
            token.write_text(proofs.join(self.submission.secret, self.claim_id))
            self._watch(command)
        except (RefstackError, OSError) as error:
            LOG.error("run %s: %s", self.submission.key, error)
            self._say(Report(RunState.FAILED, str(error), getattr(error, "reason", "error")))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _watch(self, command: list[str]) -> None:
        with (self.folder / "stderr").open("wb") as log:
            child = process.start(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        heartbeats = _Heartbeats(self, child)
        heartbeats.start()
        last: EndEvent | None = None
        try:
            assert child.stdin is not None and child.stdout is not None  # noqa: S101 - for the type checker
            child.stdin.write(json.dumps(self.submission.conf_json).encode("utf-8"))
            child.stdin.close()
            for line in child.stdout:
                last = self._take(read_event_line(line), heartbeats) or last
        finally:
            code = child.wait()
            heartbeats.end()
            process.kill_group(child.pid)
        self._conclude(code, last, heartbeats.is_cancelled)

    def _take(self, event: Event | None, heartbeats: _Heartbeats) -> EndEvent | None:
        """Handle an event of the run; return it if it is the last one."""
        if isinstance(event, Progress):
            heartbeats.progress = event
        elif isinstance(event, StateEvent):
            self._say(Report(RunState(event.state), event.message, worker=NAME))
        elif isinstance(event, MessageEvent):
            self._say(Report(message=event.text, worker=NAME))
        return event if isinstance(event, EndEvent) else None

    def _conclude(self, code: int, last: EndEvent | None, is_cancelled: bool) -> None:
        if code == ExitCode.NOT_POSTED and (self._workdir / SUBUNIT_FILE).is_file():
            summary = json.loads((self._workdir / SUMMARY_FILE).read_text("utf-8"))
            acceptance.accept(self.ledger, self.proof, Upload.of(self._workdir / SUBUNIT_FILE, summary))
        elif is_cancelled:
            self._say(Report(RunState.CANCELLED, "all its processes are gone"))
        elif not says_posted(code, last):
            message = (last.message if last else "") or f"execute_test ended with status {code}"
            self._say(Report(RunState.FAILED, message, (last.reason if last else "") or Reason.TEMPEST.value))

    def _say(self, report: Report) -> None:
        try:
            self.ledger.attempts.report(self.proof, report)
        except RefstackError as error:
            LOG.warning("run %s: %s", self.submission.key, error)

    @property
    def _workdir(self) -> Path:
        return self.folder / "work"

    def _command(self) -> list[str]:
        settings = self.ledger.settings
        home = settings.tempest.home
        if home is None:
            raise ConfigError("TEMPEST_HOME is not set; the method 'local' needs a virtualenv or checkout with Tempest")
        key, spec = self.submission.key, self.submission.spec
        return CommandLine(
            program=execute_test_program.command(),
            callback=settings.web.address,
            test_id=key.test_id,
            attempt=key.attempt,
            token_file=str(self.folder / "token"),
            conf_json="-",
            tempest_home=str(home),
            concurrency=spec.concurrency,
            timeout=spec.timeout,
            resource_prefix=resource_prefix(settings.web.address, key.test_id, key.attempt),
            stop_grace=GRACE - STOP_MARGIN,
            workdir=str(self._workdir),
        ).words()


class _Heartbeats(threading.Thread):
    """Keeps the claim alive, and ends the run's processes when the ledger says so."""

    def __init__(self, run: LocalRun, child: subprocess.Popen[bytes]) -> None:
        super().__init__(name=f"heartbeat {run.submission.key}", daemon=True)
        self._local, self._child = run, child
        self._over = threading.Event()
        self.progress = Progress()
        self.is_cancelled = False

    def run(self) -> None:
        """Send heartbeats until the run is over."""
        while not self._over.wait(self._local.ledger.settings.rules.heartbeat_seconds):
            try:
                answer = self._local.ledger.attempts.heartbeat(self._local.proof, self._local.claim_id, self.progress)
            except RefstackError as error:
                LOG.warning("run %s: %s", self._local.submission.key, error)
                continue
            if answer.reply is not HeartbeatReply.GO:
                self.is_cancelled = answer.reply is HeartbeatReply.CANCEL
                # its result is accepted; it only has to read the answer
                if answer.reason == RunState.FINISHED.value and self._over.wait(GRACE):
                    return
                process.kill_group(self._child.pid, signal.SIGTERM)
                if not self._over.wait(GRACE):
                    process.kill_group(self._child.pid)
                return

    def end(self) -> None:
        """Stop, and wait for the thread."""
        self._over.set()
        self.join()
