"""Configuration, masking and selection: what is merged, written, hidden and looked for."""

from __future__ import annotations

import base64
import json
import logging
import re
import stat
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refstack_worker import execute_test
from refstack_worker.execute_test import (
    BadInput,
    Mask,
    Selection,
    Token,
    Traces,
    check_conf,
    check_testcases,
    cloud_id,
    expression,
    from_environment,
    merge,
    v3_address,
    write_conf,
)

UUID = "a22ef352-a342-4587-8f47-3bbdb5b039c4"


def test_later_layers_win_and_none_gives_nothing() -> None:
    merged = merge({"a": {"x": 1, "y": 1}}, {"a": {"x": 2}, "b": {"z": 3}}, {"a": {"y": None}})
    assert merged == {"a": {"x": 2, "y": 1}, "b": {"z": 3}}


def test_options_of_2014_are_understood() -> None:
    told = {
        "identity": {"admin_username": "root", "admin_tenant_name": "ops", "tenant_name": "demo", "uri": "http://k"}
    }
    conf = check_conf(told, "mini-conf")
    assert conf["auth"] == {"admin_username": "root", "admin_project_name": "ops"}
    assert conf["identity"] == {"project_name": "demo", "uri": "http://k"}


@pytest.mark.parametrize(
    ("given_uri", "asked"),
    [
        ({"uri_v3": "http://k:5000/v3"}, "http://k:5000/v3"),
        ({"uri_v3": "http://k:5000/v3/"}, "http://k:5000/v3"),
        ({"uri": "http://k:5000/v2.0"}, "http://k:5000/v3"),
        ({"uri": "https://k/identity"}, "https://k/identity/v3"),
        ({"uri": "http://old/v2.0", "uri_v3": "http://new/v3"}, "http://new/v3"),
    ],
)
def test_address_of_keystone(given_uri: dict[str, str], asked: str) -> None:
    assert v3_address(given_uri) == asked


@pytest.mark.parametrize("uri", ["", "file:///etc/passwd", "http://u:p@k/v3", "http://k/v3?x=1"])
def test_address_that_is_none(uri: str) -> None:
    with pytest.raises(BadInput):
        v3_address({"uri_v3": uri})


def test_openrc_variables_old_and_new() -> None:
    base = {"OS_AUTH_URL": "http://k/v3", "OS_USERNAME": "me", "OS_PASSWORD": "pw-of-me"}
    old = from_environment({**base, "OS_TENANT_NAME": "t"})
    new = from_environment({**base, "OS_PROJECT_NAME": "p", "OS_USER_DOMAIN_NAME": "d", "OS_REGION_NAME": "r"})
    assert old["identity"]["project_name"] == "t" and old["compute"]["image_ref"] == "cirros"
    assert new["identity"]["project_name"] == "p"
    assert (new["identity"]["domain_name"], new["identity"]["region"]) == ("d", "r")
    with pytest.raises(BadInput, match="OS_PASSWORD"):
        from_environment({"OS_AUTH_URL": "http://k", "OS_USERNAME": "me"})


def test_conf_file_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "tempest.conf"
    path.write_text("old")
    path.chmod(0o644)
    write_conf(path, {"a": {"b": True, "c": ["x", "y"], "d": "pa$$word"}})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "[a]\nb = True\nc = x,y\nd = pa$$$$word\n"


LINE = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters="\x85"), max_size=30)


@given(LINE)
def test_clean_up_reads_values_as_they_were_given(value: str) -> None:
    written = execute_test._written(value)
    assert execute_test._unwritten(written.strip()) == value


@pytest.mark.parametrize("secret", ["pa$$w&rd<1>", 'quo"te\\d', "ünïcode-password", "with space and/slash"])
def test_every_spelling_is_masked(secret: str) -> None:
    mask = Mask()
    mask.add_conf({"auth": {"admin_password": secret, "admin_username": "somebody"}})
    spellings = [secret, json.dumps(secret), quote(secret, safe=""), base64.b64encode(secret.encode()).decode()]
    for spelled in spellings:
        masked = mask.text(f"somebody said {spelled}, yes")
        assert secret not in masked and spelled.strip('"') not in masked
        assert masked.startswith("somebody said ") and masked.endswith(", yes")
        assert len(mask.same_length(spelled.encode())) == len(spelled.encode())


def test_short_secret_is_masked_as_a_word_alone() -> None:
    mask = Mask()
    mask.add("admin")
    assert (
        mask.text("user=x password=admin tempest.api.administration")
        == "user=x password=*** tempest.api.administration"
    )


def test_switches_and_numbers_are_no_secrets() -> None:
    mask = Mask()
    mask.add_conf({"identity": {"user_unique_last_password_count": 2}, "x": {"password_ok": "True", "secret": ""}})
    assert mask.text("True 2 is fine") == "True 2 is fine"


