"""Interop guidelines: programs, the capabilities that they ask for, and the tests that prove a capability.

Times are seconds since 1970 (UTC); 0 means "not yet".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from refstack_worker.contract import test_choice
from refstack_worker.errors import NotFoundError

REQUIRED = "required"
ADVISORY = "advisory"
DEPRECATED = "deprecated"
REMOVED = "removed"
KINDS = (REQUIRED, ADVISORY, DEPRECATED, REMOVED)
"""What a capability can be to a program. A capability that is listed as several is what stands first here."""
OFFICIAL = "official"
"""Origin of a guideline that an operator added: it counts for everybody."""
OWN = "own"
"""Origin of a guideline that a vendor added: it counts for that vendor, and never as the official one."""


@dataclass(frozen=True)
class GuidelineTest:
    """A test that a capability consists of."""

    name: str
    uuid: str = ""
    """Idempotent id; empty when the guideline gives none."""
    aliases: tuple[str, ...] = ()
    """Former or further names."""
    flagged: bool = False
    """Not counted: the guideline's authors took it out until it is fixed."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and its aliases."""
        return (self.name, *self.aliases)

    def joined(self, others: Sequence[GuidelineTest]) -> GuidelineTest:
        """Return the test with what other descriptions of it add."""
        if not others:
            return self
        # all at once: there may be thousands of descriptions, and of aliases
        described = (self, *others)
        aliases = tuple(dict.fromkeys(alias for one in described for alias in one.aliases))
        return replace(self, uuid=next((one.uuid for one in described if one.uuid), ""), aliases=aliases)

    @property
    def entries(self) -> tuple[str, ...]:
        """How it is asked for in a run's test cases: by each of its names, and by its id where none of them exists."""
        aliases = (test_choice.entry(name, self.uuid, is_alias=True) for name in self.aliases)
        return (test_choice.entry(self.name, self.uuid), *aliases)


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
    target: str = ""
    """RefStack's word for it: ``platform``, ``compute``, ``object``, ``dns``, …"""
    capabilities: Mapping[str, tuple[Capability, ...]] = field(default_factory=dict)
    """Kind to capabilities, in the order of the file, none twice within a kind."""

    def tests(self, kinds: Iterable[str] = (REQUIRED,), *, flagged: bool = False) -> Iterator[GuidelineTest]:
        """Yield the tests of some kinds, each name once. :param flagged: those that do not count, too."""
        seen: dict[str, list[GuidelineTest]] = {}
        for test in self._listed(kinds):
            if flagged or not test.flagged:
                # a test of two capabilities is described twice, and not always with the same aliases
                seen.setdefault(test.name, []).append(test)
        yield from (first.joined(others) for first, *others in seen.values())

    def _listed(self, kinds: Iterable[str]) -> Iterator[GuidelineTest]:
        for kind in kinds:
            for capability in self.capabilities.get(kind, ()):
                yield from capability.tests

    def entries(self, kinds: Iterable[str] = (REQUIRED,)) -> tuple[str, ...]:
        """Return the test cases of a run that asks for these kinds, without the flagged tests."""
        return tuple(dict.fromkeys(entry for test in self.tests(kinds) for entry in test.entries))

    def is_called(self, name: str) -> bool:
        """Return whether a name means this program: in full, its last words (``Storage``), or RefStack's word."""
        asked = " ".join(name.split()).casefold()
        mine = self.name.casefold()
        return bool(asked) and (asked in (mine, self.target) or mine.endswith(f" {asked}"))


@dataclass(frozen=True)
class Guideline:
    id: str
    """As ``2020.06``, or ``dns.2020.06`` for an add-on."""
    schema: str
    programs: Mapping[str, Program]
    releases: tuple[str, ...] = ()
    """The OpenStack releases that it is for, the oldest first."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Repository of tests to the commit that the guideline was written with."""

    def program(self, name: str) -> Program:
        """Return a program by its name; see :meth:`Program.is_called`.

        :raises NotFoundError: no program or several are called so.
        """
        exact = [one for one in self.programs.values() if one.name.casefold() == name.casefold()]
        found = exact or [one for one in self.programs.values() if one.is_called(name)]
        if len(found) == 1:
            return found[0]
        why = "several programs are called" if found else "has no program"
        raise NotFoundError(f"guideline {self.id}: {why} {name!r}; its programs: {', '.join(self.programs)}")


@dataclass(frozen=True)
class StoredGuideline:
    """A guideline file in the ledger."""

    id: int
    name: str
    digest: str
    """SHA-256 of the file's text, hex."""
    source: str = ""
    added_by: str = ""
    owner_id: int | None = None
    created_at: float = 0.0
    origin: str = OWN
    """``official`` or ``own``."""
    archived_at: float = 0.0
    """It was deleted, and is kept for what it judged."""


@dataclass(frozen=True)
class Choice:
    """By what a run is judged."""

    guideline_id: int
    program: str
    advisory: bool = False
    """Whether the advisory tests run, too; they decide nothing."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Tests that were excluded from the run, name to reason."""
    combines: int | None = None
    """Id of the run of whose failed tests this is a rerun: both are judged together."""
