"""Runs Tempest and follows its tests."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from refstack_worker.contract.cloud_needs import Gap, impossible, let_tests_fail
from refstack_worker.contract.execute_test import NOTHING_ON_CLOUD, SUBUNIT_FILE
from refstack_worker.contract.outcomes import selected_packet, skipped_packet
from refstack_worker.contract.test_choice import split_entry
from refstack_worker.execute_test.failures import BadInput, CloudFailure
from refstack_worker.execute_test.log import LOG
from refstack_worker.execute_test.programs import started
from refstack_worker.execute_test.progress import EventWriter
from refstack_worker.execute_test.tempest.accounts.plan import AccountPlan
from refstack_worker.execute_test.tempest.console import RunConsole, ServiceAddresses
from refstack_worker.execute_test.tempest.counts import ProgressCounts, TestCounter
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.listing import (
    TestFacts,
    TestListing,
    exact_names,
    list_option,
    list_tests,
    listed_names,
    listing_words,
    run_words,
    write_list,
)
from refstack_worker.execute_test.tempest.result_stream import ResultStream
from refstack_worker.execute_test.tempest.selection import Selection
from refstack_worker.execute_test.tempest.stestr_files import give_durations, write_stestr_conf
from refstack_worker.execute_test.tempest.subunit import Packet
from refstack_worker.execute_test.tempest.waiting_run import WaitingRun, concurrency_words
from refstack_worker.execute_test.tempest.workspace import Workspace

PROGRESS_SECONDS = 0.25
LOG_SECONDS = 0.25
"""Between two looks into Tempest's log while a test runs on; its requests are shown live."""
LIST_AFTER_TEST_SECONDS = 3.0
"""How long after its first test a run is given a total."""
LIST_AFTER_START_SECONDS = 15.0
"""The same, after the start, for a run whose first test is late."""

_DISK_FULL = re.compile(r"\[Errno \d+\] (?:No space left on device|Disk quota exceeded)")
"""As Python's errors say it; the environment of Tempest makes them English."""


