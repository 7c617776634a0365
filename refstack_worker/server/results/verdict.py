"""Interop guidelines: which tests a program requires, and what a result says about it.

Files of schema 1.x (``platform`` over ``components``) and 2.0 (``platforms`` over ``components``) are read; what they
say is described in the interop working group's ``doc/source/schema``. A test is known by its idempotent id, its name or
one of its former names (aliases), because Tempest moves tests and keeps their ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from refstack_worker.contract import strict_json
from refstack_worker.errors import NotFoundError, PayloadError, UsageError

MAX_BYTES = 4 * 1024 * 1024
"""Of a guideline file; real ones have about 150 KB."""
REQUIRED = "required"
ADVISORY = "advisory"
KINDS = (REQUIRED, ADVISORY)
_UUID = re.compile(r"(?:id-)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z")
_SCHEMA = re.compile(r"[12]\.[0-9]{1,3}\Z")


@dataclass(frozen=True)
class GuidelineTest:
    """A test that a capability consists of."""

    name: str
    uuid: str = ""
    aliases: tuple[str, ...] = ()
    flagged: bool = False
    """Not counted: the guideline's authors took it out until it is mended."""

    @property
    def entry(self) -> str:
        """How it is asked for in a run's test cases."""
        return f"id-{self.uuid}" if self.uuid else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and its former ones."""
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class Capability:
    """Something that a cloud can do, proved by tests."""

    name: str
    description: str = ""
    tests: tuple[GuidelineTest, ...] = ()


@dataclass(frozen=True)
class Program:
    """What a vendor may be certified for, such as ``OpenStack Powered Storage``."""

    name: str
    description: str = ""
    capabilities: Mapping[str, tuple[Capability, ...]] = field(default_factory=dict)
    """Kind (``required``, ``advisory``) to capabilities, in the order of the file, none twice."""


@dataclass(frozen=True)
class Guideline:
    """A whole file."""

    id: str
    """As ``2020.06``."""
    schema: str
    programs: Mapping[str, Program]

    def program(self, name: str) -> Program:
        """Return a program by its name, whatever its case. :raises NotFoundError: there is none of that name."""
        for known, program in self.programs.items():
            if known.casefold() == name.casefold():
                return program
        raise NotFoundError(f"guideline {self.id} has no program {name!r}; it has: {', '.join(self.programs)}")


@dataclass(frozen=True)
class Outcome:
    """What a result says about one test of a guideline."""

    test: GuidelineTest
    status: str
    """``passed``, ``failed``, ``skipped``, or ``missing``: it did not run."""
    seen_as: str = ""
    """The name under which it ran."""


@dataclass(frozen=True)
class CapabilityVerdict:
    """What a result says about one capability."""

    capability: Capability
    outcomes: tuple[Outcome, ...]
    """Of the tests that count."""
    flagged: int = 0
    """Tests that do not count."""

    @property
    def passed(self) -> bool:
        return all(outcome.status == "passed" for outcome in self.outcomes)

    @property
    def lacking(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status != "passed")


@dataclass(frozen=True)
class Verdict:
    """What a result says about one program."""

    guideline: str
    program: str
    required: tuple[CapabilityVerdict, ...]
    advisory: tuple[CapabilityVerdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every required test that counts has passed; never of a program that requires none."""
        return bool(self.required) and all(one.passed for one in self.required)

    def count(self, kind: str = REQUIRED) -> tuple[int, int]:
        """Return how many different tests of a kind passed, and how many there are."""
        verdicts = self.required if kind == REQUIRED else self.advisory
        found = {outcome.test.entry: outcome.status for one in verdicts for outcome in one.outcomes}
        return sum(status == "passed" for status in found.values()), len(found)

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as ``/v1`` answers it."""
        return {
            "guideline": self.guideline,
            "program": self.program,
            "passed": self.passed,
            REQUIRED: _kind_json(self, REQUIRED),
            ADVISORY: _kind_json(self, ADVISORY),
        }


def parse(text: str, what: str = "guideline") -> Guideline:
    """Return the guideline in a file's text. :raises UsageError: it is none."""
    if len(text) > MAX_BYTES:
        raise UsageError(f"{what}: larger than {MAX_BYTES} bytes")
    try:
        value = strict_json.loads(text, what)
    except PayloadError as error:
        raise UsageError(str(error)) from None
    try:
        return _guideline(value)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{what}: not a guideline of schema 1.x or 2.0: {type(error).__name__}: {error}") from None


def entries(program: Program, kinds: Iterable[str] = (REQUIRED,)) -> tuple[str, ...]:
    """Return the test cases that a program asks for; flagged tests are left out, none stands twice."""
    wanted = (
        test.entry
        for kind in kinds
        for capability in program.capabilities.get(kind, ())
        for test in capability.tests
        if not test.flagged
    )
    return tuple(dict.fromkeys(wanted))


def judge(guideline: Guideline, program: str, ran: Iterable[tuple[str, str, str]]) -> Verdict:
    """Return what a result says about a program.

    :param ran: name (without the bracketed attributes), idempotent id (or empty) and status of each test that ran. A
        test that ran several times (scenarios, retries) passed if all of them passed.
    :raises NotFoundError: there is no such program.
    """
    asked = guideline.program(program)
    seen = _Seen(ran)
    return Verdict(
        guideline.id,
        asked.name,
        *(tuple(_judge(one, seen) for one in asked.capabilities.get(kind, ())) for kind in KINDS),
    )


