"""Tests that are left out of a run, each with a reason; a verdict counts them as not run and says why."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from refstack_worker.contract.test_choice import split_entry
from refstack_worker.contract.testcases import MAX_REGEX_CHARACTERS, MAX_TEST_NAME, Testcases, check_testcases
from refstack_worker.errors import PayloadError
from refstack_worker.server.domain.guidelines import KINDS, Program
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import array, fields, string

EXCLUDE = array(
    fields(
        "test",
        test=string(MAX_TEST_NAME, minLength=1, description="Test, class or module by name, or id-<uuid>"),
        reason=string(200, description="Why; the verdict shows it"),
    ),
    maxItems=2000,
)
ALL_TESTS = "^"
API_TESTS = "^tempest\\.api\\."
"""All API tests, which the interop procedure asks for."""
_NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_END = r"(?:[.\[(]|$)"
_TOO_LONG = f"a run's expressions have at most {MAX_REGEX_CHARACTERS} characters together"


@dataclass(frozen=True)
class Exclusions:
    """What is left out: name (or ``id-<uuid>``) to reason."""

    reasons: Mapping[str, str]

    @classmethod
    def of(cls, items: Iterable[Mapping[str, str]]) -> Exclusions:
        """Return the exclusions in a request. :raises InvalidInput: one is neither a name nor an id."""
        reasons = {}
        for item in items:
            name, uuid = split_entry(item["test"].strip())
            # as in test cases, where a prefix may end in a dot
            name = name.rstrip(".")
            if name and not _NAME.fullmatch(name) or not (name or uuid):
                raise invalid("exclude", f"{item['test'][:80]!r} is neither the name of a test nor id-UUID")
            reasons[name or f"id-{uuid}"] = item.get("reason", "")
        return cls(reasons)

    def reason(self, name: str, uuid: str = "") -> str | None:
        """Return why a test is left out; None: it is not."""
        if uuid and f"id-{uuid}" in self.reasons:
            return self.reasons[f"id-{uuid}"]
        # no deeper than the reasons: to join every part of a long name costs the square of its length
        parts = name.split(".", self._deepest)[: self._deepest]
        tried = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self.reasons[one] for one in tried if one in self.reasons), None)

    def left_out(self, program: Program) -> dict[str, str]:
        """Return the tests of a program that are left out, name to reason; what one name is left out of, is out."""
        found: dict[str, str] = {}
        if not self.reasons:
            return found
        for test in program.tests(KINDS, flagged=True):
            reasons = [self.reason(name, test.uuid) for name in test.names]
            if (why := next((one for one in reasons if one is not None), None)) is not None:
                found[test.name] = why or "no reason given"
        return found

    def apply(self, chosen: Testcases) -> Testcases:
        """Return the test cases without what is left out.

        :raises InvalidInput: nothing is left, or it cannot be written down.
        """
        if not self.reasons:
            return chosen
        if chosen.url:
            raise invalid("exclude", "cannot be combined with a list from a URL")
        kept = [entry for entry in dict.fromkeys(chosen.names) if self.reason(*split_entry(entry)) is None]
        names = tuple(entry for entry in kept if not self._is_within(entry))
        within = [f"^{re.escape(entry.rstrip('.'))}{_END}" for entry in kept if self._is_within(entry)]
        regexes = self._without([*within, *chosen.regexes])
        found = replace(chosen, names=names, regexes=regexes)
        if not names and not regexes:
            raise invalid("exclude", "leaves no test to run")
        try:
            check_testcases(found)
        except PayloadError as error:
            raise invalid("exclude", str(error)) from None
        return found

    def _is_within(self, entry: str) -> bool:
        """Whether something below a class or module is left out."""
        below = f"{entry.rstrip('.')}."
        place = bisect.bisect_left(self._sorted, below)
        return place < len(self._sorted) and self._sorted[place].startswith(below)

    @cached_property
    def _deepest(self) -> int:
        """How many parts the name with the most of them has."""
        return max((name.count(".") + 1 for name in self.reasons), default=0)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.reasons)

    def _without(self, expressions: Sequence[str]) -> tuple[str, ...]:
        """Return expressions that find the same, but for what is left out; each carries all of that.

        :raises InvalidInput: they would be longer than those of a run may be.
        """
        names = "|".join(re.escape(name) for name in self.reasons if not name.startswith("id-"))
        ids = "|".join(re.escape(name) for name in self.reasons if name.startswith("id-"))
        ahead = (f"(?!(?:{names}){_END})" if names else "") + (f"(?!.*(?:{ids}))" if ids else "")
        # before they are written: many times much would fill the memory
        if len(expressions) * len(ahead) + sum(map(len, expressions)) > MAX_REGEX_CHARACTERS:
            raise invalid("exclude", f"is too long: the whole list is added to each regular expression; {_TOO_LONG}")
        return tuple(
            f"^{ahead}(?=.*(?:{one}))" if not one.startswith("^") else f"^{ahead}{one[1:]}" for one in expressions
        )