@dataclass
class TempestRun:
    """One ``tempest run`` and, beside a long one, the listing of its tests."""

    tempest: Tempest
    workspace: Workspace
    selection: Selection
    concurrency: int
    events: EventWriter
    services: ServiceAddresses = field(default_factory=ServiceAddresses)
    gaps: Sequence[Gap] = ()
    """What the cloud lacks; tests that would only fail because of it are left out, and recorded as skipped."""
    facts: TestFacts = field(default_factory=TestFacts)
    plan: AccountPlan = field(default_factory=AccountPlan)
    """What the accounts are enough for; tests that are left out for want of accounts are recorded likewise."""
    waiting: WaitingRun | None = None
    """A ``tempest run`` that was started before; it is used if it was started for as many processes and such groups."""
    counter: TestCounter = field(default_factory=TestCounter)
    names: list[str] = field(default_factory=list)
    """The listed tests."""
    status: int = 0
    """Exit status of ``tempest run``."""
    list_status: int | None = None
    """Exit status of the listing; None when there was none, or it did not end."""
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=30))
    disk_full: str = ""
    """Tempest's message about a full disk of this machine."""
    _left_out: dict[str, str] = field(default_factory=dict)
    """Test to what the cloud lacks for it."""
    _began: float = field(default_factory=time.monotonic)
    _console: RunConsole = field(init=False)

    def __post_init__(self) -> None:
        self._console = RunConsole(self.events.console, self.workspace.running_log, self.services)

    def carry_out(self, need_login: Callable[[], None] = lambda: None) -> None:
        """Run the tests, and keep their results in the work folder.

        :param need_login: waits until it is known that Tempest can log in, and raises if it cannot. Where the tests are
            known, Tempest is started before, and waits with its first test.
        :raises TempestFailure: Tempest cannot be started.
        """
        env = self.workspace.environment(self.tempest)
        if self._is_listed:
            self.list_status = 0
            self._choose(self.facts.names)
        else:
            need_login()
            if self.plan.listing or self.selection.is_by_name_first or let_tests_fail(self.gaps):
                self._choose_by_name(self.plan.listing or self._list())
            # once for run and listing: written a second time, it would be empty while the other may read it
            write_list(self.workspace, self.selection.expressions)
        with contextlib.ExitStack() as programs:
            if self._is_listed:
                waiting = self._waiting(programs)
                waiting.begin(exact_names(self._chosen), need_login)
                run = waiting.program
            else:
                write_stestr_conf(self.tempest, self.workspace, self.plan.group)
                give_durations(self._folder, self.facts.durations, self.names or self.facts.durations)
                run = programs.enter_context(started(self._command(), self._folder, env))
            kept = programs.enter_context(open(self.workspace.folder / SUBUNIT_FILE, "wb"))
            stream = ResultStream(kept.write, self.take_packet, self.take_text)
            for test, reason in self._left_out.items():
                stream.feed(skipped_packet(test, reason))

            def list_tests() -> subprocess.Popen[bytes]:
                words = listing_words(self.tempest, self.workspace, self._list_option)
                return programs.enter_context(started(words, self.workspace.scratch / "list", env))

            self._follow(run, list_tests, stream, kept)
            self.status = run.wait()
            stream.close()
            for one in self.counter.outcomes.answered():
                # the server counts by the stream alone, and could not know these tests
                kept.write(selected_packet(one.test))
            self._console.close()
        self.events.progress(self.counter.progress(is_over=True))

    def _list(self) -> TestListing:
        return list_tests(self.tempest, self.workspace, self.selection.listing_expressions)

    def _choose_by_name(self, listing: TestListing) -> None:
        """Choose what the test cases mean: by name first, by id where no such name is listed.

        :raises BadInput: they mean none of the tests.
        :raises CloudFailure: the cloud lacks what each of them needs.
        """
        self.list_status = listing.status
        if listing.status == 0 and listing.names:  # else the run itself will say what is wrong
            self._choose(listing.names)

    def _choose(self, listed: Sequence[str]) -> None:
        """Choose from the tests that this Tempest has. :raises BadInput: the test cases mean none of them."""
        self._report_missing(listed)
        self.selection, self.names = self.selection.chosen_of(listed)
        if not self.names:
            raise BadInput(f"the test cases match no test of Tempest {self.tempest.version}")
        self._leave_out()
        self.counter.listed(self.names)

    @property
    def _chosen(self) -> list[str]:
        """The selected tests, without those that are left out."""
        return [name for name in self.names if name not in self._left_out]

    def _leave_out(self) -> None:
        listed = set(self.names)
        for_accounts = {name: reason for name, reason in self.plan.left_out.items() if name in listed}
        self._left_out = {**for_accounts, **impossible(self.gaps, self.names)}
        if not self._left_out:
            return
        kept = self._chosen
        if not kept:
            reasons = "; ".join(dict.fromkeys(self._left_out.values()))
            raise CloudFailure(f"{NOTHING_ON_CLOUD}: {reasons}")
        self.selection = Selection(tuple(f"regex:^{re.escape(split_entry(name)[0])}(?:[\\[(]|$)" for name in kept))

    def _report_missing(self, names: Sequence[str]) -> None:
        missing = self.selection.unmatched(names)
        if missing:
            shown = ", ".join(missing[:10]) + (" …" if len(missing) > 10 else "")
            self.events.message(f"{len(missing)} test cases are not in Tempest {self.tempest.version}: {shown}")

    @property
    def _is_listed(self) -> bool:
        """Whether the run is given its exact tests: neither Tempest nor stestr has to look for them first."""
        return bool(self.facts.names) and self.tempest.load_list

    @property
    def _folder(self) -> Path:
        """The folder in which ``tempest run`` works."""
        return self.workspace.scratch / "run"

    def _waiting(self, programs: contextlib.ExitStack) -> WaitingRun:
        """Return the ``tempest run`` that gets the exact tests; it ends with the context of the programs."""
        waiting = self.waiting
        if waiting is not None:
            programs.enter_context(waiting.ends)
            if (waiting.concurrency, waiting.group) == (self.concurrency, self.plan.group):
                return waiting
            waiting.ends.close()
        return programs.enter_context(
            WaitingRun.begun(self.tempest, self.workspace, self.concurrency, self.facts.durations, self.plan.group)
        )

    def _command(self) -> list[str]:
        words = run_words(self.tempest, self.workspace, "--subunit", self._list_option)
        return [*words, *concurrency_words(self.concurrency)]

    @property
    def _list_option(self) -> str:
        return list_option(self.tempest) if self.selection.expressions else ""

    def _follow(self, run: subprocess.Popen[bytes], list_tests: Callable[[], subprocess.Popen[bytes]],
                stream: ResultStream, kept: IO[bytes]) -> None:  # fmt: skip
        names = bytearray()
        listing: subprocess.Popen[bytes] | None = None
        report = _ProgressReport(self, kept)

        def take_names(data: bytes) -> None:
            names.extend(data)
            if listing and not data:
                self.list_status = listing.wait()
                self._take_listing(bytes(names))

        with selectors.DefaultSelector() as selector:
            _watch(selector, run, stream.feed, self.take_text)
            while selector.get_map() or (listing is None and self._in_doubt()):
                # only the listing has the number of tests; run --subunit does not
                if listing is None and not self.names and (not selector.get_map() or self._is_long()):
                    listing = list_tests()
                    _watch(selector, listing, take_names, _ignore)
                _read_ready(selector)
                self._console.read_log()
                report.write_if_due()
        if listing is None and not self.names:
            self.counter.listed(self.counter.ended)

    def _is_long(self) -> bool:
        """Return whether the run lasts so long that a total is worth its price.

        The listing costs as much processor time as starting Tempest; a short run would take half as long again.
        """
        if self.counter.since is None:
            return time.monotonic() - self._began >= LIST_AFTER_START_SECONDS
        return self.counter.has_groups or time.monotonic() - self.counter.since >= LIST_AFTER_TEST_SECONDS

    def _in_doubt(self) -> bool:
        """Return whether, at the end, the tests that ran do not show which tests were selected."""
        counter = self.counter
        if self.names:
            return False
        return not counter.ended or counter.has_groups or bool(self.selection.unmatched(sorted(counter.ended)))

    def _take_listing(self, output: bytes) -> None:
        self.names = listed_names(output)
        self.counter.listed(self.names)
        if self.list_status == 0 and self.names:
            self._report_missing(self.names)

    def take_packet(self, packet: Packet) -> None:
        """Count a packet of results."""
        self._console.packet(packet)
        if self.counter.packet(packet):
            LOG.debug("%s: %s", packet.test, packet.status)

    def take_text(self, data: bytes) -> None:
        """Log what Tempest writes beside its results; remember the last lines."""
        for line in data.decode("utf-8", "replace").splitlines():
            if line.strip():
                self.last_lines.append(line.strip()[:500])
                if match := _DISK_FULL.search(line):
                    self.disk_full = match.group()
                LOG.debug("tempest: %s", line[:2000])


