"""Tests that are left out of a run, each with a reason; a verdict counts them as not run and says why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from refstack_worker.contract.test_choice import split_entry
from refstack_worker.contract.testcases import Testcases, check_testcases
from refstack_worker.errors import PayloadError
from refstack_worker.server.domain.guidelines import KINDS, Program
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import array, fields, string

EXCLUDE = array(
    fields(
        "test",
        test=string(512, minLength=1, description="Test, class or module by name, or id-<uuid>"),
        reason=string(200, description="Why; the verdict shows it"),
    ),
    maxItems=2000,
)
ALL_TESTS = "^"
API_TESTS = "^tempest\\.api\\."
"""All API tests, which the interop procedure asks for."""
_NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_END = r"(?:[.\[(]|$)"


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
            if name and not _NAME.fullmatch(name) or not (name or uuid):
                raise invalid("exclude", f"{item['test'][:80]!r} is neither the name of a test nor id-UUID")
            reasons[name or f"id-{uuid}"] = item.get("reason", "")
        return cls(reasons)

    def reason(self, name: str, uuid: str = "") -> str | None:
        """Return why a test is left out; None: it is not."""
        if uuid and f"id-{uuid}" in self.reasons:
            return self.reasons[f"id-{uuid}"]
        parts = name.split(".")
        tried = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self.reasons[one] for one in tried if one in self.reasons), None)

    def left_out(self, program: Program) -> dict[str, str]:
        """Return the tests of a program that are left out, name to reason; what one name is left out of, is out."""
        found = {}
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
        kept = [entry for entry in chosen.names if self.reason(*split_entry(entry)) is None]
        names = tuple(entry for entry in kept if not self._is_within(entry))
        within = [f"^{re.escape(entry)}{_END}" for entry in kept if self._is_within(entry)]
        regexes = tuple(self._without(expression) for expression in (*within, *chosen.regexes))
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
        return any(name.startswith(f"{entry}.") for name in self.reasons)

    def _without(self, expression: str) -> str:
        """Return an expression that finds the same, but for what is left out."""
        names = "|".join(re.escape(name) for name in self.reasons if not name.startswith("id-"))
        ids = "|".join(re.escape(name) for name in self.reasons if name.startswith("id-"))
        ahead = (f"(?!(?:{names}){_END})" if names else "") + (f"(?!.*(?:{ids}))" if ids else "")
        return f"^{ahead}(?=.*(?:{expression}))" if not expression.startswith("^") else f"^{ahead}{expression[1:]}"
