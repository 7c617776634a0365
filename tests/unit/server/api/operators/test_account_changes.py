from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from refstack_worker.server.db import legacy_tables
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.callers import Callers, Somebody
from tests.support.ledgers import Clock, new_run


@pytest.fixture
def callers(ledger: Ledger) -> Callers:
    return Callers(ledger)


def test_a_vendor_is_changed_limited_and_disabled(callers: Callers) -> None:
    path = f"/v1/vendors/{callers.acme}"
    body = {"name": "Acme Inc", "contact_email": "", "max_open_runs": 7}
    changed = callers.operator("PUT", path, body).json
    assert (changed["name"], changed["contact_email"], changed["max_open_runs"]) == ("Acme Inc", "", 7)
    assert callers.operator("PUT", path, {"max_open_runs": None, "disabled": True}).json["max_open_runs"] is None
    (vendor,) = [one for one in callers.operator("GET", "/v1/vendors").json["vendors"] if one["id"] == callers.acme]
    assert vendor["disabled"] and vendor["name"] == "Acme Inc"
    assert callers.ann("GET", "/v1/me").status_code == callers.abe("GET", "/v1/me").status_code == 401
    assert callers.bob("GET", "/v1/me").status_code == 200
    callers.operator("PUT", path, {"disabled": False})
    assert callers.operator("DELETE", path).status_code == 409


def test_a_user_is_moved_handed_over_and_removed(callers: Callers) -> None:
    run = callers.ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id
    path = f"/v1/users/{callers.ann.user_id}"
    moved = callers.operator("PUT", path, {"vendor_id": callers.bravo, "name": "Ann B"}).json
    assert (moved["vendor_id"], moved["name"], moved["disabled"]) == (callers.bravo, "Ann B", False)
    assert callers.bob("GET", f"/v1/runs/{run}").status_code == 200
    assert callers.abe("GET", f"/v1/runs/{run}").status_code == 404
    assert callers.operator("DELETE", path).status_code == 409
    assert callers.operator("POST", f"{path}/transfer", {"to_user_id": callers.ann.user_id}).status_code == 400
    assert callers.operator("POST", f"{path}/transfer", {"to_user_id": callers.abe.user_id}).json["name"] == "abe"
    assert callers.operator("DELETE", path).status_code == 204
    assert callers.abe("GET", f"/v1/runs/{run}").status_code == 200


def test_nobody_locks_out_themselves(callers: Callers) -> None:
    me = Somebody(callers.ledger, callers.app, "me", ["operator"], callers.ann.user_id)
    for method, path, body in (
        ("PUT", f"/v1/users/{me.user_id}", {"disabled": True}),
        ("PUT", f"/v1/vendors/{callers.acme}", {"disabled": True}),
        ("DELETE", f"/v1/users/{me.user_id}", None),
    ):
        assert me(method, path, body).status_code == 409
    assert me("GET", "/v1/me").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/vendors/1", {"disabled": True}),
        ("DELETE", "/v1/vendors/1", None),
        ("PUT", "/v1/users/1", {"vendor_id": 2}),
        ("POST", "/v1/users/1/transfer", {"to_user_id": 2}),
        ("DELETE", "/v1/users/1", None),
        ("DELETE", "/v1/tokens/1/record", None),
    ],
)
def test_all_that_is_the_operators(callers: Callers, method: str, path: str, body: Any) -> None:
    assert callers.ann(method, path, body).status_code == 403


def test_ended_tokens_leave_the_list(callers: Callers) -> None:
    tokens = callers.operator("GET", "/v1/tokens").json["tokens"]
    number = next(one["id"] for one in tokens if one["name"] == "bob")
    assert callers.operator("DELETE", f"/v1/tokens/{number}/record").status_code == 409
    callers.operator("DELETE", f"/v1/tokens/{number}")
    assert callers.operator("DELETE", f"/v1/tokens/{number}/record").status_code == 204
    assert number not in [one["id"] for one in callers.operator("GET", "/v1/tokens").json["tokens"]]


def test_pins_are_the_owners_and_the_operators(callers: Callers, clock: Clock) -> None:
    run = callers.ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id
    path = f"/v1/runs/{run}/pin"
    assert callers.ann("PUT", path).status_code == 409  # it has not ended
    callers.ledger.runs.cancel(run, "ann")
    assert callers.abe("PUT", path).json["pinned"]
    assert callers.bob("PUT", path).status_code == 404 and callers.reader("DELETE", path).status_code == 403
    assert callers.ann("DELETE", f"/v1/runs/{run}").status_code == 409
    assert callers.ann("DELETE", path).status_code == 204
    assert callers.ann("DELETE", f"/v1/runs/{run}").status_code == 204


def test_vendors_see_why_their_runs_wait(callers: Callers) -> None:
    run = callers.ledger.runs.add(new_run(owner_id=callers.ann.user_id)).test_id
    assert callers.ann("GET", f"/v1/runs/{run}/place").json["pause"] is None
    callers.operator("POST", "/v1/queue/pause", {"reason": "new disks"})
    assert callers.ann("GET", f"/v1/runs/{run}/place").json["pause"]["reason"] == "new disks"


