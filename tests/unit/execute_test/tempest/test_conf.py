"""Configuration: merged, checked, written, read back."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refstack_worker.execute_test.failures import BadInput, CloudFailure
from refstack_worker.execute_test.inputs import conf_from_environment
from refstack_worker.execute_test.tempest.conf import (
    check_conf,
    merge,
    read_value,
    without_users,
    write_conf,
    written_value,
)


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


def test_sections_are_named_as_oslo_config_reads_them() -> None:
    """Otherwise what is found in the cloud would win over what the user set."""
    conf = check_conf({"Compute": {"image_ref": "1"}, "IDENTITY": {"admin_username": "root"}}, "--conf-json")
    assert conf == {"compute": {"image_ref": "1"}, "auth": {"admin_username": "root"}}
    assert check_conf({"default": {"debug": True}}, "--conf-json") == {"DEFAULT": {"debug": True}}
    both = {"Compute": {"image_ref": "1"}, "compute": {"image_ref": "2", "flavor_ref": "3"}}
    with pytest.raises(BadInput, match="image_ref is set in the sections Compute and compute, which are one; keep one"):
        check_conf(both, "--conf-json")
    assert check_conf({"Compute": {"image_ref": "1"}, "compute": {"flavor_ref": "3"}}, "--conf-json") == {
        "compute": {"image_ref": "1", "flavor_ref": "3"}
    }


def test_ordinary_users_are_not_options_of_tempest() -> None:
    conf = {"identity": {"username": "u", "alt_password": "p", "region": "r"}, "auth": {"admin_username": "a"}}
    assert without_users(conf) == {"identity": {"region": "r"}, "auth": {"admin_username": "a"}}
    assert "username" in conf["identity"]


def test_openrc_variables_old_and_new() -> None:
    base = {"OS_AUTH_URL": "http://k/v3", "OS_USERNAME": "me", "OS_PASSWORD": "pw-of-me"}
    old = conf_from_environment({**base, "OS_TENANT_NAME": "t"})
    new = conf_from_environment({**base, "OS_PROJECT_NAME": "p", "OS_USER_DOMAIN_NAME": "d", "OS_REGION_NAME": "r"})
    assert old["identity"]["project_name"] == "t" and "compute" not in old
    assert new["identity"]["project_name"] == "p"
    assert (new["identity"]["user_domain_name"], new["identity"]["region"]) == ("d", "r")
    with pytest.raises(BadInput, match="OS_PASSWORD"):
        conf_from_environment({"OS_AUTH_URL": "http://k", "OS_USERNAME": "me"})


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
    assume("\\$" not in value)  # it is refused, below
    written = written_value(value)
    assert read_value(written.strip()) == value


def test_a_backslash_before_a_dollar_sign_is_refused() -> None:
    with pytest.raises(BadInput, match="backslash before a dollar sign"):
        written_value("pass\\$word")


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", ["x", "a\nb"]])
def test_a_value_of_the_cloud_begins_no_line_of_its_own(tmp_path: Path, value: Any) -> None:
    with pytest.raises(CloudFailure, match="identity.region"):
        write_conf(tmp_path / "tempest.conf", {"identity": {"region": value}})
    assert not (tmp_path / "tempest.conf").exists()
