"""A result is accepted once, from the holder of its attempt, and only while the run can still end with it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from refstack_worker.contract.payload import new_secret
from refstack_worker.contract.states import RunState
from refstack_worker.errors import NotFoundError, ResultError
from refstack_worker.server.db import legacy_tables
from refstack_worker.server.domain.attempts import (
    Claim,
    Release,
)
from refstack_worker.server.domain.results import ResultQuery, Upload
from refstack_worker.server.ledger import results
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.ledgers import (
    PASSES,
    PASSWORD,
    Event,
    claimed,
    of_others,
    queued,
    refusal,
    stream,
    submit,
    texts,
)


@pytest.fixture
def upload(tmp_path: Path) -> Callable[..., Upload]:
    def make(data: bytes | None = None, **summary: Any) -> Upload:
        file = tmp_path / f"upload-{new_secret()}"
        file.write_bytes(stream(PASSES) if data is None else data)
        return Upload.of(file, summary)

    return make


class TestResults:
    def test_accepting_finishes_the_run_and_fills_the_legacy_row(
        self, ledger: Ledger, upload: Callable[..., Upload]
    ) -> None:
        job = claimed(ledger)
        test_id = job.submission.key.test_id
        given = upload(exit_code=0)
        accepted = acceptance.accept(ledger, job.proof, given)
        assert (accepted.repeated, accepted.counts.passed, accepted.counts.skipped) == (False, 1, 1)
        run = ledger.runs.get(test_id)
        assert (run.state, run.counts.total) == (RunState.FINISHED, 2)
        with ledger.database.reading() as connection:
            row = (
                connection.execute(select(legacy_tables.test).where(legacy_tables.test.c.id == test_id))
                .mappings()
                .one()
            )
        assert row["finished"] is True and row["subunit"] is None
        assert b"".join(ledger.results.stream(test_id)) == given.path.read_bytes()
        assert ledger.results.get(test_id)["summary"] == {"exit_code": 0}
        first, second = ledger.results.tests(test_id, ResultQuery())
        assert (first.name, first.uuid) == ("a.B.test_c", "00000000-0000-0000-0000-000000000001")
        assert (second.status, second.reason, second.seconds) == ("skipped", "not here", 1.0)
        assert ledger.results.tests(test_id, ResultQuery("passed")) == [first]
        assert ledger.results.tests(test_id, ResultQuery(text="TEST_D")) == [second]
        assert ledger.results.tests(test_id, ResultQuery(after=1)) == [second]

    def test_the_same_bytes_again_get_the_same_answer(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        acceptance.accept(ledger, job.proof, upload())
        before = texts(ledger, job.submission.key.test_id)
        assert acceptance.accept(ledger, job.proof, upload()).repeated
        assert texts(ledger, job.submission.key.test_id) == before
        assert refusal(lambda: acceptance.accept(ledger, job.proof, upload(stream(PASSES[:1])))) == "accepted"
        assert ledger.runs.get(job.submission.key.test_id).counts.total == 2

    def test_many_at_once_are_accepted_once(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        given = [upload() for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda one: acceptance.accept(ledger, job.proof, one), given))
        assert sorted(answer.repeated for answer in answers) == [False] + [True] * 5
        assert len(ledger.results.tests(job.submission.key.test_id, ResultQuery())) == 2

    def test_only_the_holder_posts_the_result(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        for proof in of_others(job):
            assert refusal(lambda proof=proof: ledger.attempts.check_known(proof)) == "claimed"
            assert refusal(lambda proof=proof: acceptance.accept(ledger, proof, upload())) == "claimed"
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED
        assert not acceptance.accept(ledger, job.proof, upload()).repeated
        for proof in of_others(job):
            assert refusal(lambda proof=proof: acceptance.accept(ledger, proof, upload())) == "claimed", (
                "nor tells about it"
            )

    def test_a_result_that_races_with_anothers_claim_is_refused(
        self, ledger: Ledger, upload: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = queued(ledger)
        real = results._run_of

        def claimed_meanwhile(test_id: int) -> Any:
            monkeypatch.setattr(results, "_run_of", real)
            assert ledger.attempts.claim(job.proof, Claim(job.claim_id, "node-1")).granted
            return real(test_id)

        monkeypatch.setattr(results, "_run_of", claimed_meanwhile)
        # SQLite goes on to see what it saw first, PostgreSQL sees the claim
        refused = refusal(lambda: acceptance.accept(ledger, replace(job.proof, mark=""), upload()))
        assert refused in ("claimed", "unclaimed")
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED

    def test_a_superseded_attempt_never_overwrites(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        old = claimed(ledger)
        ledger.attempts.requeue(old.submission.key, Release.LOST, "silent")
        assert refusal(lambda: acceptance.accept(ledger, old.proof, upload())) == "superseded"
        new = submit(ledger, old.submission.key.test_id).by("c2")
        ledger.attempts.claim(new.proof, Claim(new.claim_id, "node-2"))
        acceptance.accept(ledger, new.proof, upload())
        assert refusal(lambda: acceptance.accept(ledger, old.proof, upload(stream(PASSES[:1])))) == "superseded"
        assert refusal(lambda: acceptance.accept(ledger, old.proof, upload())) == "superseded"
        assert ledger.results.get(old.submission.key.test_id)["attempt"] == 2

    def test_no_result_for_what_has_ended_or_was_never_claimed(
        self, ledger: Ledger, upload: Callable[..., Upload]
    ) -> None:
        job = queued(ledger)
        assert refusal(lambda: acceptance.accept(ledger, job.proof, upload())) == "unclaimed"
        ledger.runs.cancel(job.submission.key.test_id, "me")
        assert refusal(lambda: acceptance.accept(ledger, job.proof, upload())) == "ended"

    def test_a_result_under_way_wins_over_a_cancel(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        ledger.runs.cancel(job.submission.key.test_id, "me")
        acceptance.accept(ledger, job.proof, upload())
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.FINISHED

    def test_a_damaged_stream_leaves_the_run_as_it_was(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        with pytest.raises(ResultError):
            acceptance.accept(ledger, job.proof, upload(stream(PASSES)[:-3]))
        assert ledger.runs.get(job.submission.key.test_id).state is RunState.CLAIMED
        assert not acceptance.accept(ledger, job.proof, upload()).repeated

    def test_a_large_stream_comes_back_whole(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        import random

        noise = random.Random(7)
        data = stream([Event(f"t.{i}", "fail", noise.randbytes(40_000).hex()) for i in range(60)])
        job = claimed(ledger)
        acceptance.accept(ledger, job.proof, upload(data))
        pieces = list(ledger.results.stream(job.submission.key.test_id))
        assert b"".join(pieces) == data and max(map(len, pieces)) <= 1024 * 1024

    def test_each_test_is_stored_as_it_was_parsed(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        odd = 'a "quoted" \\u0041 %s %(name)s :value {brace} \'; -- \U0001f600 \u00e9\n\ttab'
        events = [
            Event("tempest.api.m.C.test_odd", "fail", odd, 0.123456789),
            Event("tempest.api.m.C.test_\u00fc[a,b]"),
        ]
        events += [Event(f"tempest.api.m.C.test_{n}", seconds=n / 7) for n in range(1100)]
        posted = upload(stream(events))
        with acceptance.masked(posted, (), ledger.settings.data) as result:
            parsed = list(result.tests)
        job = claimed(ledger)
        acceptance.accept(ledger, job.proof, posted)
        stored = ledger.results.tests(job.submission.key.test_id, ResultQuery(limit=2000))
        assert stored == parsed
        assert len(stored) == 1102 and odd in stored[0].reason

    def test_passwords_in_tracebacks_are_masked(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        job = claimed(ledger)
        data = stream([Event("t", "fail", f"Unauthorized: {{'password': '{PASSWORD}'}}")])
        acceptance.accept(ledger, job.proof, upload(data))
        (test,) = ledger.results.tests(job.submission.key.test_id, ResultQuery())
        assert test.reason == "Unauthorized: {'password': '***'}"

    def test_anonymous(self, ledger: Ledger, upload: Callable[..., Upload]) -> None:
        test_id = acceptance.accept_anonymous(ledger, upload())
        assert len(ledger.results.tests(test_id, ResultQuery())) == 2
        with pytest.raises(NotFoundError):
            ledger.runs.get(test_id)
