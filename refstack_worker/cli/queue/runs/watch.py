"""Live progress of a run: a bar on a terminal, lines elsewhere, and a verdict as exit status."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

from refstack_worker.cli.queue.names import Asks
from refstack_worker.contract.states import ENDS, RunState
from refstack_worker.errors import RefusedError, RunError, ServerError

PASSED = 0
FAILED_TESTS = 1
CANCELLED = 9
NO_RESULT = RunError.exit_code
POLL_SECONDS = 1.0
LINE_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""
PATIENCE = 300.0
"""Seconds for which a server that does not answer is asked on."""
BAR = 24
MAX_LINES = 2000
"""Lines of the console that are asked for at once."""
MAX_CAUSES = 5
"""Causes of failures that the end names; 'run report' has all."""


class Watcher:
    """Follows one run until it ends."""

    def __init__(self, api: Asks, out: TextIO, lines: bool = False) -> None:
        self._api = api
        self._out = out
        self._is_terminal = out.isatty() and not lines
        self._after = 0
        self._failed = 0
        self._attempt = 0
        self._console_after = -1
        self._bar = ""
        self._next_line = 0.0

    def watch(self, test_id: int) -> int:
        """Show messages and progress until the run ends; return the exit status that tells the verdict.

        :raises ServerError: the server has not answered for :data:`PATIENCE` seconds.
        """
        silent_since = 0.0
        while True:
            try:
                run = self._api.get(f"/v1/runs/{test_id}")
                self._tell_messages(test_id)
                self._tell_failures(run)
                silent_since = 0.0
            except RefusedError:
                raise
            except ServerError as error:
                silent_since = self._wait_for_server(silent_since, error)
                continue
            if RunState(run["state"]) in ENDS:
                self._tell_end(run)
                return exit_code(run)
            self._show(progress_line(run))
            time.sleep(POLL_SECONDS)

    def _tell_end(self, run: Mapping[str, Any]) -> None:
        """Say how the run ended, what that means for its program, and why tests failed."""
        self._line(f"run {run['test_id']}: {verdict(run)}")
        if judged := program_verdict(run):
            self._line(judged)
        if exit_code(run) == FAILED_TESTS:
            for line in cause_lines(self._api.get(f"/v1/runs/{run['test_id']}/report")["causes"][:MAX_CAUSES]):
                self._line(line)

    def _wait_for_server(self, silent_since: float, error: ServerError) -> float:
        now = time.monotonic()
        if silent_since and now - silent_since > PATIENCE:
            raise error
        if not silent_since:
            self._line(f"{error}; trying again")
        time.sleep(POLL_SECONDS)
        return silent_since or now

    def _tell_messages(self, test_id: int) -> None:
        found = self._api.get(f"/v1/runs/{test_id}/messages", {"after": self._after})["messages"]
        for message in found:
            self._after = message["id"]
            self._line(f"{message['time']} {message['message']}")

    def _tell_failures(self, run: Mapping[str, Any]) -> None:
        """Name the tests that failed since the last look; their lines come with the console."""
        failed = run["progress"]["failed"]
        if failed <= self._failed:
            # a next attempt begins again
            self._failed = failed
            return
        for line in self._console(run["test_id"]):
            if line["event"] == "test" and line["status"] == "failed":
                self._failed += 1
                self._line(f"failed: {line['test']} ({line['seconds']:.1f} s)")

    def _console(self, test_id: int) -> Iterator[Mapping[str, Any]]:
        while True:
            query = {"limit": MAX_LINES, **({"after": self._console_after} if self._console_after >= 0 else {})}
            page = self._api.get(f"/v1/runs/{test_id}/console", query)
            if page["attempt"] != self._attempt:
                self._attempt, self._failed, is_next = page["attempt"], 0, self._console_after >= 0
                self._console_after = -1
                if is_next:
                    continue
            yield from page["lines"]
            if not page["lines"]:
                return
            self._console_after = page["next_after"]

    def _show(self, text: str) -> None:
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            shown = text[:width]
            self._out.write(f"\r{shown.ljust(len(self._bar))}")
            self._bar = shown
        elif text != self._bar and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self._bar = text
            self._out.write(f"{text}\n")
        self._out.flush()

    def _line(self, text: str) -> None:
        if self._is_terminal and self._bar:
            self._out.write("\r" + " " * len(self._bar) + "\r")
            self._bar = ""
        self._out.write(f"{text}\n")
        self._out.flush()


def exit_code(run: Mapping[str, Any]) -> int:
    """Return the exit status that tells how an ended run ended."""
    state = RunState(run["state"])
    if state is RunState.FINISHED:
        return FAILED_TESTS if run["counts"]["failed"] else PASSED
    return CANCELLED if state is RunState.CANCELLED else NO_RESULT


def verdict(run: Mapping[str, Any]) -> str:
    """Return a sentence on how a run stands or ended."""
    state = RunState(run["state"])
    counts = run["counts"]
    if state is RunState.FINISHED:
        word = "tests failed" if counts["failed"] else "passed"
        return f"{word}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
    said = ": ".join(part for part in (run["reason"], run["message"]) if part)
    return f"{state.value}{f' ({said})' if said else ''}"


def program_verdict(run: Mapping[str, Any]) -> str:
    """Return what a run means for its program; empty if it has none, or no result."""
    judged = run.get("verdict")
    if not judged:
        return ""
    word = "passed" if judged["passed"] else "not passed"
    return f"{run['program']}: {word}, {judged['count']} of {judged['total']} required tests"


def cause_lines(causes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return causes of failures as lines: the error and how many tests it made fail, then what probably helps."""
    lines = []
    for cause in causes:
        lines.append(f"{cause['tests']} test{'' if cause['tests'] == 1 else 's'}: {cause['line']}")
        lines += [f"  -> {cause['fix']}"] if cause["fix"] else []
    return lines


def progress_line(run: Mapping[str, Any]) -> str:
    """Return how far a run is, in one line."""
    progress = run["progress"]
    head = f"run {run['test_id']} {run['state']}"
    if run["attempt"] > 1:
        head += f" (attempt {run['attempt']})"
    if run["state"] == RunState.QUEUED.value and run.get("place"):
        return f"{head}: {place_words(run['place'])}"
    done, total = progress["done"], progress["total"]
    if run["state"] != RunState.RUNNING.value or not (done or total):
        return f"{head} on {run['worker']}" if run["worker"] else head
    left = f", {_minutes(progress['seconds_left'])} left" if progress["seconds_left"] else ""
    counts = f"{progress['passed']} passed, {progress['failed']} failed, {progress['skipped']} skipped"
    if not total:
        # the total comes a few seconds later
        return f"{head} {done}/?: {counts}"
    filled = BAR * min(done, total) // total
    return f"{head} [{'#' * filled}{'.' * (BAR - filled)}] {done}/{total}: {counts}{left}"


def place_words(place: Mapping[str, Any]) -> str:
    """Return why a run waits, or where it stands in the queue, in a few words."""
    if place.get("pause"):
        reason, since = place["pause"]["reason"], place["pause"]["at"]
        return f"the operator paused the queue{': ' + reason if reason else ''} (since {since})"
    ahead, slots = place["ahead"], place["slots"]
    when = f", starts in about {place['seconds'] / 60:.0f} min" if place["seconds"] is not None else ""
    waits = f"{ahead} run{'' if ahead == 1 else 's'} ahead" if ahead else "next in line"
    return f"{waits}, {slots} slot{'' if slots == 1 else 's'}{when}" if slots else f"{waits}, no available node runs it"


def _minutes(seconds: int) -> str:
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
