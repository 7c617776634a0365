"""Recorded results of a guideline file: made from the file alone, so that RefStack's code and ours judge the same.

Each is a list of (name, idempotent id, status), as a result has it after its stream was read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Ran = tuple[str, str, str]
DATA = Path(__file__).resolve().parents[1] / "data"
TEMPEST = DATA / "tempest-47.0.0-tests.json"
"""The tests of Tempest 47.0.0 that some guideline names, by name or by id: module → class → test → id."""
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def cases(content: Mapping[str, Any]) -> dict[str, list[Ran]]:
    """Return the recorded results for a guideline file."""
    # a test of two capabilities is described twice, and not always alike
    tests = sorted({test[0]: test for test in _tests(content)}.values())
    return {
        "all passed": [(name, uuid, "passed") for name, uuid, _ in tests],
        "IPv6 twins skipped": [*_passed(tests), *_twins(tests, "skipped")],
        "IPv6 twins failed": [*_twins(tests, "failed"), *_passed(tests)],
        "under an alias": [(aliases[-1] if aliases else name, uuid, "passed") for name, uuid, aliases in tests],
        "renamed, no alias": list(_renamed(tests)),
        "every fifth failed": list(_every(tests, 5, "failed")),
        "every fourth skipped": list(_every(tests, 4, "skipped")),
        "every third missing": [ran for ran in _every(tests, 3, "") if ran[2]],
        "one failed": [(name, uuid, "failed" if at == 0 else "passed") for at, (name, uuid, _) in enumerate(tests)],
        "Tempest 47.0.0, all passed": [(name, uuid, "passed") for name, uuid in tempest_tests()],
    }


def passed_names(ran: list[Ran]) -> list[str]:
    """Return what RefStack is sent of a result."""
    return sorted({name for name, _, status in ran if status == "passed"})


def tempest_tests() -> Iterator[tuple[str, str]]:
    """Yield name and id of the tests of Tempest 47.0.0 that concern guidelines."""
    for module, classes in json.loads(TEMPEST.read_text(encoding="utf-8")).items():
        for parent, tests in classes.items():
            for test, uuid in tests.items():
                yield f"{module}.{parent}.{test}", uuid


def _tests(content: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for capability in content["capabilities"].values():
        tests = capability["tests"]
        for name in tests:
            about = tests[name] if isinstance(tests, Mapping) else {}
            found = UUID.search(about.get("idempotent_id") or "")
            yield name, found[0] if found else "", tuple(about.get("aliases") or ())


def _passed(tests: list[tuple[str, str, tuple[str, ...]]]) -> list[Ran]:
    return [(name, uuid, "passed") for name, uuid, _ in tests]


def _twins(tests: list[tuple[str, str, tuple[str, ...]]], status: str) -> Iterator[Ran]:
    """The same tests with the same ids in a class beside, as Tempest has them for IPv6 and for boot from volume."""
    for name, uuid, _ in tests:
        parent, _, test = name.rpartition(".")
        if uuid:
            yield f"{parent}IpV6Twin.{test}", uuid, status


def _renamed(tests: list[tuple[str, str, tuple[str, ...]]]) -> Iterator[Ran]:
    for at, (name, uuid, _) in enumerate(tests):
        yield (f"moved.elsewhere.{name.rpartition('.')[2]}" if at % 6 == 0 and uuid else name), uuid, "passed"


def _every(tests: list[tuple[str, str, tuple[str, ...]]], number: int, status: str) -> Iterator[Ran]:
    for at, (name, uuid, _) in enumerate(tests):
        yield name, uuid, status if at % number == 0 else "passed"
