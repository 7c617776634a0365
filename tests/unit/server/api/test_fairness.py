"""No vendor takes more than a share of what all use."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import select, update

from refstack_worker.contract.export_formats import SIGNED_VERDICT
from refstack_worker.server.db import queue_tables
from refstack_worker.server.domain.attempts import Claim
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.results import acceptance
from tests.support.ledgers import Event, stream, submit
from tests.support.two_vendors import World
from tests.unit.server.domain.test_verdict import schema_2


class TestFairness:
    def test_only_an_operator_puts_runs_before_those_of_others(self, world: World) -> None:
        refused = world.ann("POST", "/v1/runs", world.wish(priority=1))
        assert refused.status_code == 400 and refused.json["errors"][0]["field"] == "priority"
        assert world.ann("POST", "/v1/runs", world.wish(priority=-1)).json["priority"] == -1
        assert world.operator("POST", "/v1/runs", world.wish(priority=1)).json["priority"] == 1

    def test_a_rerun_by_its_owner_is_not_first_again(self, world: World) -> None:
        run = world.ann("POST", "/v1/runs", world.wish()).json["test_id"]
        world.ledger.runs.cancel(run, "ann")
        with world.ledger.database.writing() as connection:
            connection.execute(update(queue_tables.run).where(queue_tables.run.c.test_id == run).values(priority=1))
        assert world.ann("POST", f"/v1/runs/{run}/rerun", {"only": "all"}).json["priority"] == 0

    def test_a_rerun_may_fetch_only_what_the_operator_still_allows(self, world: World) -> None:
        """L19: the list was allowed when the run was made."""
        lists = world.ledger.settings.outbound
        object.__setattr__(lists, "list_urls", ("https://lists.example/",))
        wish = world.wish(testcases={"url": "https://lists.example/tests.txt"})
        run = world.ann("POST", "/v1/runs", wish).json["test_id"]
        world.ledger.runs.cancel(run, "ann")
        assert world.ann("POST", f"/v1/runs/{run}/rerun", {"only": "all"}).status_code == 201
        object.__setattr__(lists, "list_urls", ())
        answer = world.ann("POST", f"/v1/runs/{run}/rerun", {"only": "all"})
        assert answer.status_code == 400 and "testcases.url" in answer.text

    def test_a_vendor_has_so_many_guidelines_and_no_more(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """M5: each guideline costs every page that lists them."""
        monkeypatch.setattr("refstack_worker.server.services.guidelines.MAX_OF_VENDOR", 2)
        second = {"text": schema_2(), "name": "second"}
        assert world.ann("POST", "/v1/guidelines", second).status_code == 400, "the same file under another name"
        assert world.abe("POST", "/v1/guidelines", second).status_code == 201
        third = {"text": f"{schema_2()} ", "name": "third"}
        answer = world.ann("POST", "/v1/guidelines", third)
        assert answer.status_code == 409 and "2 guidelines" in answer.json["detail"]
        assert world.bob("POST", "/v1/guidelines", {"text": schema_2(), "name": "of Bravo"}).status_code == 201
        world.ann("DELETE", f"/v1/guidelines/{world.guideline}")
        assert world.ann("POST", "/v1/guidelines", third).status_code == 201

    def test_a_guideline_that_judged_nothing_goes_and_others_stay_stored(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Deleted ones stayed for ever: adding and deleting filled the disk."""
        mine = world.ledger.accounts.users()[0].id
        world.ann("DELETE", f"/v1/guidelines/{world.guideline}")
        assert world.ledger.guidelines.count_of([mine]) == (0, 0)
        kept = world.ann("POST", "/v1/guidelines", {"text": schema_2()}).json["id"]
        chosen = {"id": kept, "program": "Storage"}
        assert world.ann("POST", "/v1/runs", world.wish(guideline=chosen)).status_code == 201
        world.ann("DELETE", f"/v1/guidelines/{kept}")
        assert world.ledger.guidelines.count_of([mine]) == (0, 1)
        monkeypatch.setattr("refstack_worker.server.services.guidelines.MAX_STORED", 1)
        answer = world.ann("POST", "/v1/guidelines", {"text": f"{schema_2()} ", "name": "next"})
        assert answer.status_code == 409 and "deleted" in answer.json["detail"]

    def test_a_vendors_own_guideline_is_not_much_larger_than_real_ones(self, world: World) -> None:
        text = schema_2() + " " * 1024 * 1024
        assert world.ann("POST", "/v1/guidelines", {"text": text, "name": "large"}).status_code == 400
        assert world.operator("POST", "/v1/guidelines", {"text": text, "name": "large"}).status_code == 201

    def test_a_vendor_has_so_many_clouds_and_no_more(self, world: World) -> None:
        object.__setattr__(world.ledger.settings.rules, "max_clouds", 2)
        cloud = {"label": "x", "endpoint_v3": "https://x.example/v3"}
        assert world.abe("POST", "/v1/clouds", cloud).status_code == 201
        answer = world.ann("POST", "/v1/clouds", cloud)
        assert answer.status_code == 409 and "2 clouds" in answer.json["detail"]
        assert world.bob("POST", "/v1/clouds", cloud).status_code == 201

    def test_a_vendor_fills_no_more_of_the_database_than_its_share(self, world: World) -> None:
        object.__setattr__(world.ledger.settings.rules, "max_stored", 1)
        names = [f"tempest.{'x' * 400}.{number}" for number in range(1500)]
        first = world.ann("POST", "/v1/runs", world.wish(testcases={"names": names}))
        second = world.ann("POST", "/v1/runs", world.wish(testcases={"names": names}))
        assert (first.status_code, second.status_code) == (201, 201)
        for who in (world.ann, world.abe):
            answer = who("POST", "/v1/runs", world.wish())
            assert answer.status_code == 409 and "1 of 1 MiB" in answer.json["detail"]
        imported = {"content": base64.b64encode(stream([Event("a")])).decode(), "tempest_version": "47.0.0"}
        assert world.ann("POST", "/v1/imports", imported).status_code == 409
        bobs = {"tempest_version": "47.0.0", "conf_json": {"identity": {"uri_v3": "https://b.example/v3"}}}
        assert world.bob("POST", "/v1/runs", bobs).status_code == 201
        world.ledger.runs.cancel(first.json["test_id"], "ann")
        world.ann("DELETE", f"/v1/runs/{first.json['test_id']}")
        assert world.ann("POST", "/v1/runs", world.wish()).status_code == 201

    def test_what_a_result_takes_counts(self, world: World) -> None:
        run = world.ann("POST", "/v1/runs", world.wish()).json["test_id"]
        job = submit(world.ledger, run)
        world.ledger.attempts.claim(job.proof, Claim(job.claim_id, "node", "47.0.0"))
        file = world.folder / "result"
        file.write_bytes(stream([Event(f"a.B.c{number}", "fail", "x" * 5000) for number in range(100)]))
        acceptance.accept(world.ledger, job.proof, Upload.of(file, {}))
        with world.ledger.database.reading() as connection:
            assert connection.execute(select(queue_tables.run.c.stored_kib)).scalar_one() > 480

    def test_a_name_of_an_option_that_can_be_read_in_many_ways_stops_nobody(self, world: World) -> None:
        """It took hours, in which no other thread of the server went on."""
        answer = world.ann("POST", "/v1/runs", world.wish(conf_json={"a." * 38 + "X": {"no option!": 1}}))
        assert answer.status_code == 400

    def test_a_vendor_with_many_open_runs_has_to_wait(self, world: World) -> None:
        object.__setattr__(world.ledger.settings.rules, "max_open_runs", 1)
        assert world.ann("POST", "/v1/runs", world.wish()).status_code == 201
        answer = world.abe("POST", "/v1/runs", world.wish())
        assert answer.status_code == 409 and "open runs: 1 of 1" in answer.json["detail"]
        bobs = {"tempest_version": "47.0.0", "conf_json": {"identity": {"uri_v3": "https://b.example/v3"}}}
        assert world.bob("POST", "/v1/runs", bobs).status_code == 201

    def test_a_stored_guideline_with_a_name_that_is_too_long_is_refused_by_name(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Such files were taken before there was a limit; what they judged stays."""
        run = world.ann("POST", "/v1/runs", world.wish(guideline={"id": world.guideline, "program": "Storage"})).json
        world.finish(run["test_id"], 1)
        verdict = f"/v1/runs/{run['test_id']}/verdict"
        before = world.ann("GET", verdict).json
        long = ".".join("a" * 20_000)
        text = schema_2().replace("tempest.a.T.test_get", long)
        assert long in text
        answer = world.ann("POST", "/v1/guidelines", {"text": text, "name": "long"})
        assert answer.status_code == 400 and "has 39999 characters" in answer.json["detail"]
        with monkeypatch.context() as patched:
            patched.setattr("refstack_worker.server.domain.guideline_file.MAX_TEST_NAME", 100_000)
            old = world.ann("POST", "/v1/guidelines", {"text": text, "name": "long"}).json["id"]
        chosen = {"id": old, "program": "Storage"}
        for answer in (
            world.ann("GET", f"/v1/guidelines/{old}"),
            world.ann("GET", f"{verdict}?guideline=long&program=Storage"),
            world.ann("POST", "/v1/runs", world.wish(guideline=chosen)),
            world.ann("POST", "/v1/runs/check", world.wish(guideline=chosen)),
        ):
            assert answer.status_code == 400 and "the test name a.a." in answer.json["detail"]
        assert world.ann("GET", verdict).json == before
        assert [one["name"] for one in world.ann("GET", "/v1/guidelines").json["guidelines"]] == ["long", "2020.06"]
        assert world.ann("DELETE", f"/v1/guidelines/{old}").status_code in (200, 204)

    def test_to_sign_a_verdict_counts_as_a_download(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """By another guideline it judges the whole result."""
        run = world.ann("POST", "/v1/runs", world.wish(guideline={"id": world.guideline, "program": "Storage"})).json
        world.finish(run["test_id"], 1)
        path = f"/v1/runs/{run['test_id']}/exports/{SIGNED_VERDICT}"
        assert world.ann("GET", path).status_code == 200
        monkeypatch.setattr("refstack_worker.server.serving.downloads.MAX_OF_ONE", 0)
        assert world.ann("GET", path).status_code == 429

    def test_a_split_run_that_is_asked_for_again_is_the_same_at_the_limit_too(self, world: World) -> None:
        object.__setattr__(world.ledger.settings.rules, "max_open_runs", 2)
        admin = {"auth": {"admin_username": "admin", "admin_password": "a-pass-2846"}}
        wish = world.wish(shards=2, conf_json=admin, testcases={"names": ["tempest.api.object_storage"]})
        first, again = (world.ann("POST", "/v1/runs", wish, **{"Idempotency-Key": "a"}) for _ in range(2))
        assert first.status_code == again.status_code == 201 and first.json["kind"] == "split"
        assert again.json["test_id"] == first.json["test_id"]
        other = world.ann("POST", "/v1/runs", wish, **{"Idempotency-Key": "b"})
        assert (other.status_code, other.json["reason"]) == (409, "open-runs"), other.json
