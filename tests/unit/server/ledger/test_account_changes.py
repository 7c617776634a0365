from __future__ import annotations

import pytest

from refstack_worker.errors import NotFoundError, RefusedError, StateError
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.links import Link
from refstack_worker.server.domain.runs import RunQuery
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.monitor.due_schedules import start_due
from refstack_worker.server.notify.messages import Composer
from tests.support.ledgers import Clock, claimed, new_run, queued
from tests.support.notifications import subscribe
from tests.support.schedules import schedule, stored_cloud


class Team:
    """``ann`` and ``abe`` of Acme."""

    def __init__(self, ledger: Ledger) -> None:
        self.vendor = ledger.accounts.add_vendor("Acme").id
        self.ann, self.abe = (ledger.accounts.add_user(name, f"{name}@x", self.vendor).id for name in ("ann", "abe"))
        self.token = ledger.tokens.add("ann", ["vendor"], self.ann)
        self.session = ledger.sessions.add(self.token[0])


@pytest.fixture
def team(ledger: Ledger) -> Team:
    return Team(ledger)


def is_let_in(ledger: Ledger, team: Team) -> bool:
    other_process = Ledger(ledger.settings, ledger.clock)  # whose cache of tokens is empty
    try:
        found = {bool(other_process.tokens.find(team.token[1])), bool(other_process.sessions.find(team.session))}
    finally:
        other_process.close()
    (answer,) = found
    return answer


@pytest.mark.parametrize("who", ["user", "vendor"])
def test_who_is_disabled_is_let_in_nowhere_and_can_be_enabled_again(ledger: Ledger, team: Team, who: str) -> None:
    number = team.ann if who == "user" else team.vendor
    changes = ledger.account_changes
    assert is_let_in(ledger, team) and not changes.is_disabled(team.ann)
    getattr(changes, f"disable_{who}")(number, "op")
    assert not is_let_in(ledger, team) and changes.is_disabled(team.ann)
    assert changes.is_disabled(team.abe) == (who == "vendor")
    getattr(changes, f"enable_{who}")(number)
    assert is_let_in(ledger, team)


def test_nothing_happens_in_the_name_of_who_is_disabled(ledger: Ledger, clock: Clock, team: Team) -> None:
    one, told = schedule(ledger, team.ann), subscribe(ledger, owner_id=team.ann).id
    ledger.account_changes.disable_user(team.ann, "op")
    ledger.runs.cancel(ledger.runs.add(new_run(owner_id=team.ann)).test_id, "op")
    ledger.deliveries.fan_out(Composer(ledger))
    assert ledger.deliveries.of(told) == []
    clock.time = one.next_at
    assert start_due(ledger) == 0 and ledger.schedules.get(one.id).problem == "its owner is disabled"


@pytest.mark.parametrize("who", ["user", "vendor"])
def test_runs_that_wait_are_cancelled_and_those_that_started_go_on(ledger: Ledger, team: Team, who: str) -> None:
    going, waiting = claimed(ledger, owner_id=team.ann), queued(ledger, owner_id=team.ann)
    other = queued(ledger)
    assert ledger.deadlines.overdue() == []
    getattr(ledger.account_changes, f"disable_{who}")(team.ann if who == "user" else team.vendor, "op")
    (found,) = ledger.deadlines.overdue()
    assert ledger.deadlines.expire(found) and ledger.deadlines.overdue() == []
    states = [ledger.runs.get(job.submission.key.test_id).state.value for job in (going, waiting, other)]
    assert states == ["claimed", "cancelled", "queued"]
    assert not ledger.attempts.claim(waiting.proof, Claim(waiting.claim_id, "node", "47.0.0")).granted
    assert "its owner is disabled" in ledger.runs.get(waiting.submission.key.test_id).message


class TestLinks:
    """Links that need no sign-in tell verdicts of now and later: to whom, is for the owner of now to say."""

    @pytest.fixture
    def secrets(self, ledger: Ledger, team: Team) -> list[str]:
        cloud = stored_cloud(ledger, team.ann)
        run = ledger.runs.add(new_run(owner_id=team.ann)).test_id
        return [ledger.links.add(one)[1] for one in (Link(0, run, None), Link(0, None, cloud, "P"))]

    def work(self, ledger: Ledger, secrets: list[str]) -> list[bool]:
        return [self.works(ledger, one) for one in secrets]

    def works(self, ledger: Ledger, secret: str) -> bool:
        try:
            return bool(ledger.links.find(secret))
        except NotFoundError:
            return False

    @pytest.mark.parametrize("who", ["user", "vendor"])
    def test_those_of_the_disabled_work_again_when_they_are_enabled(
        self, ledger: Ledger, team: Team, secrets: list[str], who: str
    ) -> None:
        number = team.ann if who == "user" else team.vendor
        assert self.work(ledger, secrets) == [True, True]
        getattr(ledger.account_changes, f"disable_{who}")(number, "op")
        assert self.work(ledger, secrets) == [False, False]
        getattr(ledger.account_changes, f"enable_{who}")(number)
        assert self.work(ledger, secrets) == [True, True]

    def test_they_end_when_all_is_handed_over_to_another_vendor(
        self, ledger: Ledger, team: Team, secrets: list[str]
    ) -> None:
        changes = ledger.account_changes
        bob = ledger.accounts.add_user("bob", "bob@x", ledger.accounts.add_vendor("Bravo").id).id
        changes.transfer(team.ann, team.abe)
        assert self.work(ledger, secrets) == [True, True], "a badge of the vendor goes on"
        changes.transfer(team.abe, bob)
        assert self.work(ledger, secrets) == [False, False]
        changes.transfer(bob, team.ann)
        assert self.work(ledger, secrets) == [False, False]

    def test_they_end_when_their_owner_changes_the_vendor(self, ledger: Ledger, team: Team, secrets: list[str]) -> None:
        change, bravo = ledger.account_changes.change_user, ledger.accounts.add_vendor("Bravo").id
        change(team.ann, {"name": "Ann", "vendor_id": team.vendor})
        change(team.abe, {"vendor_id": bravo})
        assert self.work(ledger, secrets) == [True, True]
        change(team.ann, {"vendor_id": None})
        assert self.work(ledger, secrets) == [False, False]