def test_versions_in_full_for_operators_only(callers: Callers) -> None:
    full, short = callers.operator("GET", "/v1/about").json, callers.ann("GET", "/v1/about").json
    assert set(full) == {"software", "database", "python", "libraries", "nodes"} and full["libraries"]["Flask"]
    assert set(short) == {"software", "database"} and short["database"]["kind"] in ("sqlite", "postgresql")


def test_names_are_more_than_blanks_and_have_none_around(callers: Callers) -> None:
    cloud = {"endpoint_v3": "https://cloud.example/v3"}
    for bad in (" ", " x", "x ", "  "):
        for who, path, body in (
            (callers.operator, "/v1/vendors", {"name": bad}),
            (callers.operator, "/v1/users", {"name": bad}),
            (callers.operator, "/v1/tokens", {"name": bad, "scopes": ["operator"]}),
            (callers.ann, "/v1/me/tokens", {"name": bad}),
            (callers.ann, "/v1/clouds", {**cloud, "label": bad}),
        ):
            refused = who("POST", path, body)
            assert refused.status_code == 400 and len(refused.json["errors"]) == 1, (path, bad)
    assert callers.ann("POST", "/v1/clouds", {**cloud, "label": "x y"}).status_code == 201


def test_vendors_have_names_that_differ_in_more_than_case(callers: Callers) -> None:
    for same in ("acme", "ACME"):
        assert callers.operator("POST", "/v1/vendors", {"name": same}).status_code == 409
        assert callers.operator("PUT", f"/v1/vendors/{callers.bravo}", {"name": same}).status_code == 409
    assert callers.operator("PUT", f"/v1/vendors/{callers.acme}", {"name": "ACME"}).status_code == 200


def test_a_run_is_shared_with_the_vendor_that_is_called_exactly_so(callers: Callers) -> None:
    # RefStack's own table may have both
    with callers.ledger.database.writing() as connection:
        connection.execute(insert(legacy_tables.vendor).values([{"vendor_name": "ACME"}, {"vendor_name": "acme "}]))
    run = callers.ledger.runs.add(new_run(owner_id=callers.bob.user_id)).test_id
    ids = {one.name: one.id for one in callers.ledger.accounts.vendors()}
    for given, meant in (("ACME", "ACME"), ("Acme", "Acme"), ("acme ", "acme ")):
        assert callers.bob("POST", f"/v1/runs/{run}/shares", {"vendor": given}).status_code == 200
        assert callers.ledger.accounts.shares(run) == [ids[meant]]
        callers.ledger.accounts.unshare(run, ids[meant])
    refused = callers.bob("POST", f"/v1/runs/{run}/shares", {"vendor": "aCME"})
    assert refused.status_code == 404 and "exactly" in refused.json["detail"]
    assert callers.bob("POST", f"/v1/runs/{run}/shares", {"vendor": "bravo"}).status_code == 200


@pytest.mark.parametrize(
    "address", ["ann", "ann@", "@x", "ann @x", "a@b@c", "ann@x\n", "<ann@x>", "ann@exämple.de", f"{'a' * 65}@x"]
)
def test_an_address_that_is_none_is_refused(callers: Callers, address: str) -> None:
    user, vendor = {"name": "Eve", "email": address}, {"name": "Echo", "contact_email": address}
    calls = (
        ("POST", "/v1/users", user),
        ("PUT", f"/v1/users/{callers.ann.user_id}", user),
        ("POST", "/v1/vendors", vendor),
        ("PUT", f"/v1/vendors/{callers.acme}", vendor),
    )
    for method, path, body in calls:
        refused = callers.operator(method, path, body)
        fields = {one["field"] for one in refused.json["errors"]}
        assert refused.status_code == 400 and fields & {"email", "contact_email"}, (method, path)
    for good in ("ann@x", "jürgen@xn--exmple-cua.de", "a.b+c@cloud.example", ""):
        assert callers.operator("PUT", f"/v1/users/{callers.ann.user_id}", {"email": good}).json["email"] == good


def test_no_two_users_have_one_address_in_two_cases(callers: Callers) -> None:
    path = f"/v1/users/{callers.ann.user_id}"
    assert callers.operator("PUT", path, {"email": "Ann@x.example"}).status_code == 200
    assert callers.operator("PUT", path, {"email": "ann@x.example"}).status_code == 200
    refused = callers.operator("POST", "/v1/users", {"name": "Ann", "email": "ANN@x.example"})
    assert refused.status_code == 409 and "'ann@x.example' already" in refused.json["detail"]
    other = f"/v1/users/{callers.bob.user_id}"
    assert callers.operator("PUT", other, {"email": "ANN@x.example"}).status_code == 409
    assert callers.operator("PUT", other, {"email": "bobby@x.example"}).status_code == 200
