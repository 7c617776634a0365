"""Clouds and runs with accounts for the tests, and runs whose Tempest version follows the guideline, over the API."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from refstack_worker.server.domain.guidelines import StoredGuideline
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.api_calls import token
from tests.support.callers import Callers
from tests.support.ledgers import Clock
from tests.unit.server.domain.test_verdict import schema_2

YAML = "- username: u1\n  password: pw-of-u1\n- username: u2\n  password: pw-of-u2\n"
LIST = [{"username": "u1", "password": "pw-of-u1"}, {"username": "u2", "password": "pw-of-u2"}]
CLOUD = {"label": "c", "endpoint_v3": "https://k.example/v2.0/"}


@pytest.fixture
def headers(ledger: Ledger) -> dict[str, str]:
    return token(ledger, "op", "operator")


def node(ledger: Ledger, clock: Clock, *versions: str) -> None:
    ledger.nodes.record(Node("n", versions, 2, 0, (), "ready", "", clock(), clock()))


class TestAccounts:
    @pytest.mark.parametrize("given", [YAML, LIST], ids=["yaml", "list"])
    def test_they_are_kept_counted_and_never_shown(
        self, client: FlaskClient, ledger: Ledger, headers: dict[str, str], given: Any
    ) -> None:
        made = client.post("/v1/clouds", json={**CLOUD, "accounts": given}, headers=headers)
        assert (made.status_code, made.json["accounts"], made.json["endpoint_v3"]) == (201, 2, "https://k.example/v3")
        shown = client.get(f"/v1/clouds/{made.json['id']}", headers=headers)
        assert "pw-of" not in made.text + shown.text and "u1" not in shown.text
        conf = ledger.clouds.saved_conf(made.json["id"])
        assert [conf[section]["username"] for section in ("account.1", "account.2")] == ["u1", "u2"]

    def test_a_change_keeps_replaces_or_forgets_them(self, client: FlaskClient, headers: dict[str, str]) -> None:
        path = f"/v1/clouds/{client.post('/v1/clouds', json={**CLOUD, 'accounts': LIST}, headers=headers).json['id']}"
        for more, left in (({}, 2), ({"accounts": LIST[:1]}, 1), ({"accounts": []}, 0)):
            assert client.put(path, json={**CLOUD, **more}, headers=headers).json["accounts"] == left

    def test_a_run_takes_those_of_the_cloud_or_its_own_and_never_both(
        self, client: FlaskClient, ledger: Ledger, headers: dict[str, str]
    ) -> None:
        cloud = client.post("/v1/clouds", json={**CLOUD, "accounts": LIST}, headers=headers).json["id"]
        body = {"tempest_version": "47.0.0", "cloud_id": cloud}
        own = [{"username": "u9", "password": "pw-of-u9"}]
        for more, names in (({}, ["u1", "u2"]), ({"accounts": own}, ["u9"])):
            made = client.post("/v1/runs", json={**body, **more}, headers=headers)
            assert made.status_code == 201 and "pw-of" not in made.text
            (submission,) = ledger.submissions.next(test_id=made.json["test_id"])
            listed = [values["username"] for section, values in submission.conf_json.items() if "account." in section]
            assert listed == names

    def test_what_is_wrong_is_named_by_its_field(self, client: FlaskClient, headers: dict[str, str]) -> None:
        answer = client.post("/v1/clouds", json={**CLOUD, "accounts": [{"username": "u"}]}, headers=headers)
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, "accounts")


class TestOtherServers:
    """What is stored with a cloud goes to its own server: a stolen token must not be enough to read it elsewhere."""

    STORED = {**CLOUD, "accounts": LIST, "conf_json": {"identity": {"password": "pw-9"}}}
    ELSEWHERE = "https://evil.example/v3"

    @pytest.fixture
    def cloud(self, client: FlaskClient, headers: dict[str, str]) -> int:
        return int(client.post("/v1/clouds", json=self.STORED, headers=headers).json["id"])

    def test_a_new_address_needs_the_passwords_again(
        self, client: FlaskClient, ledger: Ledger, headers: dict[str, str], cloud: int
    ) -> None:
        path, moved = f"/v1/clouds/{cloud}", {**CLOUD, "endpoint_v3": self.ELSEWHERE}
        refused = client.put(path, json=moved, headers=headers)
        assert refused.status_code == 400 and refused.json["errors"][0]["field"] == "endpoint_v3"
        # one new password takes none of the others along
        given = {**moved, "conf_json": {"auth": {"admin_password": "new"}}}
        assert client.put(path, json=given, headers=headers).status_code == 200
        assert ledger.clouds.saved_passwords(cloud) == {"auth": {"admin_password": "new"}}
        assert client.put(path, json={**CLOUD, "forget_passwords": True}, headers=headers).status_code == 200

    def test_another_path_of_the_same_server_keeps_them(
        self, client: FlaskClient, ledger: Ledger, headers: dict[str, str], cloud: int
    ) -> None:
        moved = {**CLOUD, "endpoint_v3": "https://k.example:443/identity/v3"}
        assert client.put(f"/v1/clouds/{cloud}", json=moved, headers=headers).status_code == 200
        assert ledger.clouds.saved_passwords(cloud)["identity"] == {"password": "pw-9"}

    @pytest.mark.parametrize("option", ["uri", "uri_v3"])
    def test_a_run_that_names_another_brings_its_own(
        self, client: FlaskClient, ledger: Ledger, headers: dict[str, str], cloud: int, option: str
    ) -> None:
        conf = {"identity": {option: self.ELSEWHERE}}
        body = {"tempest_version": "47.0.0", "cloud_id": cloud}
        for path in ("/v1/runs", "/v1/runs/check"):
            refused = client.post(path, json={**body, "conf_json": conf}, headers=headers)
            assert refused.status_code == 400 and refused.json["errors"][0]["field"] == "conf_json"
            assert "only to the cloud's own server" in refused.text and "pw-" not in refused.text
        own = {"identity": {option: self.ELSEWHERE, "password": "own"}}
        made = client.post("/v1/runs", json={**body, "conf_json": own}, headers=headers)
        (submission,) = ledger.submissions.next(test_id=made.json["test_id"])
        assert "pw-" not in str(submission.conf_json) and "own" in str(submission.conf_json)
        # nor by an option that is stored with the cloud
        assert client.put(f"/v1/clouds/{cloud}", json={**CLOUD, "conf_json": conf}, headers=headers).status_code == 200
        assert client.post("/v1/runs", json=body, headers=headers).status_code == 400

    HEAT = {"username": "u", "password": "pw-heat", "auth_url": "https://k.example/v3"}
    OF_PLUGINS = (
        {"heat_plugin": {"auth_url": ELSEWHERE}},
        {"Heat-Plugin": {"auth-url": ELSEWHERE}},
        {"dashboard": {"login_url": "https://evil.example/auth/login/"}},
        {"any": {"where": ["https://k.example/v3", ELSEWHERE]}},
    )

    @pytest.fixture
    def with_plugin(self, client: FlaskClient, headers: dict[str, str]) -> int:
        stored = {**self.STORED, "conf_json": {"identity": {"password": "pw-9"}, "heat_plugin": self.HEAT}}
        return int(client.post("/v1/clouds", json=stored, headers=headers).json["id"])

    @pytest.mark.parametrize("conf", OF_PLUGINS)
    def test_a_plugins_address_sends_stored_passwords_nowhere_else(
        self, client: FlaskClient, ledger: Ledger, headers: dict[str, str], with_plugin: int, conf: dict[str, Any]
    ) -> None:
        body = {"tempest_version": "47.0.0", "cloud_id": with_plugin, "conf_json": conf}
        for path in ("/v1/runs", "/v1/runs/check"):
            refused = client.post(path, json=body, headers=headers)
            assert refused.status_code == 400 and refused.json["errors"][0]["field"] == "conf_json"
            named = next(f"{section}.{option}" for section, values in conf.items() for option in values)
            assert named in refused.text and "only to the cloud's own server" in refused.text
            assert "pw-" not in refused.text
        # a password of the plugin is not enough: Tempest would still sign in with the stored ones
        section = next(iter(conf))
        partly = {section: {**conf[section], "password": "own"}}
        assert client.post("/v1/runs", json={**body, "conf_json": partly}, headers=headers).status_code == 400
        own = {**partly, "identity": {"password": "own"}}
        made = client.post("/v1/runs", json={**body, "conf_json": own}, headers=headers)
        (submission,) = ledger.submissions.next(test_id=made.json["test_id"])
        assert "pw-" not in str(submission.conf_json) and "own" in str(submission.conf_json)

    @pytest.mark.parametrize("conf", OF_PLUGINS)
    def test_a_plugins_new_address_stored_with_the_cloud_needs_the_passwords_again(
        self, client: FlaskClient, ledger: Ledger, headers: dict[str, str], with_plugin: int, conf: dict[str, Any]
    ) -> None:
        path = f"/v1/clouds/{with_plugin}"
        refused = client.put(path, json={**CLOUD, "conf_json": conf}, headers=headers)
        assert refused.status_code == 400 and refused.json["errors"][0]["field"] == "conf_json"
        assert ledger.clouds.saved_passwords(with_plugin)["heat_plugin"] == {"password": "pw-heat"}
        # one new password takes none of the others along
        given = {**conf, "auth": {"admin_password": "new"}}
        assert client.put(path, json={**CLOUD, "conf_json": given}, headers=headers).status_code == 200
        assert ledger.clouds.saved_passwords(with_plugin) == {"auth": {"admin_password": "new"}}
        # from now on it is the cloud's
        body = {"tempest_version": "47.0.0", "cloud_id": with_plugin, "conf_json": conf}
        assert client.post("/v1/runs", json=body, headers=headers).status_code == 201

    def test_a_run_sets_the_address_that_the_cloud_has_and_the_url_of_an_image(
        self, client: FlaskClient, ledger: Ledger, headers: dict[str, str], with_plugin: int
    ) -> None:
        conf = {
            "heat_plugin": {"auth_url": "https://k.example:443/v3"},
            "image": {"http_qcow2_image": "https://images.example/x.img"},
        }
        body = {"tempest_version": "47.0.0", "cloud_id": with_plugin, "conf_json": conf}
        made = client.post("/v1/runs", json=body, headers=headers)
        (submission,) = ledger.submissions.next(test_id=made.json["test_id"])
        assert submission.conf_json["heat_plugin"]["password"] == "pw-heat"


class TestProposedVersion:
    @pytest.fixture
    def body(self, ledger: Ledger) -> dict[str, Any]:
        stored = ledger.guidelines.add(schema_2(), StoredGuideline(0, "", "", "", "op", None))
        program = next(iter(ledger.guidelines.get(stored.id, None)[1].programs))
        conf = {"identity": {"uri_v3": "https://k/v3", "username": "u", "password": "pw"}}
        return {"guideline": {"id": stored.id, "program": program}, "conf_json": conf}

    def test_it_is_taken_shown_and_no_part_of_the_request(
        self, client: FlaskClient, ledger: Ledger, headers: dict[str, str], body: dict[str, Any], clock: Clock
    ) -> None:
        node(ledger, clock, "47.0.0", "48.0.0,heat-tempest-plugin=3.0.0")
        found = client.get(f"/v1/guidelines/{body['guideline']['id']}", headers=headers).json
        assert {one["tempest_version"] for one in found["programs"]} == {"47.0.0"}
        key = {**headers, "Idempotency-Key": "nightly"}
        first = client.post("/v1/runs", json=body, headers=key)
        assert (first.status_code, first.json["tempest_version"]) == (201, "47.0.0")
        clock.forward(1)
        node(ledger, clock, "33.0.0")
        again = client.post("/v1/runs", json=body, headers=key)
        assert again.json["test_id"] == first.json["test_id"]
        other = client.post("/v1/runs", json={**body, "tempest_version": "47.0.0"}, headers=key)
        assert other.status_code == 422

    def test_without_a_node_a_version_is_needed(
        self, client: FlaskClient, headers: dict[str, str], body: dict[str, Any]
    ) -> None:
        answer = client.post("/v1/runs", json=body, headers=headers)
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, "tempest_version")

    def test_what_the_run_may_lack_is_in_the_answer(
        self, client: FlaskClient, headers: dict[str, str], body: dict[str, Any]
    ) -> None:
        made = client.post("/v1/runs", json={**body, "tempest_version": "47.0.0"}, headers=headers)
        assert made.status_code == 201 and "No available node runs Tempest 47.0.0" in made.json["warnings"][0]
        plain = client.post(
            "/v1/runs", json={"tempest_version": "47.0.0", "conf_json": body["conf_json"]}, headers=headers
        )
        assert plain.json["warnings"] == []


def test_a_section_in_any_spelling_is_one(ledger: Ledger) -> None:
    callers = Callers(ledger)
    cloud = {"label": "A", "endpoint_v3": "https://k.example/v3", "conf_json": {"Compute": {"image_ref": "1"}}}
    made = callers.ann("POST", "/v1/clouds", cloud).json
    assert made["options"] == {"compute": {"image_ref": "1"}}
    twice = {"Compute": {"image_ref": "1"}, "compute": {"image_ref": "2"}}
    refused = callers.ann("POST", "/v1/clouds", {**cloud, "label": "B", "conf_json": twice})
    assert refused.status_code == 400 and "compute.image_ref: is set in two spellings of the section" in refused.text
    run = {"cloud_id": made["id"], "tempest_version": "47.0.0", "conf_json": {"COMPUTE": {"image_ref": "2"}}}
    started = callers.ann("POST", "/v1/runs", run)
    assert started.status_code == 201
    assert ledger.runs.conf_json(started.json["test_id"])["compute"] == {"image_ref": "2"}
    refused = callers.ann("POST", "/v1/runs", {**run, "conf_json": twice})
    assert refused.status_code == 400 and "two spellings" in refused.text
