"""How the tests of a result are counted: one rule for the node, the server and everything that shows a result.

Each test has one outcome. A test that ends several times has the worst: failed, then skipped, then passed. A class or
module that cannot be set up answers for each selected test below it that has no outcome of its own; one that cannot be
torn down counts for itself alone. A test that begins and never ends has failed. Standard library alone: this module is
part of the single file ``execute_test``.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"
WORST_FIRST = (FAILED, SKIPPED, PASSED)
EXPECTED_FAILURE = "xfail"
"""Status of a packet that ends a test that failed and was marked to fail."""
OUTCOME_OF = {
    "success": PASSED,
    # refstack-client sends a test in only if it succeeded, and a failure, even one that its test expects, is none
    EXPECTED_FAILURE: SKIPPED,
    "fail": FAILED,
    "uxsuccess": FAILED,
    "skip": SKIPPED,
}
"""Status of a subunit packet that ends a test to the test's outcome."""
SELECTED = "exists"
"""Status of a packet that names a selected test. The node adds these when a class could not be set up."""

MAX_SELECTED = 20_000
"""Selected tests that are remembered; Tempest with its plugins has about 5,000."""
MAX_SELECTED_CHARACTERS = 8 * 1024 * 1024
MAX_GROUPS = 20_000
"""Classes and modules that could not be set up or torn down; more count as tests of their own."""
MAX_ABOVE = 50
"""Names that are looked for above a test; Tempest's have about six. All those of a long name take the square of its
length."""
_GROUP = re.compile(r"(?:setUp|tearDown)(?:Class|Module) \((.+)\)", re.DOTALL)


