from __future__ import annotations

import pytest

from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.rates import Rates
from refstack_worker.server.serving.rate_limit import Limiter
from tests.support.ledgers import Clock


def limiter(ledger: Ledger, clock: Clock, per_minute: int) -> Limiter:
    return Limiter("x", Rates(lambda: ledger.database, clock), per_minute, clock)


def waits(limiter: Limiter, key: str, calls: int) -> list[bool]:
    return [bool(allowance and allowance.wait) for allowance in (limiter.take(key) for _ in range(calls))]


def test_so_many_a_minute_and_again_after_a_while(ledger: Ledger, clock: Clock) -> None:
    one = limiter(ledger, clock, 6)
    assert waits(one, "a", 6) == [False] * 6
    blocked = one.take("a")
    assert blocked and blocked.wait == pytest.approx(10)
    assert waits(one, "b", 1) == [False]
    clock.forward(10.1)
    assert waits(one, "a", 2) == [False, True]


def test_processes_share_the_limit(ledger: Ledger, clock: Clock) -> None:
    processes = [limiter(ledger, clock, 100) for _ in range(4)]
    let_through = sum(not blocked for one in processes for blocked in waits(one, "a", 100))
    assert let_through == 100


def test_a_call_that_costs_much_counts_as_several(ledger: Ledger, clock: Clock) -> None:
    one = limiter(ledger, clock, 60)
    assert [bool(left and left.wait) for left in (one.take("a", 20) for _ in range(4))] == [False, False, False, True]
    blocked = one.take("a", 20)
    assert blocked and blocked.wait == pytest.approx(20, abs=1)
    clock.forward(21)
    again = one.take("a", 20)
    assert again and not again.wait


def test_what_is_left_is_told(ledger: Ledger, clock: Clock) -> None:
    one = limiter(ledger, clock, 3)
    first, second = one.take("a"), one.take("a")
    assert first and first.headers == {"RateLimit-Limit": "3", "RateLimit-Remaining": "2", "RateLimit-Reset": "20"}
    assert second and second.left == 1


def test_a_clock_that_was_set_back_takes_nothing_away(ledger: Ledger, clock: Clock) -> None:
    rates = Rates(lambda: ledger.database, clock)
    assert rates.take("a", 10, 4).count == 4
    clock.forward(-1000)
    assert rates.take("a", 10, 10).count == 6


def test_no_limit(ledger: Ledger, clock: Clock) -> None:
    assert limiter(ledger, clock, 0).take("a") is None
