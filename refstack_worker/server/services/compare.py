"""What came out differently in two runs."""

from __future__ import annotations

from collections.abc import Iterator

from refstack_worker.server.domain.results import ResultQuery, TestResult
from refstack_worker.server.ledger.ledger import Ledger

_PIECE = 1000


def all_tests(ledger: Ledger, test_id: int) -> Iterator[TestResult]:
    """Yield all the tests of a result, some at a time."""
    after = 0
    while tests := ledger.results.tests(test_id, ResultQuery(after=after, limit=_PIECE)):
        yield from tests
        after = tests[-1].position


def compare(ledger: Ledger, old: int, new: int) -> dict[str, list[TestResult]]:
    """Return the tests whose outcome changed from ``old`` to ``new``, by kind of change, named as in the API's answer.

    ``added`` ran only in ``new``, ``gone`` only in ``old``.
    """
    before = {_key(test): test for test in all_tests(ledger, old)}
    found: dict[str, list[TestResult]] = {name: [] for name in ("broken", "mended", "other", "added", "gone")}
    for test in all_tests(ledger, new):
        former = before.pop(_key(test), None)
        if former is None:
            found["added"].append(test)
        elif former.status != test.status:
            kind = {"failed": "broken", "passed": "mended"}.get(test.status, "other")
            found[kind if "failed" in (former.status, test.status) else "other"].append(test)
    found["gone"] = list(before.values())
    return found


def _key(test: TestResult) -> tuple[str, str]:
    # an id may run in several scenarios, which differ in their names
    return (test.uuid, test.name.rpartition(".")[2]) if test.uuid else ("", test.name)
