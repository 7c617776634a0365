"""The verdict: what a result says about a program of a guideline, capability by capability.

A required test is the one that the guideline names, or an alias of it: what ran under one of these names decides, and
one name that passed is enough, as at RefStack. Where none of them ran, their class or module answers if it could not
be set up. An idempotent id decides last; the verdict then says so, because RefStack's own page knows names alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refstack_worker.contract import test_choice
from refstack_worker.contract.cloud_needs import quota_message
from refstack_worker.contract.outcomes import (
    FAILED,
    PASSED,
    WORST_FIRST,
    class_of,
    group_of,
    groups_above,
    is_set_up,
    worse,
)
from refstack_worker.server.domain.combined import History, is_flaky
from refstack_worker.server.domain.guidelines import (
    ADVISORY,
    KINDS,
    REQUIRED,
    Capability,
    Guideline,
    GuidelineTest,
    StoredGuideline,
)
from refstack_worker.server.domain.results import TestResult

ALWAYS = (REQUIRED, ADVISORY)
"""Kinds that a verdict's JSON has even when the program lists none, as it always did."""
MISSING = "missing"
"""Outcome of a test that did not run."""
BY_NAME = "name"
BY_ID = "id"
BY_GROUP = "class"
"""The test's class or module could not be set up, and answers for it."""
MAX_CARRIERS = 16
"""Names with one id of which the most alike is looked for; Tempest repeats an id for IPv6 and for boot from volume."""
MAX_COMPARED = 5000
"""Pairs of names that are compared for one verdict; beyond it the first name counts."""


@dataclass(frozen=True)
class JudgedTest:
    """What a result says about one test of a guideline."""

    test: GuidelineTest
    status: str
    """``passed``, ``failed``, ``skipped`` or ``missing``."""
    ran_as: str = ""
    """The name under which it ran."""
    decided_by: str = ""
    """``name``, ``id`` or ``class``; empty when it did not run."""
    times: int = 1
    """How often it ran; more than once makes it suspicious."""
    reason: str = ""
    """Why it did not pass, in short."""
    history: History = ()
    """Its outcomes in each run, where several are judged together."""

    @property
    def is_flaky(self) -> bool:
        """Whether it both failed and passed."""
        return is_flaky(self.history)

    def to_json(self) -> dict[str, Any]:
        """Return the test as the API and the exports show it."""
        shown: dict[str, Any] = {"name": self.test.name, "uuid": self.test.uuid, "status": self.status}
        if self.ran_as and self.ran_as != self.test.name:
            shown["ran_as"] = self.ran_as
        if self.decided_by not in ("", BY_NAME):
            shown["decided_by"] = self.decided_by
        if self.times > 1:
            shown["times"] = self.times
        if self.reason and self.status != PASSED:
            shown["reason"] = self.reason
        if len(self.history) > 1:
            shown["outcomes"] = [{"run": test_id, "status": status} for test_id, status in self.history]
            shown["flaky"] = self.is_flaky
        return shown


@dataclass(frozen=True)
class CapabilityVerdict:
    """What a result says about one capability."""

    capability: Capability
    tests: tuple[JudgedTest, ...]
    """Those that count."""
    flagged: tuple[JudgedTest, ...] = ()
    """Those that do not count."""

    @property
    def passed(self) -> bool:
        """Whether all tests that count have passed."""
        return all(test.status == PASSED for test in self.tests)

    @property
    def lacking(self) -> tuple[JudgedTest, ...]:
        """Tests that count and have not passed."""
        return tuple(test for test in self.tests if test.status != PASSED)

    def to_json(self) -> dict[str, Any]:
        """Return the capability as ``/v1`` answers it."""
        return {
            "name": self.capability.name,
            "description": self.capability.description,
            "passed": self.passed,
            "tests": len(self.tests),
            "flagged": len(self.flagged),
            "lacking": [test.to_json() for test in self.lacking],
        }


