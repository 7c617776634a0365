"""The database's clock counts, whatever the machines of the server believe."""

from __future__ import annotations

import pytest

from refstack_worker.errors import LedgerError
from refstack_worker.server.db.clock import ASK_SECONDS, NOTE_SECONDS, Clocks, DatabaseClock

DATABASE_TIME = 1_800_000_000.0


class Machine:
    """A machine whose wall clock is off, and that reaches the database after ``trip`` seconds."""

    def __init__(self, skew: float = 0.0) -> None:
        self.steady = 500.0
        self.skew = skew
        self.database = DATABASE_TIME
        self.is_away = False
        self.asked = 0
        self.trip = 0.0
        self.noted: list[tuple[float, float]] = []
        clocks = Clocks(lambda: self.steady, lambda: self.database + self.skew)
        self.clock = DatabaseClock(self.ask, clocks, self.note)

    def ask(self) -> float:
        if self.is_away:
            raise LedgerError("database: away")
        self.asked += 1
        self.forward(self.trip / 2)
        answer = self.database
        self.forward(self.trip / 2)
        return answer

    def note(self, skew: float, now: float) -> None:
        self.noted.append((round(skew, 3), now))

    def forward(self, seconds: float) -> None:
        self.steady += seconds
        self.database += seconds


@pytest.mark.parametrize("skew", [-65.0, 0.0, 65.0])
def test_machines_whose_clocks_differ_agree(skew: float) -> None:
    machine = Machine(skew)
    assert machine.clock() == pytest.approx(DATABASE_TIME)
    assert machine.clock.skew == pytest.approx(skew)


def test_it_counts_on_between_two_questions() -> None:
    machine = Machine(65.0)
    machine.clock()
    machine.forward(ASK_SECONDS / 2)
    machine.skew = -3600.0
    assert machine.clock() == pytest.approx(machine.database)
    assert machine.asked == 1


def test_it_follows_the_database_when_that_is_set() -> None:
    machine = Machine()
    machine.clock()
    machine.database += 30
    machine.forward(ASK_SECONDS)
    assert machine.clock() == pytest.approx(machine.database)


def test_the_way_to_the_database_is_not_counted() -> None:
    machine = Machine()
    machine.trip = 0.8
    assert machine.clock() == pytest.approx(machine.database)


def test_a_late_answer_does_not_replace_a_good_one() -> None:
    machine = Machine()
    machine.clock()
    machine.forward(ASK_SECONDS)
    machine.trip = 7.0
    assert machine.clock() == pytest.approx(machine.database)


def test_it_goes_on_while_the_database_is_away() -> None:
    machine = Machine(65.0)
    machine.clock()
    machine.is_away = True
    machine.forward(100 * ASK_SECONDS)
    assert machine.clock() == pytest.approx(machine.database)


def test_before_the_first_answer_the_machines_own_clock_has_to_do() -> None:
    machine = Machine(65.0)
    machine.is_away = True
    assert machine.clock() == pytest.approx(DATABASE_TIME + 65)
    machine.is_away = False
    assert machine.clock() == pytest.approx(DATABASE_TIME)


def test_each_machine_notes_how_far_its_clock_is_off() -> None:
    machine = Machine(65.0)
    for _ in range(4):
        machine.clock()
        machine.forward(ASK_SECONDS)
    assert machine.noted == [(65.0, pytest.approx(DATABASE_TIME))]
    machine.skew = 60.0
    machine.clock()
    machine.forward(NOTE_SECONDS + 1)
    machine.clock()
    assert [skew for skew, _now in machine.noted] == [65.0, 60.0, 60.0]


def test_a_note_that_is_not_kept_stops_no_clock() -> None:
    machine = Machine(65.0)
    machine.clock()
    machine.clock._note = lambda _skew, _now: (_ for _ in ()).throw(LedgerError("database: away"))
    machine.forward(NOTE_SECONDS + 1)
    assert machine.clock() == pytest.approx(machine.database)
