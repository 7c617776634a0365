"""The users' side over HTTP: whose is what, scopes, limits, guidelines, verdicts, events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from refstack_worker.config.server import ServerSettings
from refstack_worker.contract.states import RunState
from refstack_worker.server.api.description import RESOURCES
from refstack_worker.server.api.openapi.document import path_of
from refstack_worker.server.api.routing import Operation
from refstack_worker.server.app import create_app
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.services import sharing
from tests.support.ledgers import Clock
from tests.support.notifications import subscribe
from tests.support.two_vendors import PASSWORD, Who, World
from tests.unit.server.domain.test_verdict import UUIDS


def operations() -> list[Operation]:
    return [operation for resource in RESOURCES for operation in resource.operations]


def ending_operations() -> list[Operation]:
    """All but the stream of all runs, which never ends; whose runs it tells is tested with the events."""
    return [one for one in operations() if one.rule != "/v1/events"]


def test_every_route_of_the_api_has_a_description(ledger: Ledger) -> None:
    app = create_app(ledger)
    served = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/v1/")
    }
    assert served == {(one.method, one.rule) for one in operations()}


class TestWhose:
    @pytest.fixture
    def runs(self, world: World) -> tuple[int, int]:
        done = world.ann("POST", "/v1/runs", world.wish(label="of Acme")).json["test_id"]
        world.finish(done, 1, 4)
        return done, world.ann("POST", "/v1/runs", world.wish(label="of Acme")).json["test_id"]

    @pytest.mark.parametrize("operation", ending_operations(), ids=lambda one: f"{one.method} {one.rule}")
    def test_every_route_as_the_wrong_user(self, world: World, runs: tuple[int, int], operation: Operation) -> None:
        token = world.ledger.tokens.all()[0].id
        mine = subscribe(world.ledger, owner_id=world.ann.user_id, target="https://acme.example/hook").id
        path = path_of(operation)
        names = {"other": runs[1], "cloud_id": world.cloud.cloud.id, "guideline_id": world.guideline, "name": "json",
                 "vendor_id": world.vendors[1], "user_id": 1, "link_id": 1, "token_id": token, "number": mine,
                 "reason": "usage", "node": "n"}  # fmt: skip
        for test_id in runs:
            where = path.format(**{**names, "test_id": test_id})
            answer = world.bob(operation.method, where, operation.takes.example)
            about_one = "{test_id}" in path or "{cloud_id}" in path or "{guideline_id}" in path or "{number}" in path
            if about_one:
                assert answer.status_code == 404, (where, answer.text)
            assert "Acme" not in answer.text and PASSWORD not in answer.text and "t.C.test" not in answer.text
        assert world.ledger.runs.get(runs[1]).state is RunState.QUEUED
        assert world.ledger.runs.get(runs[0]).counts.total == 2
        assert world.ledger.tokens.all()[0].revoked_at == 0

    def test_a_run_against_somebody_elses_cloud(self, world: World) -> None:
        answer = world.bob("POST", "/v1/runs", world.wish())
        assert answer.status_code == 400 and "Acme" not in answer.text

    def test_the_same_idempotency_key_of_another_vendor_is_another_run(self, world: World) -> None:
        key = {"Idempotency-Key": "k"}
        first = world.ann("POST", "/v1/runs", {"tempest_version": "47.0.0"}, **key).json["test_id"]
        assert world.ann("POST", "/v1/runs", {"tempest_version": "47.0.0"}, **key).json["test_id"] == first
        assert world.bob("POST", "/v1/runs", {"tempest_version": "47.0.0"}, **key).json["test_id"] != first

    def test_a_colleague_sees_and_may_cancel(self, world: World, runs: tuple[int, int]) -> None:
        assert len(world.abe("GET", "/v1/runs").json["runs"]) == 2
        assert world.abe("POST", f"/v1/runs/{runs[1]}/cancel", {}).status_code == 200

    def test_shared_runs_may_be_looked_at_and_no_more(self, world: World, runs: tuple[int, int]) -> None:
        path = f"/v1/runs/{runs[0]}"
        assert world.ann("POST", f"{path}/shares", {"vendor": "Bravo"}).status_code == 200
        assert world.bob("GET", path).status_code == 200
        assert [run["test_id"] for run in world.bob("GET", "/v1/runs").json["runs"]] == [runs[0]]
        calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("DELETE", "", {}), ("POST", "/rerun", {}), ("POST", "/upload", {}), ("POST", "/cancel", {}),
            ("DELETE", "/shares/1", {}), ("POST", "/shares", {"vendor_id": world.vendors[1]}), ("GET", "/shares", {}),
        )  # fmt: skip
        assert world.reader("GET", f"{path}/shares").json["vendors"]
        for method, tail, body in calls:
            assert world.bob(method, path + tail, body).status_code == 404, tail
        assert world.ann("DELETE", f"{path}/shares/{world.vendors[1]}").status_code == 204
        assert world.bob("GET", path).status_code == 404
        assert world.ann("DELETE", f"{path}/shares/{world.vendors[1]}").status_code == 404

    def test_ids_do_not_tell_which_vendors_there_are(self, world: World, runs: tuple[int, int]) -> None:
        path, other = f"/v1/runs/{runs[0]}/shares", world.vendors[1]
        refused = [world.ann("POST", path, {"vendor_id": number}) for number in (other, 999)]
        assert [one.status_code for one in refused] == [404, 404]
        assert refused[0].text.replace(str(other), "N") == refused[1].text.replace("999", "N")
        assert world.ann("GET", path).json["vendors"] == []
        # known from a share of one's own, also of a colleague's
        assert world.abe("POST", f"/v1/runs/{runs[1]}/shares", {"vendor": "bravo"}).status_code == 200
        assert world.ann("POST", path, {"vendor_id": other}).json["shares"] == [{"id": other, "name": "Bravo"}]
        third = world.ledger.accounts.add_vendor("Charlie").id
        assert world.bob("POST", path, {"vendor_id": third}).status_code == 404
        assert world.operator("POST", path, {"vendor_id": third}).json["vendors"] == [other, third]

    def test_a_run_is_shared_with_so_many_vendors_and_no_more(
        self, world: World, runs: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sharing, "MAX_SHARES", 1)
        world.ledger.accounts.add_vendor("Charlie")
        path = f"/v1/runs/{runs[0]}/shares"
        assert [world.ann("POST", path, {"vendor": name}).status_code for name in ("Bravo", "Bravo", "Charlie")] == [
            200,
            200,
            400,
        ]

    def test_ones_own_run_is_compared_with_nobody_elses(self, world: World, runs: tuple[int, int]) -> None:
        own = world.bob("POST", "/v1/runs", {"tempest_version": "47.0.0"}).json["test_id"]
        world.finish(own, 2)
        for pair in ((own, runs[0]), (runs[0], own)):
            answer = world.bob("GET", f"/v1/runs/{pair[0]}/compare/{pair[1]}")
            assert answer.status_code == 404 and "t.C.test" not in answer.text
        assert world.bob("GET", f"/v1/runs/{own}/compare/{own}").status_code == 200

    def test_who_may_only_look_changes_nothing(self, world: World, runs: tuple[int, int]) -> None:
        assert world.reader("GET", f"/v1/runs/{runs[1]}").status_code == 200
        calls = (
            ("POST", f"/v1/runs/{runs[1]}/cancel"),
            ("POST", "/v1/runs"),
            ("DELETE", f"/v1/runs/{runs[0]}"),
            ("PUT", f"/v1/clouds/{world.cloud.cloud.id}"),
        )
        for method, path in calls:
            answer = world.reader(method, path, world.wish())
            assert (answer.status_code, answer.json["reason"]) == (403, "scope"), path


class TestLimits:
    def client(self, settings: ServerSettings, clock: Clock, **limits: int) -> tuple[Ledger, FlaskClient]:
        ledger = Ledger(replace(settings, web=replace(settings.web, **limits)), clock)
        ledger.upgrade()
        return ledger, create_app(ledger).test_client()

    def test_a_token_that_calls_too_often_waits(self, settings: ServerSettings, clock: Clock) -> None:
        ledger, client = self.client(settings, clock, rate_limit=3)
        who = Who(ledger, client, "x", ["operator"], None)
        statuses = [who("GET", "/v1/me").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert int(who("GET", "/v1/me").headers["Retry-After"]) >= 1

    def test_the_tokens_of_a_user_share_the_limit(self, settings: ServerSettings, clock: Clock) -> None:
        """Users make tokens for themselves."""
        ledger, client = self.client(settings, clock, rate_limit=4)
        ann, bob = (ledger.accounts.add_user(name, f"{name}@x").id for name in ("ann", "bob"))
        own = [Who(ledger, client, "x", ["vendor"], ann) for _ in range(3)]
        assert [one("GET", "/v1/me").status_code for one in own * 2] == [200, 200, 200, 200, 429, 429]
        assert Who(ledger, client, "x", ["vendor"], bob)("GET", "/v1/me").status_code == 200

    def test_a_large_body_counts_as_many_calls(self, settings: ServerSettings, clock: Clock) -> None:
        ledger, client = self.client(settings, clock, rate_limit=100)
        who = Who(ledger, client, "x", ["operator"], None)
        assert who("GET", "/v1/me").headers["RateLimit-Remaining"] == "99"
        left = who("POST", "/v1/runs/check", {"label": "x" * 8192 * 40}).headers["RateLimit-Remaining"]
        assert int(left) <= 99 - 40 - 5
        chunked = {"Transfer-Encoding": "chunked"}
        assert client.post("/v1/runs/check", headers={**who.headers, **chunked}).status_code == 429

    @pytest.mark.parametrize("path", ["/v1/me", "/metrics"])
    def test_who_guesses_tokens_waits(self, settings: ServerSettings, clock: Clock, path: str) -> None:
        ledger, client = self.client(settings, clock, sign_in_limit=3)
        good = Who(ledger, client, "x", ["operator"], None)
        ask = [client.get(path, headers={"Authorization": f"Bearer x{n}"}).status_code for n in range(5)]
        assert ask == [401, 401, 401, 429, 429]
        assert client.post("/sign-in", data={"token": "x"}).status_code == 429
        # and does not shut out a user whose token is good
        assert good("GET", path).status_code == 200

    def test_signing_in_again_and_again_counts_as_calls(self, settings: ServerSettings, clock: Clock) -> None:
        ledger, client = self.client(settings, clock, rate_limit=3)
        secret = ledger.tokens.add("x", ["vendor"], ledger.accounts.add_user("ann", "a@x").id)[1]
        statuses = [client.post("/sign-in", data={"token": secret}).status_code for _ in range(5)]
        assert statuses == [302, 302, 302, 429, 429]

    def test_processes_share_the_limits(self, settings: ServerSettings, clock: Clock) -> None:
        ledger, client = self.client(settings, clock, rate_limit=4)
        who, other = Who(ledger, client, "x", ["operator"], None), create_app(ledger).test_client()
        statuses = [one.get("/v1/me", headers=who.headers).status_code for _ in range(4) for one in (client, other)]
        assert statuses.count(200) == 4 and statuses.count(429) == 4

    def test_a_browser_counts_as_its_token(self, settings: ServerSettings, clock: Clock) -> None:
        ledger, client = self.client(settings, clock, rate_limit=4)
        token = ledger.tokens.add("x", ["operator"])[1]
        assert client.post("/sign-in", data={"token": token}).status_code == 302
        assert [client.get("/runs").status_code for _ in range(5)] == [200, 200, 200, 429, 429]


class TestGuidelines:
    def test_a_run_by_program_and_its_verdict(self, world: World) -> None:
        chosen = {"name": "2020.06", "program": "storage", "advisory": True}
        made = world.ann("POST", "/v1/runs", world.wish(guideline=chosen)).json
        asked = [
            f"a.T.test_put[id-{UUIDS[1]}]",
            f"a.T.test_old[id-{UUIDS[2]}]",
            f"b.T.test_older[id-{UUIDS[2]},alias]",
            f"a.T.test_get[id-{UUIDS[4]}]",
            f"a.T.test_new[id-{UUIDS[5]}]",
        ]
        assert made["testcases"] == {"names": [f"tempest.{entry}" for entry in asked]}
        path = f"/v1/runs/{made['test_id']}/verdict"
        assert world.ann("GET", path).status_code == 404
        world.finish(made["test_id"], 1, 2, 4, 5)
        told = world.ann("GET", path).json
        assert (told["passed"], told["required"]["passed"], told["required"]["total"]) == (False, 2, 3)
        assert told["advisory"]["passed"] == 1
        other = world.ann("GET", f"{path}?guideline=2020.06&program=Half").json
        assert other["program"] == "Half"

    @pytest.mark.parametrize(
        "chosen",
        [{}, {"name": "2020.06"}, {"name": "2020.06", "program": "no"}, {"name": "1999.01", "program": "Storage"}, "x",
         {"id": 0, "program": "Storage"}, {"name": "2020.06", "program": "Storage", "more": 1}],
    )  # fmt: skip
    def test_wrong_choices(self, world: World, chosen: Any) -> None:
        assert world.ann("POST", "/v1/runs", world.wish(guideline=chosen)).status_code == 400

    def test_nothing_is_fetched_from_where_the_operator_did_not_allow_it(self, world: World) -> None:
        for call in (lambda url: world.ann("POST", "/v1/guidelines", {"url": url}),
                     lambda url: world.ann("POST", "/v1/runs", world.wish(testcases={"url": url}))):  # fmt: skip
            answer = call("http://169.254.169.254/latest")
            assert answer.status_code == 400 and "operator" in answer.json["detail"]


class TestRuns:
    def test_kept_passwords_go_along_and_given_ones_win(self, world: World) -> None:
        first = world.ann("POST", "/v1/runs", world.wish()).json["test_id"]
        assert world.ledger.runs.conf_json(first) == {"identity": {"password": PASSWORD}}
        conf = {"identity": {"password": "another-one"}}
        second = world.ann("POST", "/v1/runs", world.wish(conf_json=conf)).json["test_id"]
        assert world.ledger.runs.conf_json(second) == conf

    def test_place_delete_compare(self, world: World) -> None:
        ids = [world.ann("POST", "/v1/runs", world.wish()).json["test_id"] for _ in range(3)]
        assert [world.ann("GET", f"/v1/runs/{one}/place").json["ahead"] for one in ids] == [0, 1, 2]
        assert world.ann("DELETE", f"/v1/runs/{ids[0]}").status_code == 409
        world.finish(ids[0], 1, 4)
        world.finish(ids[1], 1, 2)
        found = world.ann("GET", f"/v1/runs/{ids[1]}/compare/{ids[0]}").json
        assert [len(found[kind]) for kind in ("broken", "mended", "added", "gone")] == [0, 0, 1, 1]
        assert world.ann("DELETE", f"/v1/runs/{ids[0]}").status_code == 204
        assert world.ann("GET", f"/v1/runs/{ids[0]}").status_code == 404

    def test_demand_and_metrics(self, world: World) -> None:
        world.ann("POST", "/v1/runs", world.wish())
        (row,) = world.operator("GET", "/v1/demand").json["demand"]
        assert (row["queued"], row["slots"], row["needed"]) == (1, 0, 1)
        assert 'refstack_slots_needed{function="refstack:tempest:47.0.0"} 1' in world.operator("GET", "/metrics").text
        assert world.ann("GET", "/metrics").status_code == 403


class TestSelections:
    def test_what_is_left_out_of_a_guideline_does_not_run_and_counts(self, world: World) -> None:
        chosen = {"name": "2020.06", "program": "storage"}
        exclude = [{"test": "tempest.a.T.test_put", "reason": "bug 1"}]
        made = world.ann("POST", "/v1/runs", world.wish(guideline=chosen, exclude=exclude)).json
        assert not [name for name in made["testcases"]["names"] if "test_put" in name]
        world.finish(made["test_id"], 2, 4)
        verdict = world.ann("GET", f"/v1/runs/{made['test_id']}/verdict").json
        lacking = {
            one["name"]: one.get("reason") for cap in verdict["required"]["capabilities"] for one in cap["lacking"]
        }
        assert lacking["tempest.a.T.test_put"] == "left out: bug 1"

    def test_all_api_tests_run_and_the_required_ones_are_judged(self, world: World) -> None:
        chosen = {"name": "2020.06", "program": "Half", "tests": "api"}
        made = world.ann("POST", "/v1/runs", world.wish(guideline=chosen)).json
        assert made["testcases"]["regexes"] == ["^tempest\\.api\\."]
        assert f"tempest.a.T.test_get[id-{UUIDS[4]}]" in made["testcases"]["names"]
        world.finish(made["test_id"], 4)
        assert world.ann("GET", f"/v1/runs/{made['test_id']}/verdict").json["program"] == "Half"

    def test_the_tests_of_a_program(self, world: World) -> None:
        path = f"/v1/guidelines/{world.guideline}/tests"
        required = world.ann("GET", f"{path}?program=half").json["tests"]
        assert [test["name"] for test in required] == [
            f"tempest.a.T.test_{name}" for name in ("get", "put", "old", "bad")
        ]
        assert required[2] == {
            "name": "tempest.a.T.test_old",
            "uuid": UUIDS[2],
            "aliases": ["tempest.b.T.test_older"],
            "flagged": False,
        }
        both = world.ann("GET", f"{path}?program=Storage&level=required,advisory").json["tests"]
        assert both[-1]["name"] == "tempest.a.T.test_new"
        assert world.ann("GET", f"{path}?program=Storage&level=x").status_code == 400
        assert world.ann("GET", f"{path}?program=none").status_code == 404
