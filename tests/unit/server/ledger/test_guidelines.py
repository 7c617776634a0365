"""Guidelines and verdicts as facts: what is official, and that nothing changes what was judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from refstack_worker.contract import attempt_token
from refstack_worker.contract.outcomes import Counts
from refstack_worker.errors import NotFoundError, UsageError
from refstack_worker.server.db import guideline_tables, legacy_tables
from refstack_worker.server.domain.accounts import AccessScope
from refstack_worker.server.domain.attempts import Claim, Proof
from refstack_worker.server.domain.guideline_file import parse
from refstack_worker.server.domain.guidelines import OFFICIAL, OWN, Choice, StoredGuideline
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.domain.runs import IMPORTED, NewRun, RunSpec
from refstack_worker.server.domain.verdict import judge
from refstack_worker.server.domain.verdict_facts import verdict_of
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from tests.support.ledgers import Clock, Event, Job, claimed, stream
from tests.unit.server.domain.test_verdict import UUIDS, results, schema_2

LENIENT = schema_2(**{"tempest.a.T.test_put": {"idempotent_id": f"id-{UUIDS[1]}"}}).replace('"get", "put"', '"put"')
"""Requires one test alone."""


@pytest.fixture
def vendor(ledger: Ledger) -> int:
    return ledger.accounts.add_user("mallory", "m@x").id


def official(ledger: Ledger, text: str = schema_2()) -> StoredGuideline:
    return ledger.guidelines.add(text, StoredGuideline(0, "", "", "interop", "op"))


def own(ledger: Ledger, vendor: int, text: str, name: str = "") -> StoredGuideline:
    return ledger.guidelines.add(text, StoredGuideline(0, name, "", "", "mallory", vendor))


def finished(ledger: Ledger, folder: Path, guideline: StoredGuideline, left_out: dict[str, str] | None = None) -> Job:
    job = claimed(ledger)
    ledger.guidelines.choose(job.submission.key.test_id, Choice(guideline.id, "Storage", False, left_out or {}))
    file = folder / "result"
    file.write_bytes(
        stream([Event(f"tempest.a.T.test_put[id-{UUIDS[1]}]"), Event("tempest.a.T.test_get", "fail", "boom")])
    )
    acceptance.accept(ledger, job.proof, Upload.of(file, {"cpid": "c" * 32}))
    return job


class TestOfficial:
    def test_a_forged_guideline_of_an_official_name_is_refused(self, ledger: Ledger, vendor: int) -> None:
        official(ledger)
        for name in ("", "2020.06", "2020-06", "2020.06.json", "2020 06"):
            with pytest.raises(UsageError, match="name of an official guideline"):
                own(ledger, vendor, LENIENT, name)
        assert own(ledger, vendor, LENIENT, "our nightly").origin == OWN

    @pytest.mark.parametrize("name", ["2020.06\u200b", "２０２０.０６", "2020\u202406", " 2020.06", "a" * 61])
    def test_names_that_only_look_like_another_are_refused(self, ledger: Ledger, vendor: int, name: str) -> None:
        with pytest.raises(UsageError, match="its name must be"):
            own(ledger, vendor, LENIENT, name)

    def test_a_forged_guideline_that_was_there_first_never_stands_for_the_official_one(
        self, ledger: Ledger, vendor: int
    ) -> None:
        forged = own(ledger, vendor, LENIENT)
        mallory = AccessScope((vendor,))
        with pytest.raises(NotFoundError):
            ledger.guidelines.get("2020.06")
        assert ledger.guidelines.get("2020.06", mallory)[0].id == forged.id
        real = official(ledger)
        assert ledger.guidelines.get("2020.06")[0].id == real.id == ledger.guidelines.get("2020.06", mallory)[0].id
        assert ledger.guidelines.get(forged.id)[0].origin == OWN

    def test_a_forged_guideline_does_not_become_official_when_its_owner_goes(self, ledger: Ledger, vendor: int) -> None:
        forged = own(ledger, vendor, LENIENT)
        with ledger.database.writing() as connection:
            connection.execute(update(guideline_tables.guideline).values(owner_id=None))
            connection.execute(delete(legacy_tables.user).where(legacy_tables.user.c.id == vendor))
        assert ledger.guidelines.get(forged.id)[0].origin == OWN
        with pytest.raises(NotFoundError):
            ledger.guidelines.get("2020.06")

    def test_another_vendor_does_not_see_a_vendors_own(self, ledger: Ledger, vendor: int) -> None:
        own(ledger, vendor, LENIENT)
        other = AccessScope((ledger.accounts.add_user("bob", "b@x").id,))
        assert ledger.guidelines.all(other) == []
        with pytest.raises(NotFoundError):
            ledger.guidelines.get("2020.06", other)

    def test_the_newest_official_file_of_a_name_counts(self, ledger: Ledger) -> None:
        official(ledger, LENIENT)
        newer = official(ledger)
        assert ledger.guidelines.get("2020.06")[0].id == newer.id

    def test_a_name_can_be_given_where_the_files_is_wrong(self, ledger: Ledger) -> None:
        stored = ledger.guidelines.add(schema_2(), StoredGuideline(0, "orchestration.2018.02", "", "", "op"))
        assert stored.name == "orchestration.2018.02" and stored.origin == OFFICIAL
        assert ledger.guidelines.get("orchestration.2018.02")[1].id == "orchestration.2018.02"


class TestFrozen:
    def test_a_verdict_is_frozen_with_all_that_it_rests_on(self, ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
        guideline = official(ledger)
        job = finished(ledger, tmp_path, guideline)
        found = ledger.guidelines.verdict_facts(job.submission.key.test_id)
        assert found is not None
        document = found.document
        assert document["guideline"] == {
            "name": "2020.06",
            "origin": "official",
            "sha256": guideline.digest,
            "source": "interop",
            "added_by": "op",
        }
        assert document["run"]["id"] == job.submission.key.test_id and document["run"]["attempt"] == 1
        assert document["node"]["name"] == "node-1" and document["tempest"]["version"] == "47.0.0"
        assert document["cloud"]["cpid"] == "c" * 32
        assert document["result"]["passed"] == 1 and document["result"]["failed"] == 1
        assert len(document["result"]["sha256"]) == 64
        assert found.verdict.count() == (1, 3) and not found.verdict.passed

    def test_a_deleted_guideline_leaves_the_verdict_as_it_was(self, ledger: Ledger, tmp_path: Path) -> None:
        guideline = official(ledger)
        test_id = finished(ledger, tmp_path, guideline).submission.key.test_id
        before = ledger.guidelines.verdict_facts(test_id)
        ledger.guidelines.delete(guideline.id)
        assert ledger.guidelines.verdict_facts(test_id) == before is not None
        assert ledger.guidelines.all(None) == []
        for wanted in ("2020.06", guideline.id):
            with pytest.raises(NotFoundError):
                ledger.guidelines.get(wanted)
        with pytest.raises(NotFoundError):
            ledger.guidelines.delete(guideline.id)

    def test_a_deleted_guideline_judges_the_run_that_was_made_by_it(self, ledger: Ledger, tmp_path: Path) -> None:
        guideline = official(ledger)
        job = claimed(ledger)
        ledger.guidelines.choose(job.submission.key.test_id, Choice(guideline.id, "Storage"))
        ledger.guidelines.delete(guideline.id)
        (tmp_path / "result").write_bytes(stream([Event("tempest.a.T.test_put")]))
        acceptance.accept(ledger, job.proof, Upload.of(tmp_path / "result", {}))
        verdict = ledger.guidelines.verdict(job.submission.key.test_id)
        assert verdict is not None and verdict.count() == (1, 3)

    def test_a_replaced_guideline_leaves_the_verdict_as_it_was(self, ledger: Ledger, tmp_path: Path) -> None:
        test_id = finished(ledger, tmp_path, official(ledger)).submission.key.test_id
        before = ledger.guidelines.verdict_facts(test_id)
        newer = official(ledger, LENIENT)
        assert ledger.guidelines.verdict_facts(test_id) == before is not None
        over = ledger.guidelines.verdict(test_id, Choice(newer.id, "Storage"))
        assert over is not None and over.passed and over.digest == newer.digest

    def test_a_guideline_that_is_added_again_is_offered_again(self, ledger: Ledger) -> None:
        guideline = official(ledger)
        ledger.guidelines.delete(guideline.id)
        assert official(ledger).id == guideline.id == ledger.guidelines.get("2020.06")[0].id

    def test_any_guideline_can_be_laid_over_any_result(self, ledger: Ledger, tmp_path: Path) -> None:
        test_id = finished(ledger, tmp_path, official(ledger)).submission.key.test_id
        half = ledger.guidelines.verdict(test_id, Choice(official(ledger).id, "half"))
        assert half is not None and half.program == "Half" and half.count() == (1, 3)

    def test_what_was_left_out_counts_against_any_guideline(self, ledger: Ledger, tmp_path: Path) -> None:
        guideline = official(ledger)
        job = finished(ledger, tmp_path, guideline, {"tempest.a.T.test_old": "bug 1"})
        for choice in (None, Choice(guideline.id, "Storage")):
            verdict = ledger.guidelines.verdict(job.submission.key.test_id, choice)
            assert verdict is not None
            assert "left out: bug 1" in {test.reason for test in verdict.tests()}

    def test_a_guideline_that_cannot_be_read_any_more_costs_the_verdict_and_not_the_result(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        guideline = official(ledger)
        with ledger.database.writing() as connection:
            connection.execute(update(guideline_tables.guideline).values(text="{"))
        job = finished(ledger, tmp_path, guideline)
        assert ledger.runs.get(job.submission.key.test_id).counts == Counts(1, 1, 0)


def test_a_document_gives_back_its_verdict(ledger: Ledger, tmp_path: Path) -> None:
    guideline = official(ledger)
    test_id = finished(ledger, tmp_path, guideline).submission.key.test_id
    found = ledger.guidelines.verdict_facts(test_id)
    assert found is not None
    again = verdict_of(json.loads(json.dumps(found.document)))
    assert again.to_json() == found.verdict.to_json()
    ran = [("tempest.a.T.test_put", UUIDS[1], "passed"), ("tempest.a.T.test_get", "", "failed")]
    expected = judge(parse(schema_2()), "Storage", results(*ran))
    assert (again.count(), again.refstack_count()) == (expected.count(), expected.refstack_count())


class TestCombined:
    def test_a_rerun_of_what_failed_heals_the_verdict_and_says_that_it_is_combined(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        guideline = official(ledger)
        first = finished(ledger, tmp_path, guideline).submission.key.test_id
        again = claimed(ledger, rerun_of=first)
        second = again.submission.key.test_id
        ledger.guidelines.choose(second, Choice(guideline.id, "Storage", combines=first))
        (tmp_path / "result").write_bytes(stream([Event("tempest.a.T.test_get"), Event("tempest.a.T.test_old")]))
        acceptance.accept(ledger, again.proof, Upload.of(tmp_path / "result", {}))
        alone, together = (ledger.guidelines.verdict_facts(test_id) for test_id in (first, second))
        assert alone is not None and together is not None
        assert (alone.verdict.passed, alone.verdict.combined) == (False, ())
        assert (together.verdict.passed, together.verdict.combined) == (True, (first, second))
        assert [one["run"] for one in together.document["combined"]] == [first, second]
        assert together.document["combined"][0]["sha256"] == alone.document["result"]["sha256"]
        assert together.verdict.flaky() == 1
        assert verdict_of(json.loads(json.dumps(together.document))) == together.verdict

    def test_a_rerun_of_a_rerun_goes_back_to_the_first(self, ledger: Ledger, tmp_path: Path) -> None:
        guideline = official(ledger)
        before = finished(ledger, tmp_path, guideline).submission.key.test_id
        runs = [before]
        for name in ("test_get", "test_old"):
            job = claimed(ledger, rerun_of=before)
            ledger.guidelines.choose(job.submission.key.test_id, Choice(guideline.id, "Storage", combines=before))
            (tmp_path / "result").write_bytes(stream([Event(f"tempest.a.T.{name}")]))
            acceptance.accept(ledger, job.proof, Upload.of(tmp_path / "result", {}))
            before = job.submission.key.test_id
            runs.append(before)
        verdict = ledger.guidelines.verdict(before)
        assert verdict is not None and verdict.passed and verdict.combined == tuple(runs)

    def test_each_run_is_listed_with_its_cloud_and_version(self, ledger: Ledger, tmp_path: Path) -> None:
        first, second = self.rerun(ledger, tmp_path, {"cpid": "c" * 32})
        found = ledger.guidelines.verdict_facts(second)
        assert found is not None and found.verdict.passed and found.verdict.not_combined == ""
        shown = [(one["run"], one["cpid"], one["tempest_version"]) for one in found.document["combined"]]
        assert shown == [(first, "c" * 32, "47.0.0"), (second, "c" * 32, "47.0.0")]

    def test_what_passed_on_another_cloud_does_not_count(self, ledger: Ledger, tmp_path: Path) -> None:
        """What failed is run again on a weak cloud: its verdict must not be that of the strong one."""
        first, second = self.rerun(ledger, tmp_path, {"cpid": "d" * 32})
        found = ledger.guidelines.verdict_facts(second)
        assert found is not None and (found.verdict.passed, found.verdict.count()) == (False, (2, 3))
        assert found.verdict.combined == () and found.document["combined"] == []
        assert f"run {first} is not included: it tested another cloud" in found.verdict.not_combined
        assert verdict_of(json.loads(json.dumps(found.document))) == found.verdict
        laid_over = ledger.guidelines.verdict(second, Choice(official(ledger).id, "Storage"))
        assert laid_over is not None and not laid_over.passed and laid_over.combined == ()

    @pytest.mark.parametrize(("server", "is_same"), [("cloud.example", True), ("other.example", False)])
    def test_where_a_cloud_has_no_id_its_keystone_counts(
        self, ledger: Ledger, tmp_path: Path, server: str, is_same: bool
    ) -> None:
        conf = {"identity": {"uri_v3": f"https://{server}:443/identity/v3", "password": "pw-of-the-second"}}
        _, second = self.rerun(ledger, tmp_path, {}, conf_json=conf)
        verdict = ledger.guidelines.verdict(second)
        assert verdict is not None and verdict.passed is is_same
        assert verdict.not_combined == "" or "its Keystone is another server" in verdict.not_combined

    def test_an_imported_result_is_not_continued(self, ledger: Ledger, tmp_path: Path) -> None:
        """Anything can be imported; what continues it would be signed as if all of it had run here."""
        guideline = official(ledger)
        claim = Claim("claim-of-imported", "imported", "47.0.0")
        held = ledger.runs.add_held(NewRun(RunSpec(tempest_version="47.0.0"), kind=IMPORTED), claim)
        first = held.key.test_id
        ledger.guidelines.choose(first, Choice(guideline.id, "Storage"))
        (tmp_path / "result").write_bytes(stream([Event(f"tempest.a.T.test_put[id-{UUIDS[1]}]")]))
        proof = Proof(first, held.secret, held.key.attempt, attempt_token.mark(claim.claim_id))
        acceptance.accept(ledger, proof, Upload.of(tmp_path / "result", {"cpid": "c" * 32}))
        verdict = ledger.guidelines.verdict(self.continued(ledger, tmp_path, guideline, first, {"cpid": "c" * 32}))
        assert verdict is not None and not verdict.passed and "imported, not run here" in verdict.not_combined

    def rerun(self, ledger: Ledger, folder: Path, summary: dict[str, str], **given: Any) -> tuple[int, int]:
        """A run that fails two tests, and one of those two alone, which passes them."""
        guideline = official(ledger)
        first = finished(ledger, folder, guideline).submission.key.test_id
        return first, self.continued(ledger, folder, guideline, first, summary, **given)

    def continued(
        self,
        ledger: Ledger,
        folder: Path,
        guideline: StoredGuideline,
        first: int,
        summary: dict[str, str],
        **more: Any,
    ) -> int:
        job = claimed(ledger, rerun_of=first, **more)
        test_id = job.submission.key.test_id
        ledger.guidelines.choose(test_id, Choice(guideline.id, "Storage", combines=first))
        (folder / "result").write_bytes(stream([Event("tempest.a.T.test_get"), Event("tempest.a.T.test_old")]))
        acceptance.accept(ledger, job.proof, Upload.of(folder / "result", summary))
        return test_id


def test_lists_show_the_frozen_verdict_in_short(ledger: Ledger, tmp_path: Path) -> None:
    test_id = finished(ledger, tmp_path, official(ledger)).submission.key.test_id
    short = ledger.overview.facts([test_id])[test_id].verdict
    assert short is not None and (short.passed, short.count, short.total) == (False, 1, 3)
