"""Which test a guideline means: the one that it names, else the one that carries the idempotent id.

Tempest repeats ids: the classes for IPv6 and for boot from volume inherit tests with their ids. A guideline means one
class, and RefStack counts that one alone. Node and server choose with the same code, so that what ran is what is
judged. Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_ALIAS = ",alias"
_NEXT_NAME = re.compile(r"\][\s,;]+[A-Za-z_]\w*\.\w")
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ID = re.compile(f"id-({_UUID})")
_ALMOST_ID = re.compile(rf"\s*(?:id[-:_\s]*)?({_UUID})\s*", re.IGNORECASE)
"""An id without ``id-``, or with that in capitals."""


def entry(name: str, uuid: str, *, is_alias: bool = False) -> str:
    """Return the test case that selects a test by its name, and by its id only if there is no such name.

    :param is_alias: it counts only where the name is not listed for which it is another one.
    """
    return f"{name}[id-{uuid}{_ALIAS if is_alias else ''}]" if uuid else name


def has_two_names(text: str) -> bool:
    """Return whether a test case names a second test behind the attributes of the first, which would be lost."""
    return _NEXT_NAME.search(text) is not None


def id_hint(text: str) -> str:
    """Return how to write a test case that was refused and holds no more than an id; empty: it is something else."""
    found = _ALMOST_ID.fullmatch(text)
    return f"; write id-{found.group(1)}" if found else ""


def split_entry(text: str) -> tuple[str, str]:
    """Return name and id (both may be empty) of a test case or of a listed test."""
    name, bracket, attributes = text.partition("[")
    found = _ID.search(attributes if bracket else text)
    return ("" if not bracket and found else name.partition("(")[0]), found.group(1).lower() if found else ""


def choose(entries: Iterable[str], listed: Sequence[str]) -> list[str]:
    """Return the listed tests that entries with a name and an id mean, in the order of the list.

    Of the entries with one id all names that are listed are chosen; without any the first listed alias; without any of
    those too the test that carries the id, and of several the one whose name is the most like.
    """
    asked: dict[str, _Asked] = {}
    for text in entries:
        name, uuid = split_entry(text)
        of_id = asked.setdefault(uuid, _Asked())
        (of_id.aliases if text.endswith(f"{_ALIAS}]") else of_id.names).append(name)
    by_name = {split_entry(test)[0]: test for test in listed}
    carriers: dict[str, list[str]] = {}
    for test in listed:
        carriers.setdefault(split_entry(test)[1], []).append(test)
    chosen: set[str] = set()
    for uuid, of_id in asked.items():
        chosen |= set(of_id.chosen(by_name, carriers.get(uuid, []) if uuid else []))
    return [test for test in listed if test in chosen]


@dataclass
class _Asked:
    """The names and aliases of one id."""

    names: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)

    def chosen(self, by_name: Mapping[str, str], carriers: Sequence[str]) -> list[str]:
        """Return the listed tests that are meant."""
        named = [by_name[name] for name in self.names if name in by_name]
        known = named or [by_name[name] for name in self.aliases if name in by_name][:1]
        return known or ([closest([*self.names, *self.aliases], sorted(carriers))] if carriers else [])


def closest(names: Sequence[str], candidates: Sequence[str]) -> str:
    """Return the candidate whose name is the most like one of the names: a moved test, and not its IPv6 twin.

    Of several that are equally like it, the first.
    """
    return max(candidates, key=lambda test: max(_likeness(name, split_entry(test)[0]) for name in names))


def _likeness(name: str, other: str) -> tuple[int, float]:
    """The same method and the same class count most, then how much of the whole is the same."""
    one, two = name.split(".")[::-1], other.split(".")[::-1]
    same = sum(weight for weight, a, b in zip((2, 1), one, two) if a == b)
    # by how many letters they share: ratio() itself may take the cube of their lengths
    return same, difflib.SequenceMatcher(None, name, other, autojunk=False).quick_ratio()