class _Seen:
    """What ran, by id and by name."""

    _WORST = ("failed", "skipped", "passed")

    def __init__(self, ran: Iterable[tuple[str, str, str]]) -> None:
        self._found: dict[str, tuple[str, str]] = {}
        for name, uuid, status in ran:
            for key in {name, uuid} - {""}:
                self._add(key, name, status)

    def _add(self, key: str, name: str, status: str) -> None:
        known = self._found.get(key)
        if known is None or self._WORST.index(status) < self._WORST.index(known[1]):
            self._found[key] = (name, status)

    def outcome(self, test: GuidelineTest) -> Outcome:
        for key in (test.uuid, *test.names):
            if key and key in self._found:
                name, status = self._found[key]
                return Outcome(test, status, name)
        return Outcome(test, "missing")


def _judge(capability: Capability, seen: _Seen) -> CapabilityVerdict:
    counted = [test for test in capability.tests if not test.flagged]
    return CapabilityVerdict(
        capability, tuple(seen.outcome(test) for test in counted), len(capability.tests) - len(counted)
    )


def _kind_json(verdict: Verdict, kind: str) -> dict[str, Any]:
    passed, total = verdict.count(kind)
    verdicts = verdict.required if kind == REQUIRED else verdict.advisory
    return {"passed": passed, "total": total, "capabilities": [_capability_json(one) for one in verdicts]}


def _capability_json(one: CapabilityVerdict) -> dict[str, Any]:
    return {
        "name": one.capability.name,
        "description": one.capability.description,
        "passed": one.passed,
        "tests": len(one.outcomes),
        "flagged": one.flagged,
        "lacking": [
            {"name": outcome.test.name, "uuid": outcome.test.uuid, "status": outcome.status} for outcome in one.lacking
        ],
    }


def _guideline(value: Mapping[str, Any]) -> Guideline:
    metadata = value.get("metadata") or {}
    schema = str(metadata.get("schema") or value["schema"])
    if not _SCHEMA.match(schema):
        raise ValueError(f"schema {schema[:20]}")
    capabilities = {name: _capability(name, item) for name, item in value["capabilities"].items()}
    read = _programs_2 if schema.startswith("2") else _programs_1
    programs = read(value, capabilities)
    if not programs:
        raise ValueError("it has no program")
    name = str(metadata.get("id") or value.get("id") or "").removesuffix(".json")
    if not name or len(name) > 60 or not name.isprintable():
        raise ValueError("it has no id")
    return Guideline(name, schema, programs)


def _programs_2(value: Mapping[str, Any], capabilities: Mapping[str, Capability]) -> dict[str, Program]:
    found = {}
    for name, platform in value["platforms"].items():
        parts = [value["components"][_name(part)]["capabilities"] for part in platform["components"]]
        found[name] = _program(name, str(platform.get("description", "")), parts, capabilities)
    return found


_PROGRAM_1 = {
    "compute": "OpenStack Powered Compute",
    "object": "OpenStack Powered Storage",
}
"""Schema 1.x names components; the programs' names are those of the trademark."""
_PLATFORM = "OpenStack Powered Platform"


def _programs_1(value: Mapping[str, Any], capabilities: Mapping[str, Capability]) -> dict[str, Program]:
    components = value["components"]
    if isinstance(components, list):
        raise ValueError("schema before 1.2")
    whole = [components[name] for name in value["platform"]["required"]]
    found = {_PLATFORM: _program(_PLATFORM, "", whole, capabilities)}
    for name, part in components.items():
        title = _PROGRAM_1.get(name, name)
        found[title] = _program(title, "", [part], capabilities)
    return found


def _program(
    name: str, description: str, parts: Iterable[Mapping[str, Any]], known: Mapping[str, Capability]
) -> Program:
    listed = list(parts)
    kinds = {
        kind: tuple(known[one] for one in dict.fromkeys(_name(item) for part in listed for item in part.get(kind, ())))
        for kind in KINDS
    }
    return Program(name, description, kinds)


def _name(item: Any) -> str:
    return str(item["name"] if isinstance(item, Mapping) else item)


def _capability(name: str, item: Mapping[str, Any]) -> Capability:
    tests = item.get("tests") or {}
    if isinstance(tests, Mapping):
        read = tuple(_test(test, about or {}) for test, about in tests.items())
    else:
        # schema 1.2: a list of names, and beside it a list of those that are flagged
        flagged = {_split(test)[0] for test in item.get("flagged", ())}
        read = tuple(_listed(test, flagged) for test in tests)
    return Capability(name, str(item.get("description", "")), read)


def _listed(test: str, flagged: set[str]) -> GuidelineTest:
    name, uuid = _split(test)
    return GuidelineTest(name, uuid, flagged=name in flagged)


def _test(name: str, about: Mapping[str, Any]) -> GuidelineTest:
    plain, inside = _split(name)
    given = _UUID.match(str(about.get("idempotent_id", "")))
    aliases = tuple(_split(alias)[0] for alias in about.get("aliases", ()))
    return GuidelineTest(plain, given[1] if given else inside, aliases, bool(about.get("flagged")))


def _split(test: str) -> tuple[str, str]:
    name, _, attributes = test.partition("[")
    found = (_UUID.match(word.strip("] ")) for word in attributes.split(","))
    return name, next((match[1] for match in found if match), "")