@dataclass(frozen=True)
class Counts:
    """How many tests have which outcome."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.skipped


@dataclass(frozen=True)
class Ended:
    """What the end of a test changed."""

    is_first: bool
    """The test had no outcome before."""
    is_worse: bool
    """It had a better one, which this one replaces."""


@dataclass(frozen=True)
class Answered:
    """A selected test whose class or module answers for it."""

    test: str
    outcome: str
    group: str
    """As the stream names it: ``setUpClass (tempest.api.x.TestY)``."""


def worse(one: str, other: str) -> str:
    """Return the worse of two outcomes."""
    return min(one, other, key=WORST_FIRST.index)


def group_of(test: str) -> str:
    """Return the class or module that a ``setUpClass (X)`` is about; empty: it is an ordinary test."""
    found = _GROUP.fullmatch(test)
    return found.group(1) if found else ""


def is_set_up(test: str) -> bool:
    """Return whether this is the set-up of a class or module, which answers for tests that did not run."""
    return test.startswith("setUp") and bool(group_of(test))


def class_of(test: str) -> str:
    """Return the class of a test, as ``tempest.api.x.TestY``."""
    return re.split(r"[\[(]", test, maxsplit=1)[0].rpartition(".")[0]


def groups_above(parent: str) -> Iterator[str]:
    """Yield a class and the modules and packages in whose names it is: ``a.b.C``, ``a.b``, ``a``; the nearest 50."""
    yield parent
    for _ in range(MAX_ABOVE - 1):
        if "." not in parent:
            return
        parent = parent.rpartition(".")[0]
        yield parent


class Outcomes:
    """The outcomes of a result, as its packets come."""

    def __init__(self) -> None:
        self._outcomes: dict[bytes, str] = {}
        self._counts = dict.fromkeys(WORST_FIRST, 0)
        self._running: dict[str, None] = {}
        self._selected: dict[str, dict[str, None]] = {}
        """Class to its selected tests."""
        self._selected_count = self._characters = 0
        self._groups: dict[str, str] = {}

    def select(self, test: str) -> None:
        """Learn that a test was selected."""
        is_full = self._selected_count >= MAX_SELECTED or self._characters + len(test) > MAX_SELECTED_CHARACTERS
        parent = class_of(test)
        if not is_full and test not in self._selected.get(parent, {}):
            self._selected.setdefault(parent, {})[test] = None
            self._selected_count += 1
            self._characters += len(test)

    def begin(self, test: str) -> None:
        """Learn that a test began, perhaps once more."""
        self._running[test] = None

    def end(self, test: str, outcome: str) -> Ended:
        """Learn that a test ended."""
        self._running.pop(test, None)
        if group_of(test) and (test in self._groups or len(self._groups) < MAX_GROUPS):
            self._groups[test] = worse(outcome, self._groups.get(test, outcome))
        key = outcome_key(test)
        known = self._outcomes.get(key)
        if known is not None and worse(known, outcome) == known:
            return Ended(False, False)
        self._outcomes[key] = outcome
        self._counts[outcome] += 1
        if known is not None:
            self._counts[known] -= 1
        return Ended(known is None, known is not None)

    @property
    def running(self) -> list[str]:
        """Tests that have begun and not ended."""
        return list(self._running)

    @property
    def groups(self) -> dict[str, str]:
        """Classes and modules that ended as a whole (``setUpClass (X)``), with their outcome."""
        return {name: outcome for name, outcome in self._groups.items() if outcome != PASSED}

    def answered(self) -> list[Answered]:
        """Return the selected tests for which a class or module answers that could not be set up."""
        worst: dict[str, tuple[int, str, str]] = {}
        # one that could not be torn down shows nothing about tests that did not run
        failed = [one for one in self.groups.items() if is_set_up(one[0])]
        for rank, (name, outcome) in enumerate(sorted(failed, key=lambda one: WORST_FIRST.index(one[1]))):
            worst.setdefault(group_of(name), (rank, name, outcome))
        found: list[tuple[int, Answered]] = []
        # by their names: there may be 20,000 of both
        for parent, tests in self._selected.items() if worst else ():
            above = [worst[one] for one in groups_above(parent) if one in worst]
            if above:
                rank, name, outcome = min(above)
                without = [test for test in tests if outcome_key(test) not in self._outcomes]
                found += [(rank, Answered(test, outcome, name)) for test in without]
        return [answer for _, answer in sorted(found, key=lambda one: one[0])]

    def counted(self) -> Counts:
        """Return the counts so far; tests that still run are not among them."""
        counts = dict(self._counts)
        answered = self.answered()
        for one in answered:
            counts[one.outcome] += 1
        for name in {one.group for one in answered}:
            counts[self._outcomes[outcome_key(name)]] -= 1
        return Counts(**counts)

    def finish(self) -> list[str]:
        """Count as failed what began and did not end; return those tests."""
        unfinished = self.running
        for test in unfinished:
            self.end(test, FAILED)
        return unfinished


_SELECTED_FLAGS = 0x2000 | 0x0800 | 0x0100 | 0x0001
"""Subunit version 2, a test id, the test can be run, status ``exists``."""
_SKIPPED_FLAGS = 0x2000 | 0x0800 | 0x0100 | 0x0040 | 0x0020 | 0x0010 | 0x0005
"""The same with a file that has a media type and ends here, status ``skip``."""
REASON_FILE = "reason"
"""Name of the file in which a stream says why a test was skipped."""


def selected_packet(test: str) -> bytes:
    """Return the subunit v2 packet that names a selected test; the node adds it to a result's stream."""
    return _packet(_SELECTED_FLAGS, _subunit_bytes(test))


def skipped_packet(test: str, reason: str) -> bytes:
    """Return the subunit v2 packet of a test that the node left out; it adds it to a result's stream."""
    fields = (test, "text/plain;charset=utf8", REASON_FILE, reason)
    return _packet(_SKIPPED_FLAGS, b"".join(map(_subunit_bytes, fields)))


def _packet(flags: int, content: bytes) -> bytes:
    # the length counts itself too, besides signature (1), flags (2) and checksum (4)
    size = next(size for size in (1, 2, 3) if 7 + size + len(content) < 1 << (8 * size - 2))
    packet = b"\xb3" + struct.pack(">H", flags) + _subunit_number(7 + size + len(content), size) + content
    return packet + struct.pack(">I", zlib.crc32(packet))


def _subunit_bytes(text: str) -> bytes:
    """A text or the content of a file as subunit v2 writes it."""
    data = text.encode("utf-8", "replace")
    return _subunit_number(len(data)) + data


def _subunit_number(value: int, size: int = 0) -> bytes:
    """A number as subunit v2 writes it: the first two bits tell how many bytes follow."""
    size = size or next(size for size in (1, 2, 3, 4) if value < 1 << (8 * size - 2))
    return (value | (size - 1) << (8 * size - 2)).to_bytes(size, "big")


def outcome_key(test: str) -> bytes:
    """Return a short key for a test: names may have thousands of characters, and there may be 200,000 of them."""
    return hashlib.blake2b(test.encode("utf-8", "surrogatepass"), digest_size=12).digest()