class _ProgressReport:
    """Reports progress at most every :data:`PROGRESS_SECONDS`, and only when something changed."""

    def __init__(self, run: TempestRun, kept: IO[bytes]) -> None:
        self._run, self._kept = run, kept
        self._when, self._counts = 0.0, ProgressCounts()

    def write_if_due(self) -> None:
        counts = self._run.counter.counts
        if time.monotonic() - self._when >= PROGRESS_SECONDS and counts != self._counts:
            self._when, self._counts = time.monotonic(), replace(counts)
            self._kept.flush()
            self._run.events.progress(self._run.counter.progress())


def _read_ready(selector: selectors.BaseSelector) -> None:
    for key, _ in selector.select(LOG_SECONDS):
        data = os.read(key.fd, 65536)
        if not data:
            selector.unregister(key.fileobj)
        key.data(data)


def _watch(selector: selectors.BaseSelector, process: subprocess.Popen[bytes], take: Callable[[bytes], None],
           take_errors: Callable[[bytes], None]) -> None:  # fmt: skip
    for pipe, to in ((process.stdout, take), (process.stderr, take_errors)):
        if pipe:
            selector.register(pipe, selectors.EVENT_READ, to)


def _ignore(_data: bytes) -> None:
    """The listing writes the same to standard error as the run."""
