"""What is known of Tempest's tests without running it: which version has them, which accounts they ask for, and which
must not run beside others.

The table beside this module is made from Tempest's source by ``python -m tools.tempest_tests``.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from refstack_worker.server.domain.guidelines import Guideline, GuidelineTest

_FILE = Path(__file__).with_name("tempest_tests.json")
OWN = "tempest."
"""Start of the names of Tempest's own tests; those of plugins are not in the table."""
Accounts = tuple[str, ...]
"""The accounts that a test class uses at a time, as ``("primary", "project_reader")``."""


@dataclass(frozen=True)
class VersionTests:
    """The tests of one version."""

    by_name: Mapping[str, Accounts]
    by_id: Mapping[str, Accounts]
    full_names: tuple[str, ...] = ()
    """As ``tempest run --list-tests`` shows them, with id and attributes in brackets."""

    @functools.cached_property
    def sizes(self) -> Counter[str]:
        """How many tests each class has."""
        return Counter(name.rpartition(".")[0] for name in self.by_name)

    def accounts(self, test: GuidelineTest) -> Accounts | None:
        """Return the accounts that a test of a guideline uses; None: this version does not have it."""
        named = next((self.by_name[name] for name in test.names if name in self.by_name), None)
        return self.by_id.get(test.uuid) if named is None else named

    def missing(self, tests: Iterable[GuidelineTest]) -> list[str]:
        """Return the tests that this version does not have; of a plugin's tests nothing is known."""
        return [test.name for test in tests if test.name.startswith(OWN) and self.accounts(test) is None]

    def needs(self, tests: Iterable[GuidelineTest]) -> Counter[Accounts]:
        """Return which accounts the tests use at a time, and how many tests each."""
        found = (self.accounts(test) for test in tests)
        return Counter(accounts for accounts in found if accounts is not None)


@dataclass(frozen=True)
class Proposal:
    """The version of Tempest that fits a guideline."""

    version: str
    """Empty: none is offered."""
    written_with: str
    """The version that the guideline was written with; empty: it does not say."""


def of_version(version: str) -> VersionTests | None:
    """Return the tests of a version; None: it is not in the table."""
    versions: list[str] = _table()["versions"]
    return _of(versions.index(version)) if version in versions else None


def newest() -> VersionTests:
    """Return the tests of the newest version that is known."""
    return _of(len(_table()["versions"]) - 1)


def is_known(name: str) -> bool:
    """Return whether any version that is known has a test of this name, in full and without attributes."""
    owner, _, method = name.rpartition(".")
    return method in _table()["tests"].get(owner, {})


def ids_of(name: str) -> frozenset[str]:
    """Return the ids that a test of this name has in any version that is known; none where there is no such test."""
    owner, _, method = name.rpartition(".")
    return frozenset(uuid for uuid, *_ in _table()["tests"].get(owner, {}).get(method, ()) if uuid)


def proposal(guideline: Guideline, tests: Collection[GuidelineTest], offered: Iterable[str]) -> Proposal:
    """Return the version to judge a guideline's tests with.

    Of the offered ones that have the most of the tests it is the oldest that is not older than the one that the
    guideline was written with, else the newest.
    """
    own = written_with(guideline)
    candidates = sorted(set(offered), key=Version)
    if not candidates:
        return Proposal("", own)
    lacking = {one: len(found.missing(tests)) for one in candidates if (found := of_version(one)) is not None}
    best = [one for one in candidates if lacking.get(one, len(tests)) == min(lacking.values(), default=len(tests))]
    newer = [one for one in best if own and Version(one) >= Version(own)]
    return Proposal(newer[0] if newer else best[-1], own)


def is_serial(class_name: str) -> bool:
    """Return whether Tempest runs a class alone, beside no other class (``@serial``)."""
    return class_name in _serial()


def locks_of(class_name: str) -> frozenset[str]:
    """Return the locks of a class: classes that share one wait for each other, but only on the same machine."""
    return _locks().get(class_name, frozenset())


def written_with(guideline: Guideline) -> str:
    """Return the first version with the commit that a guideline names, or for the newest release that it names."""
    table = _table()
    for commit in guideline.references.values():
        fitting = [version for known, version in table["commits"].items() if _is_same(known, commit)]
        if fitting:
            return str(min(fitting, key=Version))
    known_releases = [one for one in guideline.releases if one in table["releases"]]
    return str(table["releases"][known_releases[-1]]) if known_releases else ""


def _is_same(known: str, commit: str) -> bool:
    short = min(len(known), len(commit))
    return short >= 7 and known[:short] == commit[:short].lower()


@functools.lru_cache(maxsize=1)
def _table() -> Any:
    return json.loads(_FILE.read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=1)
def _serial() -> frozenset[str]:
    return frozenset(_table()["serial"])


@functools.lru_cache(maxsize=1)
def _locks() -> Mapping[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for lock, classes in _table()["locks"].items():
        for one in classes:
            found[one] = found.get(one, frozenset()) | {lock}
    return found


@functools.lru_cache(maxsize=8)
def _of(number: int) -> VersionTests:
    table = _table()
    kinds = [tuple(kind) for kind in table["credentials"]]
    by_name: dict[str, Accounts] = {}
    by_id: dict[str, Accounts] = {}
    names: list[str] = []
    attributes = table["attributes"]
    for owner, tests in table["tests"].items():
        for method, spans in tests.items():
            for uuid, first, last, kind, more in spans:
                if first <= number <= last:
                    by_name[f"{owner}.{method}"] = kinds[kind]
                    shown = sorted([*attributes[more], *([f"id-{uuid}"] if uuid else [])])
                    names.append(f"{owner}.{method}[{','.join(shown)}]" if shown else f"{owner}.{method}")
                    if uuid:
                        by_id.setdefault(uuid, kinds[kind])
    return VersionTests(by_name, by_id, tuple(names))