def test_log_lines_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = Mask()
    mask.add("hidden-thing")
    monkeypatch.setattr(execute_test, "MASK", mask)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed with %s", ("hidden-thing",), None)
    assert execute_test._MaskingFormatter("%(message)s").format(record) == "failed with ***"


@pytest.mark.parametrize(
    ("entry", "name", "found"),
    [
        (f"a.new.Name.test_x[id-{UUID}]", f"an.old.Name.test_y[id-{UUID},smoke]", True),
        (f"id-{UUID.upper()}", f"m.C.test[id-{UUID}]", True),
        (f"id-{UUID}", "m.C.test[id-00000000-a342-4587-8f47-3bbdb5b039c4]", False),
        ("tempest.api.object_storage", "tempest.api.object_storage.test_a.A.test_b[id-1]", True),
        ("tempest.api.object", "tempest.api.object_storage.test_a.A.test_b[id-1]", False),
        ("m.C.test_a", "m.C.test_a[id-1]", True),
        ("m.C.test_a", "m.C.test_a", True),
        ("m.C.test_a", "m.C.test_ab[id-1]", False),
        ("m.C.test_a", "x.m.C.test_a[id-1]", False),
        ("regex:test_(a|b)$", "m.C.test_b", True),
        ("tempest", "keystone_tempest_plugin.tests.T.test_x", True),
    ],
)
def test_what_an_entry_means(entry: str, name: str, found: bool) -> None:
    assert bool(re.search(expression(entry), name)) is found
    assert (Selection((entry,)).unmatched([name]) == []) is found


def test_expression_survives_a_list_file() -> None:
    """stestr cuts a line at # and takes off outer blanks."""
    for entry, name in (("regex:a#b", "a#b"), ("regex: b", "a b"), ("regex:b ", "b c")):
        line = expression(entry).split("#")[0].strip()
        assert re.search(line, name)


def test_everything_needs_no_list() -> None:
    assert Selection(("tempest", "a.b")).expressions == []


@pytest.mark.parametrize("told", [None, "x", [], [1], ["a", None], {"a": 1}, ["--list"], ["a\nb"], ["x;y"], ["regex:"]])
def test_test_cases_that_are_none(told: object) -> None:
    with pytest.raises(BadInput):
        check_testcases(told, "there")


def test_cloud_id_is_the_identity_service_or_the_hash_of_the_host() -> None:
    token = Token("t", {"catalog": [{"type": "compute", "id": "1"}, {"type": "identity", "id": "abc"}]})
    assert cloud_id(token, "http://k:5000/v3") == "abc"
    assert cloud_id(Token("t", {}), "http://k.example:5000/v3") == "1a4ab762a5ce9a946eeb6c6e0adef2ae"


def test_traces_of_a_run_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "tempest.log"
    project, user, reader, domain, owner = (letter * 32 for letter in "abdef")
    put = f"204 PUT http://k/v3/projects/{project}/users/{user}/roles/{'c' * 32}"
    log.write_text(
        "INFO x Request (AccountTest:setUpClass): 201 POST http://k/v3/projects 0.02s\n"
        f"INFO x Request (AccountTest:setUpClass): {put} 0s\n"
        "INFO x Request (RolesTest:setUpClass): 201 POST http://k/v3/users 0.02s\n"
        f"INFO x Request (RolesTest:setUpClass): 204 PUT http://k/v3/system/users/{reader}/roles/{'c' * 32} 0s\n"
        f"INFO x Request (RolesTest:setUpClass): 204 PUT http://k/v3/domains/{domain}/users/{owner}/roles/{'c' * 32}\n"
    )
    traces = Traces.read([tmp_path / "absent.log", log])
    assert (traces.projects, traces.domains) == ({project}, {domain})
    assert (traces.users, traces.classes) == ({user, reader, owner}, {"AccountTest", "RolesTest"})


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ({}, False),
        ({"swift": True, "nova": False}, False),
        ({"nova": True}, True),
        ({"cinder": "yes"}, True),
        ({"neutron": "False"}, False),
    ],
)
def test_tempest_cleans_up_only_where_the_cloud_has_what_it_looks_after(there: dict[str, object], wanted: bool) -> None:
    conf = {"service_available": there}
    assert execute_test.offers_any(conf, execute_test.CLEANED_BY_TEMPEST) is wanted


def test_options_that_tempest_does_not_know_are_named_with_what_was_meant() -> None:
    names = frozenset({"auth", "admin_password", "identity", "uri_v3", "identity-feature-enabled", "api_v3"})
    tempest = execute_test.Tempest(Path("tempest"), "47.0.0", True, True, True, names)
    conf = {
        "auth": {"admin_pasword": "x", "admin_password": "x"},
        "identity": {"uri_v3": "http://c", "uri-v3": "http://c", "zzzzzz": 1},
        "identity-feature-enabled": {"api_v3": True},
        "a_plugins_own": {"whatever": 1},
        "DEFAULT": {"debug": True},
    }
    assert tempest.unknown(conf) == ["[auth] admin_pasword (did you mean admin_password?)", "[identity] zzzzzz"]
