"""Tests that are left out of a run, each with a reason; a verdict counts them as not run and says why."""

from __future__ import annotations

import bisect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from refstack_worker.contract.test_choice import split_entry
from refstack_worker.contract.testcases import MAX_REGEX_CHARACTERS, MAX_TEST_NAME, Testcases, check_testcases
from refstack_worker.errors import PayloadError
from refstack_worker.server.domain.guidelines import KINDS, Program
from refstack_worker.server.services import tempest_tests
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
_SHOWN = 10
"""Exclusions in a message."""
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
        return next((self.reasons[one] for one in self._matching(name, uuid)), None)

    def unmatched(self, entries: Iterable[str]) -> list[str]:
        """Return the exclusions that leave out none of these tests."""
        matching = {one for entry in entries for one in self._matching(*split_entry(entry))}
        return [one for one in self.reasons if one not in matching]

    def _matching(self, name: str, uuid: str) -> Iterator[str]:
        """Yield the exclusions that leave out a test, those by id and the longest name first."""
        if self._has_ids:
            uuids = (uuid,) if uuid else tempest_tests.ids_of(name)
            yield from (f"id-{one}" for one in uuids if f"id-{one}" in self.reasons)
        # no deeper than the reasons: to join every part of a long name costs the square of its length
        parts = name.split(".", self._deepest)[: self._deepest]
        tried = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        yield from (one for one in tried if one in self.reasons)

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
        entries = dict.fromkeys(chosen.names)
        kept = [entry for entry in entries if not any(self._matching(*split_entry(entry)))]
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
        """Whether something below a class or module is left out, or may be by its id."""
        name, uuid = split_entry(entry)
        if self._has_ids and not uuid and not tempest_tests.ids_of(name):
            return True
        below = f"{entry.rstrip('.')}."
        place = bisect.bisect_left(self._sorted, below)
        return place < len(self._sorted) and self._sorted[place].startswith(below)

    @cached_property
    def _has_ids(self) -> bool:
        return any(name.startswith("id-") for name in self.reasons)

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


def without_effect(body: Mapping[str, Any], program: Program | None) -> list[str]:
    """Say which exclusions match no test of a run, as far as its tests are known before it.

    :param body: of the request for the run, with its version of Tempest.
    :param program: by which its tests are chosen.
    """
    excluded = Exclusions.of(body.get("exclude", ()))
    unmatched = _unmatched(excluded, body, program) if excluded.reasons else []
    if not unmatched:
        return []
    shown = ", ".join(unmatched[:_SHOWN]) + (" …" if len(unmatched) > _SHOWN else "")
    what = "1 exclusion matches" if len(unmatched) == 1 else f"{len(unmatched)} exclusions match"
    return [f"{what} no test of this run: {shown}."]


def _unmatched(excluded: Exclusions, body: Mapping[str, Any], program: Program | None) -> list[str]:
    chosen = body.get("testcases") or {}
    tests = list(chosen.get("names", ()))
    if program is not None:
        tests = [entry for test in program.tests(KINDS, flagged=True) for entry in test.entries]
    left = excluded.unmatched(tests)
    if program is not None and body["guideline"].get("tests") != "api":
        return left
    is_any = program is not None or not tests or bool(chosen.get("regexes"))
    prefixes = {test.rstrip(".") for test in tests}
    known = tempest_tests.of_version(body.get("tempest_version", ""))
    absent = set(excluded.unmatched(known.full_names)) if known else set()
    # of the tests of plugins nothing is known
    own = (tempest_tests.OWN,) if body.get("plugins") else (tempest_tests.OWN, "id-")
    return [one for one in left if (one in absent and one.startswith(own)) or not (is_any or _is_below(one, prefixes))]


def _is_below(exclusion: str, prefixes: Collection[str]) -> bool:
    """Whether an exclusion may leave out some of what is below one of the names; one by id may."""
    ends = (dot.start() for dot in re.finditer(r"\.", exclusion))
    return exclusion.startswith("id-") or any(exclusion[:end] in prefixes for end in ends)
