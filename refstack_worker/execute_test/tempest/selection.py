"""Which tests of Tempest to run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from refstack_worker.contract.test_choice import choose, has_two_names, id_hint, split_entry
from refstack_worker.execute_test.failures import BadInput

MAX_TESTCASES = 100_000
_TEST_ID = re.compile(r"id-([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})")


def check_testcases(value: Any, where: str) -> tuple[str, ...]:
    """Return test case entries from outside.

    :raises BadInput: not a list of names, ids and expressions, or an empty one.
    """
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise BadInput(f"{where}: not a list of test names")
    if not value or len(value) > MAX_TESTCASES:
        raise BadInput(f"{where}: has {len(value)} entries; 1 to {MAX_TESTCASES} are allowed")
    for entry in value:
        expression(entry, where)
    return tuple(value)


def expression(entry: str, where: str = "test cases") -> str:
    """Return the regular expression that matches the tests of an entry; empty for all tests.

    An entry with an idempotent id is matched by the id alone: the same test has other names in other versions.

    :raises BadInput: the entry is not a name, an id or a valid expression.
    """
    if entry.startswith("regex:"):
        return _checked_pattern(entry, where)
    if entry == "tempest":
        return ""
    if has_two_names(entry):
        raise BadInput(f"{where}: {entry[:200]!r} has two test names; write one per line")
    if match := _TEST_ID.search(entry):
        return f"id-{match.group(1).lower()}"
    if not _is_name(entry):
        text = f"{where}: {entry[:200]!r} is not a test name, id-UUID or regex:EXPRESSION"
        raise BadInput(f"{text}{id_hint(entry)}")
    # a prefix may end in a dot
    name = entry.partition("[")[0].rstrip(".")
    # in a list file # begins a comment
    return "^" + re.escape(name).replace(r"\#", r"\x23") + r"(?:[.\[(]|$)"


def _is_name(entry: str) -> bool:
    return len(entry) <= 1000 and re.fullmatch(r"[A-Za-z_][\w.]*(?:[\[(][^\x00-\x1f\x7f]*)?", entry) is not None


def _checked_pattern(entry: str, where: str) -> str:
    pattern = entry[len("regex:") :]
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadInput(f"{where}: {entry[:200]!r} is not a regular expression: {error}") from error
    if not pattern.strip() or re.search(r"[\r\n\0]", pattern):
        raise BadInput(f"{where}: {entry[:200]!r} is not an expression of one line")
    # in a list file # begins a comment, and outer blanks are removed
    return (pattern if pattern == pattern.strip() else f"(?:{pattern})").replace("#", r"\x23")


@dataclass(frozen=True)
class Selection:
    """The tests of a run."""

    entries: tuple[str, ...]

    @property
    def expressions(self) -> list[str]:
        """Expressions that match them; empty for all tests."""
        patterns = [expression(entry) for entry in self.entries]
        return [] if "" in patterns else list(dict.fromkeys(patterns))

    @property
    def is_by_name_first(self) -> bool:
        """Whether an entry has a name and an id: which of the two counts, the listing decides."""
        return any(map(_is_pair, self.entries))

    @property
    def listing_expressions(self) -> list[str]:
        """Expressions that match every test that may be chosen; empty for all tests."""
        # published guidelines have names that no test can have; their ids are right
        names = [expression(name) for name in map(_name_of_pair, self.entries) if _is_name(name)]
        return [*self.expressions, *dict.fromkeys(names)] if self.expressions else []

    def resolved(self, listed: Sequence[str]) -> Selection:
        """Return the selection in which a listed test stands for each entry with a name and an id.

        The test of that name is chosen, and one with that id only where no such name is listed: classes for IPv6
        inherit the ids of the tests that a guideline means.
        """
        chosen = choose(filter(_is_pair, self.entries), listed)
        exact = (f"regex:^{re.escape(split_entry(test)[0])}(?:[\\[(]|$)" for test in chosen)
        return Selection((*(entry for entry in self.entries if not _is_pair(entry)), *dict.fromkeys(exact)))

    def chosen_of(self, listed: Sequence[str]) -> tuple[Selection, list[str]]:
        """Return the selection without doubt which tests it means, and the listed tests that it means."""
        selection = self.resolved(listed) if self.is_by_name_first else self
        patterns = [re.compile(pattern) for pattern in selection.expressions]
        if not selection.entries:
            return selection, []
        return selection, [name for name in listed if not patterns or any(one.search(name) for one in patterns)]

    def unmatched(self, listed: Sequence[str]) -> list[str]:
        """Return the entries that match none of the listed tests."""
        ids = {test_id.lower() for name in listed for test_id in _TEST_ID.findall(name)}
        return [entry for entry in self.entries if not _matches(entry, listed, ids)]


def _is_pair(entry: str) -> bool:
    name, test_id = ("", "") if entry.startswith("regex:") else split_entry(entry)
    return bool(name and test_id)


def _name_of_pair(entry: str) -> str:
    """Return the name in an entry that has an id too; else nothing."""
    return entry.partition("[")[0] if _is_pair(entry) else ""


def _matches(entry: str, listed: Sequence[str], ids: set[str]) -> bool:
    pattern = expression(entry)
    if match := None if entry.startswith("regex:") else _TEST_ID.search(entry):
        if match.group(1).lower() in ids:
            return True
        pattern = expression(name) if _is_name(name := _name_of_pair(entry)) else pattern
    return not pattern or any(re.search(pattern, name) for name in listed)