@dataclass(frozen=True)
class Verdict:
    """What a result says about one program."""

    guideline: str
    program: str
    target: str
    """RefStack's word for the program."""
    capabilities: Mapping[str, tuple[CapabilityVerdict, ...]] = field(default_factory=dict)
    """Kind to capabilities; each capability has one kind."""
    origin: str = ""
    """Of the guideline: ``official`` or ``own``."""
    digest: str = ""
    """Of the guideline's file."""
    combined: tuple[int, ...] = ()
    """Ids of the runs that it is over, the oldest first; empty: over one run."""
    not_combined: str = ""
    """Why it is over this run alone although the run continues another."""

    @property
    def required(self) -> tuple[CapabilityVerdict, ...]:
        return self.capabilities.get(REQUIRED, ())

    @property
    def passed(self) -> bool:
        """Whether every required test that counts has passed; a program without required tests is never passed."""
        return self.count()[1] > 0 and all(one.passed for one in self.required)

    def tests(self, kind: str = REQUIRED) -> list[JudgedTest]:
        """Return the tests of a kind that count, each once: where capabilities differ on a test, as in the worse."""
        found: dict[str, JudgedTest] = {}
        for test in (test for one in self.capabilities.get(kind, ()) for test in one.tests):
            known = found.get(test.test.name)
            if known is None or known.status == PASSED:
                found[test.test.name] = test
        return list(found.values())

    def count(self, kind: str = REQUIRED) -> tuple[int, int]:
        """Return how many tests of a kind passed, and how many there are."""
        tests = self.tests(kind)
        return sum(test.status == PASSED for test in tests), len(tests)

    def refstack_count(self, kind: str = REQUIRED) -> tuple[int, int]:
        """Return the same as RefStack's page counts: by name alone, a test once for each capability that lists it."""
        tests = [test for one in self.capabilities.get(kind, ()) for test in one.tests]
        return sum(test.status == PASSED and test.decided_by == BY_NAME for test in tests), len(tests)

    def flaky(self, kind: str = REQUIRED) -> int:
        """Return how many tests of a kind failed in one run and passed in another."""
        return sum(test.is_flaky for test in self.tests(kind))

    def by_id(self, kind: str = REQUIRED) -> int:
        """Return how many tests of a kind passed under a name that the guideline does not know."""
        return sum(test.status == PASSED and test.decided_by == BY_ID for test in self.tests(kind))

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as ``/v1`` answers it."""
        return {
            "guideline": self.guideline,
            "origin": self.origin,
            "digest": self.digest,
            "program": self.program,
            "target": self.target,
            "passed": self.passed,
            "combined": list(self.combined),
            "not_combined": self.not_combined,
            **{kind: self._kind_json(kind) for kind in KINDS if kind in ALWAYS or self.capabilities.get(kind)},
        }

    def _kind_json(self, kind: str) -> dict[str, Any]:
        passed, total = self.count(kind)
        at_refstack, listed = self.refstack_count(kind)
        return {
            "passed": passed,
            "total": total,
            "by_id": self.by_id(kind),
            "refstack": {"passed": at_refstack, "total": listed},
            "capabilities": [one.to_json() for one in self.capabilities.get(kind, ())],
        }


def judge(
    guideline: Guideline,
    program: str,
    ran: Iterable[TestResult],
    left_out: Mapping[str, str] | None = None,
    history: Mapping[str, History] | None = None,
) -> Verdict:
    """Return what a result says about a program.

    :param left_out: tests that were excluded from the run, name to reason.
    :param history: outcomes of the tests in each of several runs; see :func:`combine`.
    :raises NotFoundError: the guideline has no such program.
    """
    asked = guideline.program(program)
    seen = _Seen(ran, left_out or {}, history or {})
    known: set[str] = set()
    capabilities = {}
    for kind in KINDS:
        listed = [one for one in asked.capabilities.get(kind, ()) if one.name not in known]
        known |= {one.name for one in listed}
        capabilities[kind] = tuple(_judge(one, seen) for one in listed)
    return Verdict(guideline.id, asked.name, asked.target, capabilities)


def by_guideline(verdict: Verdict, stored: StoredGuideline) -> Verdict:
    """Return the verdict with the name, origin and digest of the guideline as it is stored."""
    return replace(verdict, guideline=stored.name, origin=stored.origin, digest=stored.digest)


@dataclass(frozen=True)
class _Ran:
    """What ran under one name, or with one id."""

    name: str
    status: str
    times: int = 1
    reason: str = ""

    def joined(self, other: _Ran) -> _Ran:
        """Return both as one: the worse outcome, and how often it ran in all."""
        of_both = self if worse(self.status, other.status) == self.status else other
        return _Ran(of_both.name, of_both.status, self.times + other.times, of_both.reason)


class _Seen:
    """What ran, by name and by id, and the classes that answer for tests that did not."""

    def __init__(self, ran: Iterable[TestResult], left_out: Mapping[str, str], history: Mapping[str, History]) -> None:
        self._by_name: dict[str, _Ran] = {}
        self._worst: dict[str, _Ran] = {}
        """Name without a scenario's parameters to the worst of its scenarios."""
        self._by_id: dict[str, dict[str, None]] = {}
        """Id to such names."""
        self._groups: dict[str, tuple[int, _Ran]] = {}
        """Class or module to its place among them and how it ended."""
        self._compared = 0
        self._left_out = left_out
        self._history = history
        for test in ran:
            self._add(test)

    def judged(self, test: GuidelineTest) -> JudgedTest:
        """Return what is known of a test."""
        named = [self._by_name[name] for name in test.names if name in self._by_name]
        if named:
            return self._judged(test, _best(named), BY_NAME)
        # a test that was left out did not run, whatever became of its class and its twins
        why = next((self._left_out[name] for name in (*test.names, test.uuid) if name in self._left_out), "")
        if why:
            return JudgedTest(test, MISSING, reason=f"left out: {why}")
        carriers = self._by_id.get(test.uuid, {})
        scenarios = [name for name in test.names if name in carriers]
        # a twin with the same id does not stand for a test whose own class could not be set up
        if not scenarios and (group := self._answering(test)):
            return self._judged(test, group, BY_GROUP)
        if carriers:
            return self._judged(test, self._closest(test, scenarios or carriers), BY_ID)
        return JudgedTest(test, MISSING)

    def _answering(self, test: GuidelineTest) -> _Ran | None:
        """Return the class or module of one of its names that could not be set up."""
        above = (group for name in test.names for group in groups_above(class_of(name))) if self._groups else ()
        answering = [self._groups[group] for group in above if group in self._groups]
        return min(answering, key=lambda one: one[0])[1] if answering else None

    def _closest(self, test: GuidelineTest, carriers: Iterable[str]) -> _Ran:
        # of those that are equally like it, one that did not pass counts
        candidates = sorted(carriers, key=lambda name: (WORST_FIRST.index(self._worst[name].status), name))
        self._compared += len(candidates) * len(test.names)
        if len(candidates) == 1 or self._compared > MAX_COMPARED:
            return self._worst[candidates[0]]
        return self._worst[test_choice.closest(test.names, candidates)]

    def _judged(self, test: GuidelineTest, ran: _Ran, decided_by: str) -> JudgedTest:
        history = self._history.get(ran.name, ())
        return JudgedTest(test, ran.status, ran.name, decided_by, ran.times, ran.reason, history)

    def _add(self, test: TestResult) -> None:
        found = _Ran(test.name, test.status, test.times, _short(test.reason))
        if (group := group_of(test.name)) and test.status != PASSED:
            if is_set_up(test.name):
                self._groups[group] = (self._groups.get(group, (len(self._groups),))[0], found)
            return
        known = self._by_name.get(test.name)
        joined = self._by_name[test.name] = known.joined(found) if known else found
        plain = test.name.partition("(")[0] or test.name
        worst = self._worst.get(plain, joined)
        if worst.name == test.name or worse(worst.status, joined.status) != worst.status:
            worst = joined
        self._worst[plain] = worst
        if test.uuid:
            carriers = self._by_id.setdefault(test.uuid, {})
            if len(carriers) < MAX_CARRIERS:
                carriers[plain] = None


def _best(ran: list[_Ran]) -> _Ran:
    """One name that passed is enough; else the worst counts."""
    passed = [one for one in ran if one.status == PASSED]
    return passed[0] if passed else next((one for one in ran if one.status == FAILED), ran[0])


def _judge(capability: Capability, seen: _Seen) -> CapabilityVerdict:
    judged = [seen.judged(test) for test in capability.tests]
    return CapabilityVerdict(
        capability,
        tuple(test for test in judged if not test.test.flagged),
        tuple(test for test in judged if test.test.flagged),
    )


def _short(reason: str) -> str:
    """What the cloud's quota says, or the last line that says something: of a traceback that is the error."""
    if exceeded := quota_message(reason):
        return f"the cloud's quota: {exceeded}"[:300]
    lines: Iterator[str] = (line.strip() for line in reversed(reason.splitlines()))
    return next((line for line in lines if line), "")[:300]
