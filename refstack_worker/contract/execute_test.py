"""What ``execute_test`` and the programs that start it agree on: exit codes, events and the command line.

Described in ``docs/protocol.md``. Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Union

from refstack_worker.contract.progress import Progress

SUBUNIT_FILE = "subunit"
SUMMARY_FILE = "summary.json"
LOG_FILE = "execute_test.log"
TEMPEST_LOG_FILE = "tempest.log"
RESULT_FILES = (SUBUNIT_FILE, SUMMARY_FILE, LOG_FILE, TEMPEST_LOG_FILE)
"""Files in the work folder that make up a result."""

BY_TIME_LIMIT = "stopped by the time limit"
"""Start of the message of a run that its time limit ended; any other end with :attr:`ExitCode.STOPPED` is a signal."""

NOTHING_ON_CLOUD = "no test could run on this cloud"
NOTHING_WITH_ACCOUNTS = "no test can run with these accounts"
"""Start of the messages of a run none of whose tests can run; beside tests that can, they would count as skipped."""

RUNNING = "running"
POSTING = "posting"
STATES = (RUNNING, POSTING)
"""Run states that ``execute_test`` reports."""


KEYSTONE = "keystone"
TEMPESTCONF = "tempestconf"
DISCOVERERS = (KEYSTONE, TEMPESTCONF)
"""What finds the options of ``tempest.conf`` that are not set: this software itself, or python-tempestconf."""
TEMPESTCONF_PACKAGE = "python-tempestconf"
"""Distribution that :data:`TEMPESTCONF` requires beside Tempest."""


def is_nothing_to_run(message: str) -> bool:
    """Return whether a run ended because none of its tests can run. :param message: what it ended with."""
    return message.startswith((NOTHING_ON_CLOUD, NOTHING_WITH_ACCOUNTS))


class ExitCode(enum.IntEnum):
    PASSED = 0
    TESTS_FAILED = 1
    BAD_INPUT = 2
    """Arguments, configuration or test cases are wrong."""
    CLOUD = 3
    """The cloud cannot be reached, rejects the credentials, or lacks what every test needs."""
    TEMPEST = 4
    """Tempest, or this machine, broke."""
    NOT_POSTED = 5
    """The result is still in the work folder."""
    SERVER = 6
    """The RefStack server cannot be reached, or refuses before the tests."""
    STOPPED = 7
    """A signal or the time limit ended the run."""


class Reason(str, enum.Enum):
    """Fixed word for how a run ended; more precise than the exit code."""

    PASSED = "passed"
    TESTS_FAILED = "tests-failed"
    BAD_INPUT = "bad-input"
    CLOUD = "cloud"
    TEMPEST = "tempest"
    MACHINE = "machine"
    """This machine failed, as with a full disk."""
    NOT_POSTED = "not-posted"
    REFUSED = "refused"
    """The server will never accept this result."""
    SERVER = "server"
    STOPPED = "stopped"


REASONS: Mapping[ExitCode, tuple[Reason, ...]] = {
    ExitCode.PASSED: (Reason.PASSED,),
    ExitCode.TESTS_FAILED: (Reason.TESTS_FAILED,),
    ExitCode.BAD_INPUT: (Reason.BAD_INPUT,),
    ExitCode.CLOUD: (Reason.CLOUD,),
    ExitCode.TEMPEST: (Reason.TEMPEST, Reason.MACHINE),
    ExitCode.NOT_POSTED: (Reason.NOT_POSTED, Reason.REFUSED),
    ExitCode.SERVER: (Reason.SERVER,),
    ExitCode.STOPPED: (Reason.STOPPED,),
}
"""The reasons that each exit code may have."""


@dataclass(frozen=True)
class StateEvent:
    """The run reached a state of :data:`STATES`."""

    state: str
    message: str = ""


@dataclass(frozen=True)
class MessageEvent:
    """Something that a vendor or an operator should know."""

    text: str = ""


@dataclass(frozen=True)
class EndEvent:
    """The last event: how the run ended."""

    exit_code: int = -1
    """An :class:`ExitCode`; -1 if it was not given."""
    reason: str = ""
    message: str = ""


def says_posted(status: int | None, last: EndEvent | None) -> bool:
    """Return whether a program says, by its exit status and its last event, that the server has the result.

    The status alone does not: that of tests that failed is also the one of a Python that breaks off.
    """
    return last is not None and status in (ExitCode.PASSED, ExitCode.TESTS_FAILED)


Event = Union[StateEvent, Progress, MessageEvent, EndEvent]

_EVENT_NAMES = {StateEvent: "state", Progress: "progress", MessageEvent: "message", EndEvent: "end"}


def event_line(event: Event, mask: Callable[[str], str] = str) -> str:
    """Return an event as the line of JSON that goes to standard output.

    :param mask: applied to each text in it.
    """
    values = {name: mask(value) if isinstance(value, str) else value for name, value in asdict(event).items()}
    return json.dumps({"event": _EVENT_NAMES[type(event)], **values})


def read_event_line(line: str | bytes) -> Event | None:
    """Return the event in a line of standard output; None for any other line."""
    try:
        return read_event(json.loads(line))
    except (ValueError, RecursionError):
        return None


def read_event(value: object) -> Event | None:
    """Return the event in a JSON value; None if it is not one. Never raises.

    A text that is missing, null or not a text is empty. Progress with a number that cannot be is not an event, nor is a
    state that ``execute_test`` does not report.
    """
    if not isinstance(value, Mapping):
        return None
    kind = value.get("event")
    if kind == "progress":
        return _read_progress(value)
    message = _text_field(value, "message")
    if kind == "state":
        state = _text_field(value, "state")
        return StateEvent(state, message) if state in STATES else None
    if kind == "message":
        return MessageEvent(_text_field(value, "text"))
    if kind == "end":
        code = value.get("exit_code")
        return EndEvent(code if isinstance(code, int) else -1, _text_field(value, "reason"), message)
    return None


def _read_progress(value: Mapping[str, Any]) -> Progress | None:
    try:
        return Progress.from_json({**value, "test": _text_field(value, "test")})
    except ValueError:
        return None


def _text_field(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    return text if isinstance(text, str) else ""


@dataclass(frozen=True)
class CommandLine:
    """The arguments of one call of ``execute_test`` that reports its progress as JSON.

    Secrets travel in files, never in arguments. Paths may hold placeholders of the program that starts it.
    """

    callback: str
    test_id: int
    attempt: int = 0
    token_file: str = ""
    ca_file: str = ""
    conf_json: str = ""
    """``@FILE``, or ``-`` for standard input."""
    tempest_home: str = ""
    testcases: str = ""
    """``@FILE``; empty: the server is asked."""
    known_tests: str = ""
    """File with the names of all the tests of this Tempest, so that it need not be asked."""
    durations: str = ""
    """File with the seconds that tests took before."""
    concurrency: int = 0
    timeout: int = 0
    resource_prefix: str = ""
    discover: str = ""
    """One of :data:`DISCOVERERS`; empty: the first."""
    patience: int | None = None
    """Seconds to retry a server that fails."""
    stop_grace: float | None = None
    """Seconds between TERM and KILL for Tempest."""
    workdir: str = ""
    post_only: str = ""
    keep: bool = False
    cleanup_only: bool = False
    program: tuple[str, ...] = field(default=("execute_test",))

    def words(self) -> list[str]:
        """Return the command line, ``program`` first."""
        return [*self.program, "--callback", self.callback, str(self.test_id), *self._options()]

    def _options(self) -> Iterator[str]:
        for name in ("attempt", "token_file", "ca_file", "conf_json", "tempest_home", "testcases", "known_tests",
                     "durations", "concurrency", "timeout", "resource_prefix", "discover", "patience", "stop_grace",
                     "workdir",
                     "post_only"):  # fmt: skip
            value = getattr(self, name)
            if value or (value is not None and name in ("patience", "stop_grace")):
                yield from (option(name), f"{value:g}" if isinstance(value, float) else str(value))
        for name in ("keep", "cleanup_only"):
            if getattr(self, name):
                yield option(name)
        yield from ("--progress", "json")


def option(name: str) -> str:
    """Return the option that sets a field of :class:`CommandLine`, as the specification spells it."""
    return "--" + (name if name in ("conf_json", "tempest_home") else name.replace("_", "-"))
