"""Schedules start their runs once, however many monitors look and whenever one of them dies."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from refstack_worker.contract.states import RunState
from refstack_worker.errors import LedgerError
from refstack_worker.server.domain.notifications import EventKind
from refstack_worker.server.domain.runs import Run, RunQuery
from refstack_worker.server.domain.schedules import Schedule, Times
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.schedules import LEASE_SECONDS
from refstack_worker.server.monitor.due_schedules import MAX_LATE_SECONDS, BackgroundStarts, start_due
from refstack_worker.server.notify import mail
from refstack_worker.server.notify.messages import Composer
from refstack_worker.server.results import confined
from refstack_worker.server.services.schedules import ScheduleService
from tests.support.ledgers import PASSWORD, Clock
from tests.support.notifications import subscribe
from tests.support.schedules import schedule

DAY = 86400.0


def runs(ledger: Ledger) -> list[Run]:
    return ledger.runs.find(RunQuery())


def due(ledger: Ledger, clock: Clock, one: Schedule) -> None:
    """Let the time come at which a schedule is due next."""
    clock.time = ledger.schedules.get(one.id).next_at


def test_a_recording_when_it_is_due_as_its_owner_would_start_it(ledger: Ledger, clock: Clock) -> None:
    user = ledger.accounts.add_user("ann", "ann@x.example", ledger.accounts.add_vendor("Acme").id).id
    one = schedule(ledger, user, label="nightly")
    clock.time = one.next_at - 1
    assert start_due(ledger) == 0
    due(ledger, clock, one)
    assert start_due(ledger) == 1 and start_due(ledger) == 0
    (run,) = runs(ledger)
    assert (run.owner_id, run.cloud.id, run.label, run.created_by) == (user, one.cloud_id, "nightly", "ann")
    assert ledger.runs.conf_json(run.test_id)["identity"]["password"] == PASSWORD
    now = ledger.schedules.get(one.id)
    assert (now.last_test_id, now.last_at, now.next_at) == (run.test_id, one.next_at, one.next_at + DAY)


def test_monitors_that_look_at_once_start_one_run(ledger: Ledger, clock: Clock) -> None:
    one = schedule(ledger)
    due(ledger, clock, one)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: start_due(ledger), range(8))) == 1
    assert len(runs(ledger)) == 1


def test_a_monitor_that_dies_after_it_started_a_recording_no_second(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = schedule(ledger)
    due(ledger, clock, one)
    with monkeypatch.context() as patched:
        patched.setattr(ledger.schedules, "close", lambda *_: (_ for _ in ()).throw(LedgerError("gone")))
        with pytest.raises(LedgerError):
            start_due(ledger)
    assert start_due(ledger) == 0  # the lease of the dead one
    clock.forward(LEASE_SECONDS + 1)
    assert start_due(ledger) == 1
    assert len(runs(ledger)) == 1 and ledger.schedules.get(one.id).last_test_id == runs(ledger)[0].test_id


def test_database_trouble_is_no_reason_to_leave_a_run_out(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = schedule(ledger)
    due(ledger, clock, one)
    with monkeypatch.context() as patched:
        patched.setattr(ScheduleService, "start", lambda *_: (_ for _ in ()).throw(LedgerError("away")))
        with pytest.raises(LedgerError):
            start_due(ledger)
    clock.forward(LEASE_SECONDS + 1)
    assert start_due(ledger) == 1 and ledger.schedules.get(one.id).problem == ""


def test_runs_do_not_pile_up(ledger: Ledger, clock: Clock) -> None:
    one = schedule(ledger)
    due(ledger, clock, one)
    start_due(ledger)
    due(ledger, clock, one)
    assert start_due(ledger) == 0 and len(runs(ledger)) == 1
    assert ledger.schedules.get(one.id).problem == "the previous run 1 has not ended"
    ledger.runs.cancel(1, "me")
    due(ledger, clock, one)
    assert start_due(ledger) == 1 and ledger.schedules.get(one.id).problem == ""


def test_what_was_missed_for_long_is_left_out(ledger: Ledger, clock: Clock) -> None:
    one = schedule(ledger)
    clock.time = one.next_at + MAX_LATE_SECONDS - 1
    assert start_due(ledger) == 1
    ledger.runs.cancel(1, "me")
    clock.time = ledger.schedules.get(one.id).next_at + MAX_LATE_SECONDS + 1
    assert start_due(ledger) == 0 and "no monitor" in ledger.schedules.get(one.id).problem
    assert ledger.schedules.get(one.id).next_at > clock()


def test_a_run_that_cannot_start_is_told_to_who_asked(ledger: Ledger, clock: Clock) -> None:
    user = ledger.accounts.add_user("ann", "ann@x.example").id
    told = subscribe(ledger, EventKind.SCHEDULE_SKIPPED, owner_id=user).id
    other = subscribe(ledger, EventKind.SCHEDULE_SKIPPED, owner_id=ledger.accounts.add_user("bob", "b@x").id).id
    one = schedule(ledger, user, body={"guideline": {"id": 99, "program": "storage"}, "tempest_version": "47.0.0"})
    due(ledger, clock, one)
    assert start_due(ledger) == 0 and runs(ledger) == []
    assert "guideline" in ledger.schedules.get(one.id).problem
    ledger.deliveries.fan_out(Composer(ledger))
    assert [len(ledger.deliveries.of(number)) for number in (told, other)] == [1, 0]
    (message,) = ledger.deliveries.take(9)
    assert mail.subject_of(message.body) == "RefStack: schedule 1 started no run"


def test_a_paused_schedule_starts_nothing_and_makes_up_for_nothing(ledger: Ledger, clock: Clock) -> None:
    one = schedule(ledger, times=Times.of("02:30", ("mon",)))
    ledger.schedules.pause(one.id)
    due(ledger, clock, one)
    assert start_due(ledger) == 0
    ledger.schedules.resume(one.id)
    assert start_due(ledger) == 0 and ledger.schedules.get(one.id).next_at == one.next_at + 7 * DAY


def test_a_vendors_limit_of_open_runs_holds_here_too(ledger: Ledger, clock: Clock) -> None:
    user = ledger.accounts.add_user("ann", "ann@x.example").id
    object.__setattr__(ledger.settings.rules, "max_open_runs", 1)
    first, second = schedule(ledger, user), schedule(ledger, user)
    due(ledger, clock, first)
    assert start_due(ledger) == 1
    assert [run.state for run in runs(ledger)] == [RunState.QUEUED]
    assert "open runs" in ledger.schedules.get(second.id).problem


def test_the_schedules_of_one_vendor_do_not_go_before_those_of_others(ledger: Ledger, clock: Clock) -> None:
    acme = ledger.accounts.add_vendor("Acme").id
    ann, abe = (ledger.accounts.add_user(name, f"{name}@x", acme).id for name in ("ann", "abe"))
    bob = ledger.accounts.add_user("bob", "b@x").id
    many = [schedule(ledger, owner).id for owner in (ann, abe) * 3]
    other = schedule(ledger, bob)
    due(ledger, clock, other)
    taken = [one.id for one in ledger.schedules.take_due()]
    assert taken == [many[0], other.id, many[1]]
    assert [one.id for one in ledger.schedules.take_due()] == many[2:4]


def test_what_takes_long_to_start_is_started_beside_the_caller(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts, go_on, start = BackgroundStarts(ledger), threading.Event(), ScheduleService.start
    for one in [schedule(ledger) for _ in range(5)]:
        due(ledger, clock, one)
    monkeypatch.setattr(ScheduleService, "start", lambda *given: go_on.wait(30) and start(*given))
    for _ in range(3):
        starts.look()
    assert not runs(ledger) and not starts.wait(0.0)
    go_on.set()
    assert starts.wait(30) and len(runs(ledger)) == 5


def test_trouble_in_the_background_is_tried_again(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    starts = BackgroundStarts(ledger)
    due(ledger, clock, schedule(ledger))
    with monkeypatch.context() as patched:
        patched.setattr(ScheduleService, "start", lambda *_: (_ for _ in ()).throw(LedgerError("away")))
        starts.look()
        assert starts.wait(30) and "not started yet: away" in caplog.text
    clock.forward(LEASE_SECONDS + 1)
    starts.look()
    assert starts.wait(30) and len(runs(ledger)) == 1


def test_no_tests_are_looked_for_where_the_limit_of_open_runs_is_reached(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = ledger.accounts.add_user("ann", "ann@x.example").id
    object.__setattr__(ledger.settings.rules, "max_open_runs", 1)
    first, second = schedule(ledger, user), schedule(ledger, user, body={"tempest_version": "47.0.0", "shards": 2})
    monkeypatch.setattr(confined, "chosen_tests", lambda *_: pytest.fail("tests were looked for"))
    due(ledger, clock, first)
    assert start_due(ledger) == 1
    assert "open runs: 1 of 1" in ledger.schedules.get(second.id).problem


def test_a_schedule_that_was_closed_while_the_clock_was_ahead_is_due_as_before(ledger: Ledger, clock: Clock) -> None:
    daily, weekly = schedule(ledger), schedule(ledger, times=Times.of("04:00", ("mon",)), cloud_id=1)
    before = [ledger.schedules.get(one.id).next_at for one in (daily, weekly)]
    clock.forward(30 * DAY)
    assert start_due(ledger) == 0, "missed"
    clock.forward(-30 * DAY)
    assert ledger.schedules.pull_back() == 2
    assert [ledger.schedules.get(one.id).next_at for one in (daily, weekly)] == before
    due(ledger, clock, daily)
    assert start_due(ledger) == 1 and ledger.schedules.pull_back() == 0


def test_a_schedule_that_was_taken_while_the_clock_was_ahead_is_taken_again(ledger: Ledger, clock: Clock) -> None:
    one = schedule(ledger)
    due(ledger, clock, one)
    clock.forward(30 * DAY)
    assert len(ledger.schedules.take_due()) == 1, "and its monitor dies"
    clock.forward(-30 * DAY)
    ledger.schedules.pull_back()
    assert start_due(ledger) == 1


def test_one_schedule_that_meets_a_fault_keeps_no_other_from_starting(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = schedule(ledger)
    good = schedule(ledger, cloud_id=broken.cloud_id)
    start = ScheduleService.start

    def fails(service: ScheduleService, due: Schedule) -> Run:
        if due.id == broken.id:
            raise KeyError("what an earlier version stored")
        return start(service, due)

    monkeypatch.setattr(ScheduleService, "start", fails)
    due(ledger, clock, good)
    assert start_due(ledger) == 1
    assert ledger.schedules.get(good.id).last_test_id is not None
    said = ledger.schedules.get(broken.id)
    assert "KeyError" in said.problem and said.next_at == broken.next_at + DAY
