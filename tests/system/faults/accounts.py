"""What the ledger says of runs, and what is wrong with it whatever happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.system.faults.place import TESTS, Place

ENDS = ("finished", "failed", "cancelled")
Row = dict[str, Any]


@dataclass
class Account:
    """All rows of one run."""

    run: Row
    attempts: list[Row] = field(default_factory=list)
    results: list[Row] = field(default_factory=list)
    tests: list[Row] = field(default_factory=list)
    """Of its results."""
    said: list[Row] = field(default_factory=list)

    @property
    def outcomes(self) -> list[str]:
        """How each attempt ended."""
        return [row["outcome"] or "open" for row in self.attempts]

    def wrong(self) -> list[str]:
        """What must not be: each result counted once, of the last attempt, nothing open, no secret kept, one end."""
        return [*self._result(), *self._attempts(), *self._end()]

    def _result(self) -> list[str]:
        run, wrong = self.run, []
        names = [row["name"] for row in self.tests]
        is_finished = run["state"] == "finished"
        if len(self.results) != is_finished:
            wrong.append(f"{len(self.results)} results of a run that is {run['state']}")
        if len(names) != len(set(names)) or len(names) != (run["passed"] + run["failed"] + run["skipped"]):
            wrong.append(f"tests are not counted once: {names}")
        if is_finished and run["passed"] != len(TESTS):
            why = [f"{row['name']}: {row['reason'].strip()[-400:]}" for row in self.tests if row["status"] != "passed"]
            wrong.append("; ".join([f"{run['passed']} of {len(TESTS)} tests passed", *why]))
        if is_finished and self.results and self.results[0]["attempt"] != run["attempt"]:
            wrong.append(f"the result is of attempt {self.results[0]['attempt']}, the run at {run['attempt']}")
        return wrong

    def _attempts(self) -> list[str]:
        numbers = [row["attempt"] for row in self.attempts]
        wrong = [f"attempt {row['attempt']} is still open" for row in self.attempts if row["is_open"]]
        wrong += [f"attempt {row['attempt']} has no outcome" for row in self.attempts if not row["outcome"]]
        if numbers != list(range(1, self.run["attempt"] + 1)):
            wrong.append(f"attempts {numbers} of a run at attempt {self.run['attempt']}")
        return wrong

    def _end(self) -> list[str]:
        wrong = []
        if self.run["sealed_conf"] is not None:
            wrong.append("the sealed passwords were not wiped")
        ends = [row["message"] for row in self.said if row["message"].partition(":")[0] in ENDS]
        if len(ends) != 1:
            wrong.append(f"the end was announced {len(ends)} times: {ends}")
        return wrong


def unnamed(left: Iterable[str], said: str) -> list[str]:
    """Return what is left in the cloud although no message names its project."""
    projects = {name: name.partition(" ")[2].partition("-project-")[0] for name in left}
    return [name for name in left if projects[name] not in said]


def accounts(place: Place, *test_ids: int) -> dict[int, Account]:
    """Read the ledger's rows of these runs, or of all."""
    found = {row["test_id"]: Account(row) for row in _rows(place, "queue_run", test_ids)}
    for table, name in (
        ("queue_attempt", "attempts"),
        ("queue_result", "results"),
        ("queue_result_test", "tests"),
        ("test_status", "said"),
    ):
        of_run: dict[int, list[Row]] = defaultdict(list)
        for row in _rows(place, table, test_ids):
            of_run[row["test_id"]].append(row)
        for test_id, account in found.items():
            setattr(account, name, of_run[test_id])
    for account in found.values():
        account.attempts.sort(key=lambda row: int(row["attempt"]))
    return found


def _rows(place: Place, table: str, test_ids: Sequence[int]) -> list[Row]:
    if test_ids:
        return place.rows(f"SELECT * FROM {table} WHERE test_id = ANY(:ids)", ids=list(test_ids))  # noqa: S608
    return place.rows(f"SELECT * FROM {table}")  # noqa: S608 - one of the tables above
