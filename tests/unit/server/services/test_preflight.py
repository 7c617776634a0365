"""What a run would lack is shown before it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from refstack_worker.contract.accounts import account_sections
from refstack_worker.server.domain.clouds import CloudCheck, NewCloud
from refstack_worker.server.domain.guidelines import GuidelineTest, StoredGuideline
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.domain.results import Upload
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.results import acceptance
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.checks import InvalidInput
from refstack_worker.server.services.preflight import preflight, warnings_for
from refstack_worker.server.services.proposed_version import offered_to, with_version
from tests.support.ledgers import Clock, Event, claimed, stream
from tests.unit.server.domain.test_verdict import schema_2

ACCOUNTS = account_sections([{"username": "u1", "password": "pw-1"}, {"username": "u2", "password": "pw-2"}])


@pytest.fixture
def caller(ledger: Ledger) -> Caller:
    return Caller(ledger.tokens.add("op", ["operator"], None)[0])


@pytest.fixture
def guideline(ledger: Ledger) -> dict[str, Any]:
    stored = ledger.guidelines.add(schema_2(), StoredGuideline(0, "", "", "", "op", None))
    program = next(iter(ledger.guidelines.get(stored.id, None)[1].programs))
    return {"id": stored.id, "program": program}


def node(ledger: Ledger, clock: Clock, *versions: str, **given: Any) -> None:
    values = {"slots": 2, "busy": 0, "tags": (), "state": "ready", **given}
    ledger.nodes.record(
        Node("n", versions, values["slots"], values["busy"], values["tags"], values["state"], "", clock(), clock())
    )


def test_accounts_that_a_cloud_keeps_are_enough_to_start(ledger: Ledger, caller: Caller) -> None:
    cloud = ledger.clouds.add(NewCloud("c", "https://k.example/v3", accounts=ACCOUNTS)).cloud.id
    assert (
        "two accounts, one test at a time"
        in preflight(ledger, caller, {"tempest_version": "47.0.0", "cloud_id": cloud}).outlook
    )


def test_without_any_password_a_run_cannot_start(ledger: Ledger, caller: Caller) -> None:
    cloud = ledger.clouds.add(NewCloud("c", "https://k.example/v3", test_user="ann")).cloud.id
    with pytest.raises(InvalidInput, match='No password was given for test user "ann"'):
        preflight(ledger, caller, {"tempest_version": "47.0.0", "cloud_id": cloud})


def test_an_administrators_password_under_its_old_name_is_one(ledger: Ledger, caller: Caller) -> None:
    cloud = ledger.clouds.add(NewCloud("c", "https://k.example/v3", admin_user="root")).cloud.id
    conf = {"identity": {"admin_password": "p"}}
    assert preflight(ledger, caller, {"tempest_version": "47.0.0", "cloud_id": cloud, "conf_json": conf}).outlook


def test_the_guidelines_version_is_taken_where_none_is_named(
    ledger: Ledger, caller: Caller, guideline: dict[str, Any], clock: Clock
) -> None:
    node(ledger, clock, "43.0.0", "47.0.0", tags=("eu",))
    body = {"guideline": guideline, "conf_json": {"identity": {"uri_v3": "https://k/v3", "password": "p"}}}
    version = with_version(ledger, caller, body)["tempest_version"]
    assert version in ("43.0.0", "47.0.0")
    assert f"with Tempest {version}." in preflight(ledger, caller, body).outlook
    assert with_version(ledger, caller, {**body, "tempest_version": "46.3.0"})["tempest_version"] == "46.3.0"
    assert "tempest_version" not in with_version(ledger, caller, {**body, "openstack_release": "2025.1"})
    assert "tempest_version" not in with_version(ledger, caller, {"conf_json": {}})


def test_nodes_with_plugins_serve_the_programs_whose_tests_are_in_them(
    ledger: Ledger, caller: Caller, guideline: dict[str, Any], clock: Clock
) -> None:
    node(ledger, clock, "43.0.0", "47.0.0,heat-tempest-plugin=3.0.0")
    conf = {"identity": {"uri_v3": "https://k/v3", "password": "p"}}
    body: dict[str, Any] = {"guideline": guideline, "conf_json": conf}
    assert with_version(ledger, caller, body)["tempest_version"] == "43.0.0"
    text = schema_2().replace("tempest.a.T.", "heat_tempest_plugin.tests.T.").replace("2020.06", "add-on.2020.06")
    stored, program = ledger.guidelines.add(text, StoredGuideline(0, "", "", "", "op", None)), guideline["program"]
    body = {"guideline": {"id": stored.id, "program": program}, "conf_json": conf,
            "plugins": {"heat-tempest-plugin": "3.0.0"}}  # fmt: skip
    assert with_version(ledger, caller, body)["tempest_version"] == "47.0.0"
    assert not any("No available node" in one for one in preflight(ledger, caller, body).warnings)
    other = {**body, "tempest_version": "47.0.0", "plugins": {"heat-tempest-plugin": "2.0.0"}}
    wanted = "No available node runs Tempest 47.0.0 with heat-tempest-plugin 2.0.0."
    assert any(one.startswith(wanted) for one in preflight(ledger, caller, other).warnings)


def test_the_version_for_a_program_is_one_with_its_plugins() -> None:
    words = (
        "47.0.0,heat-tempest-plugin=3.0.0",
        "43.0.0",
        "46.3.0,designate-tempest-plugin=1.0,heat-tempest-plugin=2.9",
    )
    assert offered_to([GuidelineTest("heat_tempest_plugin.tests.T.test_x")], words) == {"47.0.0", "46.3.0"}
    assert offered_to([GuidelineTest("tempest.api.a.T.test_x")], words) == {"43.0.0"}
    assert offered_to([GuidelineTest("tempest.a"), GuidelineTest("designate_tempest_plugin.b")], words) == {"46.3.0"}


def test_a_test_with_two_names_counts_once_and_what_is_not_counted_is_named(
    ledger: Ledger, caller: Caller, clock: Clock
) -> None:
    node(ledger, clock, "47.0.0")
    text = schema_2()
    stored = ledger.guidelines.add(text, StoredGuideline(0, "", "", "", "op", None))
    program = next(iter(ledger.guidelines.get(stored.id, None)[1].programs.values()))
    assert len(program.entries()) > len(list(program.tests())), "no test of it has a second name"
    conf = {"identity": {"uri_v3": "https://k/v3", "password": "p"}}
    body: dict[str, Any] = {"guideline": {"id": stored.id, "program": program.name}, "conf_json": conf}
    assert f"This will run {len(list(program.tests()))} tests" in preflight(ledger, caller, body).outlook
    body["guideline"]["tests"] = "api"
    assert "This will run all API tests with" in preflight(ledger, caller, body).outlook
    everything = {"conf_json": conf, "tempest_version": "47.0.0"}
    assert "This will run all tests with Tempest 47.0.0." in preflight(ledger, caller, everything).outlook
    # one sentence's end is enough
    assert ".." not in preflight(ledger, caller, everything).outlook


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tempest.api.object_storage.test_account_services", "the tests you chose"),
        ("tempest.api.object_storage.test_account_services.AccountTest", "the tests you chose"),
        ("tempest.api.object_storage.test_account_services.AccountTest.test_list_containers", "1 test"),
        ("id-3499406a-ae53-4f8c-b43a-133d4dc6fe3f", "1 test"),
    ],
)
def test_a_module_is_not_counted_as_a_test(ledger: Ledger, caller: Caller, clock: Clock, name: str, words: str) -> None:
    conf = {"identity": {"password": "p"}}
    cloud = ledger.clouds.add(NewCloud("c", "https://k.example/v3", conf_json=conf)).cloud.id
    node(ledger, clock, "47.0.0")
    body = {"tempest_version": "47.0.0", "cloud_id": cloud, "testcases": {"names": [name]}}
    assert f"This will run {words} with Tempest 47.0.0." in preflight(ledger, caller, body).outlook


def test_time_and_line_are_told(ledger: Ledger, caller: Caller, clock: Clock, tmp_path: Path) -> None:
    conf = {"identity": {"password": "p"}}
    cloud = ledger.clouds.add(NewCloud("c", "https://k.example/v3", conf_json=conf)).cloud.id
    names = {"names": [f"tempest.api.a.T.test_{number}" for number in range(100)]}
    body = {"tempest_version": "47.0.0", "cloud_id": cloud, "testcases": names}
    node(ledger, clock, "47.0.0", slots=1, busy=1)
    assert preflight(ledger, caller, body).outlook.startswith(
        "This will run 100 tests with Tempest 47.0.0. No slot is free; 0 runs ahead in line."
    )
    job = claimed(ledger, cloud_id=cloud)
    file = tmp_path / "result"
    file.write_bytes(stream([Event(f"tempest.api.a.T.test_{number}", seconds=3.0) for number in range(2)]))
    acceptance.accept(ledger, job.proof, Upload.of(file, {}))
    assert "with Tempest 47.0.0 in about 5 min." in preflight(ledger, caller, body).outlook
    ledger.queue.pause("op", "")
    assert "It waits until the operator resumes the queue." in preflight(ledger, caller, body).outlook


def test_a_program_that_is_not_there_is_named(ledger: Ledger, caller: Caller, guideline: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="guideline: "):
        with_version(ledger, caller, {"guideline": {**guideline, "program": "Nonsense"}})


def test_a_recorded_run_gets_warnings_and_never_an_error(
    ledger: Ledger, caller: Caller, guideline: dict[str, Any]
) -> None:
    conf = {"identity": {"uri_v3": "https://k/v3", "password": "p"}}
    body = {"guideline": guideline, "tempest_version": "12.0.0", "conf_json": conf}
    assert any("No available node runs Tempest 12.0.0" in one for one in warnings_for(ledger, caller, body))
    assert warnings_for(ledger, caller, {**body, "conf_json": {}}) == ()
    assert warnings_for(ledger, caller, {"tempest_version": "12.0.0", "conf_json": conf}) == ()


def test_an_exclusion_without_effect_is_named_before_and_after(ledger: Ledger, caller: Caller) -> None:
    conf = {"identity": {"uri_v3": "http://127.0.0.1:1/v3", "password": "p"}}
    body = {"tempest_version": "47.0.0", "conf_json": conf, "exclude": [{"test": "tempest.api.compute.Typo"}]}
    expected = "1 exclusion matches no test of this run: tempest.api.compute.Typo."
    assert warnings_for(ledger, caller, body) == (expected,)
    assert expected in preflight(ledger, caller, body).warnings


@pytest.mark.parametrize(
    ("capability", "catalogue", "lacking"),
    [
        ("stack-create", "compute, image", "stack"),
        ("stack-create", "compute, orchestration", ""),
        ("volumes-v3-list", "compute", "volumes"),
        ("volumes-v3-list", "compute, block-store", ""),
        ("objectstore-account-list", "object-storage", ""),
        ("shared-file-systems", "share", ""),
    ],
)
def test_services_are_known_by_each_name_that_catalogues_have(
    ledger: Ledger, caller: Caller, capability: str, catalogue: str, lacking: str
) -> None:
    text = schema_2().replace('"get"', f'"{capability}"')
    ledger.guidelines.add(text, StoredGuideline(0, "g", "", "", "op", None))
    cloud = ledger.clouds.add(NewCloud("c", "http://127.0.0.1:1/v3", accounts=ACCOUNTS)).cloud.id
    ledger.clouds.note_check(cloud, CloudCheck(True, f"Keystone answered: Identity API v3; services: {catalogue}"))
    asked = {"name": "g", "program": "Storage"}
    found = preflight(ledger, caller, {"tempest_version": "47.0.0", "cloud_id": cloud, "guideline": asked})
    words = [one for one in found.warnings if "catalogue has only" in one]
    assert bool(words) == bool(lacking) and all(f" tests {lacking}, but " in one for one in words)


def test_a_plugin_that_a_program_needs_is_named(ledger: Ledger, caller: Caller) -> None:
    text = schema_2().replace("tempest.a.T.", "heat_tempest_plugin.tests.T.")
    stored = ledger.guidelines.add(text, StoredGuideline(0, "", "", "", "op", None))
    program = next(iter(ledger.guidelines.get(stored.id, None)[1].programs))
    conf = {"identity": {"uri_v3": "https://k/v3", "password": "p"}}
    body = {"guideline": {"id": stored.id, "program": program}, "tempest_version": "47.0.0", "conf_json": conf}
    assert any("are in heat-tempest-plugin: add" in one for one in warnings_for(ledger, caller, body))
    having = {**body, "plugins": {"Heat-Tempest-Plugin": "2.0.0"}}
    assert not any("heat-tempest-plugin" in one for one in warnings_for(ledger, caller, having))
