"""How many processes find their accounts: the program's own functions, with a provider that hands out the first one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refstack_worker.execute_test.tempest.accounts.rehearsal_program import REHEARSAL_PROGRAM

PAIR = json.dumps([["a", "member"], ["b", "member"]])
ONE = json.dumps([["a", "member"]])
RARE = json.dumps([["a", "member"], ["r", "ResellerAdmin"]])


class Provider:
    """Accounts by their roles, handed out in their order, as Tempest does."""

    def __init__(self, *accounts: set[str]) -> None:
        self.accounts = accounts
        self.taken: set[int] = set()
        self.mine: list[int] = []
        self.asked: list[list[str]] = []

    def fresh(self, taken: set[int]) -> Provider:
        other = Provider(*self.accounts)
        other.taken = taken
        return other

    def is_role_available(self, role: str) -> bool:
        return any(role in roles for roles in self.accounts)

    def get_creds_by_roles(self, roles: list[str], force_new: bool) -> None:
        assert force_new
        self.asked.append(roles)
        for at, had in enumerate(self.accounts):
            if set(roles) <= had and at not in self.taken:
                self.taken.add(at)
                self.mine.append(at)
                return
        raise ValueError("all accounts that would do are in use")


@pytest.fixture(scope="module")
def program() -> dict[str, Any]:
    """The names that the program defines."""
    text, call = REHEARSAL_PROGRAM.rstrip().rsplit("\n", 1)
    assert call == "main()"
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102 - the program itself
    return names


MEMBERS = [{"member"} for _ in range(8)]


@pytest.mark.parametrize(
    ("accounts", "weights", "wanted", "processes", "serial"),
    [
        (MEMBERS, {PAIR: 10, ONE: 10}, 4, 4, []),
        (MEMBERS[:6], {PAIR: 10}, 4, 3, []),
        (MEMBERS[:3], {PAIR: 10}, 2, 1, []),
        (MEMBERS[:3], {PAIR: 1, ONE: 99}, 2, 2, [PAIR]),
        ([*MEMBERS, {"ResellerAdmin"}], {PAIR: 50, RARE: 5}, 4, 4, [RARE]),
        ([*MEMBERS, {"ResellerAdmin"}, {"ResellerAdmin"}], {PAIR: 50, RARE: 5}, 2, 2, []),
    ],
    ids=["enough", "fewer processes", "serial", "pairs wait", "one rare account", "two rare accounts"],
)
def test_no_process_is_left_without_an_account(
    program: dict[str, Any], accounts: list[set[str]], weights: dict[str, int], wanted: int, processes: int,
    serial: list[str],
) -> None:  # fmt: skip
    found = program["schedule"](Provider(*accounts), sorted(weights), weights, wanted)
    assert (found["processes"], found["serial"]) == (processes, serial)


def test_what_cannot_be_served_at_all(program: dict[str, Any]) -> None:
    why, asked = program["alone"](Provider({"member"}), json.loads(PAIR))
    assert (why, asked) == ("all accounts that would do are in use", [["member"], ["member"]])
    assert program["alone"](Provider({"member"}), json.loads(RARE))[0] == "no account has the role ResellerAdmin"
    assert program["alone"](Provider({"member"}), json.loads(ONE))[0] == ""