def test_a_vendor_can_have_a_limit_of_its_own(ledger: Ledger, team: Team) -> None:
    ledger.account_changes.limit_vendor(team.vendor, 1)
    ledger.runs.add(new_run(owner_id=team.ann))
    with pytest.raises(RefusedError, match="1 of 1"):
        ledger.runs.add(new_run(owner_id=team.abe))
    ledger.account_changes.limit_vendor(team.vendor, 0)
    ledger.runs.add(new_run(owner_id=team.abe))
    object.__setattr__(ledger.settings.rules, "max_open_runs", 2)
    ledger.account_changes.limit_vendor(team.vendor, None)
    with pytest.raises(RefusedError, match="2 of 2"):
        ledger.runs.add(new_run(owner_id=team.abe))
    ledger.account_changes.limit_vendor(team.vendor, 3)
    ledger.runs.add(new_run(owner_id=team.abe))


def test_a_limit_and_a_stop_are_kept_apart(ledger: Ledger, team: Team) -> None:
    changes = ledger.account_changes
    changes.disable_vendor(team.vendor, "op")
    changes.limit_vendor(team.vendor, 5)
    changes.enable_vendor(team.vendor)
    assert changes.states().limits == {team.vendor: 5} and changes.states().vendors == {}


def test_a_user_is_removed_after_what_the_user_has_is_handed_over(ledger: Ledger, team: Team) -> None:
    changes = ledger.account_changes
    run = ledger.runs.add(new_run(owner_id=team.ann)).test_id
    cloud = stored_cloud(ledger, team.ann)
    one, told = schedule(ledger, team.ann, cloud_id=cloud), subscribe(ledger, owner_id=team.ann)
    with pytest.raises(StateError, match="still owns a run"):
        changes.remove_user(team.ann)
    changes.transfer(team.ann, team.abe)
    assert ledger.runs.get(run).owner_id == team.abe
    assert ledger.clouds.get(cloud, None).cloud.user_id == team.abe
    assert ledger.schedules.get(one.id).owner_id == ledger.subscriptions.get(told.id).owner_id == team.abe
    changes.remove_user(team.ann)
    with pytest.raises(NotFoundError):
        ledger.accounts.user(team.ann)
    assert [token.user_id for token in ledger.tokens.all()] == [] and not is_let_in(ledger, team)
    assert len(ledger.runs.find(RunQuery())) == 1


def test_the_former_users_receiver_hears_nothing_of_the_new_ones_runs(ledger: Ledger, team: Team) -> None:
    """Security: the address is still the one who handed it over."""
    told = subscribe(ledger, owner_id=team.ann)
    ledger.account_changes.transfer(team.ann, team.abe)
    found = ledger.subscriptions.get(told.id)
    assert found.paused_at and "handed over" in found.problem
    ledger.subscriptions.resume(told.id)
    assert not ledger.subscriptions.get(told.id).problem


def test_a_vendor_is_removed_without_users_only(ledger: Ledger, team: Team) -> None:
    changes = ledger.account_changes
    changes.limit_vendor(team.vendor, 3)
    with pytest.raises(StateError, match="still has users"):
        changes.remove_vendor(team.vendor)
    for user in (team.ann, team.abe):
        changes.change_user(user, {"vendor_id": None})
    changes.remove_vendor(team.vendor)
    assert ledger.accounts.vendors() == [] and changes.states().limits == {}


def test_names_and_addresses_stay_unique(ledger: Ledger, team: Team) -> None:
    with pytest.raises(StateError, match="this name or address"):
        ledger.account_changes.change_user(team.ann, {"email": "abe@x"})
    ledger.accounts.add_vendor("Bravo")
    with pytest.raises(StateError, match="this name or address"):
        ledger.account_changes.change_vendor(team.vendor, {"vendor_name": "Bravo"})
    with pytest.raises(NotFoundError, match="vendor 99"):
        ledger.account_changes.change_user(team.ann, {"vendor_id": 99})


def test_only_tokens_that_have_ended_leave_the_list(ledger: Ledger, team: Team) -> None:
    number = team.token[0].id
    with pytest.raises(StateError, match="revoke it first"):
        ledger.tokens.remove(number)
    ledger.tokens.revoke(number)
    ledger.tokens.remove(number)
    assert ledger.tokens.all() == []
    with pytest.raises(NotFoundError):
        ledger.tokens.remove(number)
