from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.contract.clouds_yaml import conf_of_cloud, unused_in_cloud

CLOUDS = """\
clouds:
  mycloud:
    auth:
      auth_url: https://cloud.example:5000
      username: tester
      project_name: demo
      user_domain_name: LDAP
      project_domain_name: Default
    region_name: R1
    interface: internal
    cacert: ca.pem
  two:
    profile: vendor
    auth: {username: t, password: 12345, project_id: 0a1b}
    regions:
      - A
      - {name: B, values: {auth: {auth_url: 'https://b.example/v3'}}}
  app:
    auth_type: v3applicationcredential
    auth: {auth_url: 'https://x.example', application_credential_id: i, application_credential_secret: s}
"""
SECURE = "clouds: {mycloud: {auth: {password: 'p''w'}}}\n"
PUBLIC = "public-clouds: {vendor: {auth: {auth_url: 'https://{region_name}.example/v3', username: nobody}}}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of configuration; the call is made elsewhere."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = tmp_path / ".config" / "openstack"
    folder.mkdir(parents=True)
    for stem, text in (("clouds", CLOUDS), ("secure", SECURE), ("clouds-public", PUBLIC)):
        (folder / f"{stem}.yaml").write_text(text)
    return folder


def environ(home: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(home.parents[1]), "XDG_CONFIG_DIRS": str(home / "none"), **more}


def test_the_password_stands_in_secure_yaml(home: Path, tmp_path: Path) -> None:
    conf = conf_of_cloud("mycloud", environ(home))
    assert conf["network"] == {"endpoint_type": "internal"}
    assert {"identity": conf["identity"]} == {
        "identity": {
            "uri_v3": "https://cloud.example:5000", "username": "tester", "password": "p'w", "project_name": "demo",
            "user_domain_name": "LDAP", "project_domain_name": "Default", "region": "R1",
            "v3_endpoint_type": "internal", "ca_certificates_file": str(tmp_path / "here" / "ca.pem"),
        }
    }  # fmt: skip


def test_a_profile_gives_the_address_and_the_entry_wins(home: Path) -> None:
    identity = conf_of_cloud("two", environ(home))["identity"]
    assert (identity["uri_v3"], identity["username"]) == ("https://A.example/v3", "t")
    assert (identity["password"], identity["project_id"], identity["region"]) == ("12345", "0a1b", "A")


def test_a_region_is_chosen_by_the_environment(home: Path) -> None:
    identity = conf_of_cloud("two", environ(home, OS_REGION_NAME="B "))["identity"]
    assert (identity["uri_v3"], identity["region"]) == ("https://b.example/v3", "B")
    with pytest.raises(ValueError, match="no region 'C'.*it has A, B"):
        conf_of_cloud("two", environ(home, OS_REGION_NAME="C"))


def test_a_region_of_the_entry_counts_more_than_the_first_of_its_profile(home: Path) -> None:
    (home / "clouds-public.yaml").write_text(
        "public-clouds: {vendor: {auth: {auth_url: 'https://{region_name}.example'}, regions: [A, B]}}"
    )
    entry = "clouds: {c: {profile: vendor, region_name: B, auth: {username: u, password: p}}}"
    (home / "clouds.yaml").write_text(entry)
    identity = conf_of_cloud("c", environ(home))["identity"]
    assert (identity["uri_v3"], identity["region"]) == ("https://B.example", "B")
    (home / "clouds.yaml").write_text(entry.replace("region_name: B, ", ""))
    assert conf_of_cloud("c", environ(home))["identity"]["region"] == "A"


def test_the_domain_by_default_is_an_id(home: Path) -> None:
    """As OpenStack's own client reads it."""
    (home / "clouds.yaml").write_text(
        "clouds: {c: {default_domain: 0a1b, auth: {auth_url: 'http://k', username: u, password: p}}}"
    )
    identity = conf_of_cloud("c", environ(home))["identity"]
    assert identity["domain_id"] == "0a1b" and "domain_name" not in identity


def test_the_order_of_the_files(home: Path, tmp_path: Path) -> None:
    entry = "clouds: {mycloud: {auth: {auth_url: 'http://%s', username: u, password: p}}}\n"
    (tmp_path / "here" / "clouds.yml").write_text(entry % "here")
    assert conf_of_cloud("mycloud", environ(home))["identity"]["uri_v3"] == "http://here"
    (tmp_path / "here" / "clouds.yaml").write_text("\ufeff" + (entry % "first").replace("\n", "\r\n"))
    assert conf_of_cloud("mycloud", environ(home))["identity"]["uri_v3"] == "http://first"
    named = tmp_path / "named.json"
    named.write_text('{"clouds": {"mycloud": {"auth": {"auth_url": "http://named", "username": "u"}}}}')
    identity = conf_of_cloud("mycloud", environ(home, OS_CLIENT_CONFIG_FILE=str(named)))["identity"]
    assert (identity["uri_v3"], identity["password"]) == ("http://named", "p'w")


def test_older_names_and_values_beside_auth(home: Path) -> None:
    (home / "clouds.yaml").write_text(
        "clouds: {old: {auth: {auth-url: 'http://k', username: u, tenant_name: t, user_domain_id: d1},"
        " project-domain-name: P, password: beside, endpoint_type: publicURL, verify: false}}"
    )
    assert conf_of_cloud("old", environ(home))["identity"] == {
        "uri_v3": "http://k", "username": "u", "project_name": "t", "user_domain_id": "d1", "password": "beside",
        "project_domain_name": "P", "v3_endpoint_type": "public", "disable_ssl_certificate_validation": True,
    }  # fmt: skip


def test_what_tempest_does_not_use_is_named_where_it_stands(home: Path) -> None:
    assert unused_in_cloud("mycloud", environ(home)) == ""
    (home / "clouds.yaml").write_text(
        "clouds: {c: {cert: a.pem, auth: {auth_url: u, username: n, trust-id: t}, regions: [{name: R,"
        " values: {auth: {system_scope: all}}}]}}"
    )
    said = unused_in_cloud("c", environ(home)).split("; ")
    assert [one.partition(":")[0] for one in said] == [
        "cert is not used", "trust_id is not used", "system_scope is not used"
    ]  # fmt: skip


@pytest.mark.parametrize("setting", ["insecure: 'on'", "insecure: true", "verify: false", "verify: 'off'"])
def test_certificates_that_are_not_to_be_checked(home: Path, setting: str) -> None:
    entry = "clouds: {c: {%s, auth: {auth_url: u, username: n, password: p}}}"
    (home / "clouds.yaml").write_text(entry % setting)
    assert conf_of_cloud("c", environ(home))["identity"]["disable_ssl_certificate_validation"] is True


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("app", CLOUDS, "application credential. Tempest cannot use it"),
        (
            "c",
            "clouds: {c: {auth: {auth_url: u, username: n, application_credential_name: a,"
            " application_credential_secret: s}}}",
            "application credential. Tempest cannot use it",
        ),
        ("none", CLOUDS, "no cloud 'none' in .*it has app, mycloud, two"),
        ("two", CLOUDS.replace("vendor", "otherwise"), "profile 'otherwise', which no clouds-public.yaml has"),
        ("c", "clouds: {c: {auth: {auth_url: u, username: n}}}", "no password; write it into secure.yaml"),
        ("c", "clouds: {c: {auth: {auth_url: u, username: n, password: yes}}}", "put it in quotes"),
        ("c", "clouds: {c: {auth: x}}", "no auth_url"),
        ("c", "clouds:\n  c: {password: hidden-one\n", "line 3"),
        ("c", "", "no cloud 'c'"),
        ("c", "clouds: {c: }", "^the cloud 'c' in .*clouds.yaml is empty; write its auth_url"),
        ("c", "clouds: {c: text}", "no cloud 'c' in"),
    ],
)
def test_what_cannot_be_used(home: Path, name: str, text: str, message: str) -> None:
    (home / "clouds.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        conf_of_cloud(name, environ(home))
    assert "hidden-one" not in str(raised.value)


def test_without_pyyaml_json_is_read_and_yaml_is_not(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *more: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *more)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match="PyYAML is needed"):
        conf_of_cloud("mycloud", environ(home))
    for stem in ("clouds", "secure"):
        (home / f"{stem}.yaml").unlink()
    auth = {"auth_url": "u", "username": "n", "password": "p"}
    (home / "clouds.json").write_text(json.dumps({"clouds": {"j": {"auth": auth}}}))
    assert conf_of_cloud("j", environ(home))["identity"]["username"] == "n"


@pytest.mark.parametrize(
    "password", ["0123", "12:30:45", "1.10", "1_000", "0", "0x1F", "1e3", "2020-01-01", ".inf", "y"]
)
def test_a_value_without_quotes_is_taken_as_it_is_written(home: Path, password: str) -> None:
    entry = "clouds: {c: {auth: {auth_url: u, username: 007, project_id: 0012, password: %s}, insecure: yes}}"
    (home / "clouds.yaml").write_text(entry % password)
    identity = conf_of_cloud("c", environ(home))["identity"]
    assert (identity["password"], identity["username"], identity["project_id"]) == (password, "007", "0012")
    assert identity["disable_ssl_certificate_validation"] is True


def test_numbers_of_a_json_file_are_taken_as_they_are_written(home: Path) -> None:
    (home / "clouds.yaml").write_text('{"clouds": {"c": {"auth": {"auth_url": "u", "username": 0, "password": 1.10}}}}')
    identity = conf_of_cloud("c", environ(home))["identity"]
    assert (identity["username"], identity["password"]) == ("0", "1.10")


@pytest.mark.parametrize("word", ["yes", "No", "TRUE", "off"])
def test_a_boolean_is_refused_as_a_password(home: Path, word: str) -> None:
    (home / "clouds.yaml").write_text(f"clouds: {{c: {{auth: {{auth_url: u, username: n, password: {word}}}}}}}")
    with pytest.raises(ValueError, match="auth.password is not a string; put it in quotes"):
        conf_of_cloud("c", environ(home, OS_PASSWORD="other"))


def test_null_sets_nothing(home: Path) -> None:
    text = "clouds: {c: {region_name: ~, auth: {auth_url: u, username: n, password: p, project_id: null, domain_id: }}}"
    (home / "clouds.yaml").write_text(text)
    assert conf_of_cloud("c", environ(home)) == {"identity": {"uri_v3": "u", "username": "n", "password": "p"}}


def test_of_a_list_of_interfaces_the_first_counts(home: Path) -> None:
    entry = "clouds: {c: {interface: [internal, public], auth: {auth_url: u, username: n, password: p}}}"
    (home / "clouds.yaml").write_text(entry)
    conf = conf_of_cloud("c", environ(home))
    assert conf["identity"]["v3_endpoint_type"] == conf["image"]["endpoint_type"] == "internal"


def test_settings_of_single_services(home: Path) -> None:
    (home / "clouds.yaml").write_text(
        "clouds: {c: {compute_interface: [admin], volume_interface: internal, block-storage-endpoint-type: publicURL,"
        " block_storage_service_type: volumev2, identity_interface: internal, compute_endpoint_override: 'http://n',"
        " identity_endpoint_override: 'http://k', object_store_region_name: R, identity_region_name: S,"
        " auth: {auth_url: u, username: n, password: p, passcode: 123456}}}"
    )
    conf = conf_of_cloud("c", environ(home))
    assert conf["compute"] == {"endpoint_type": "admin"}
    assert conf["volume"] == {"endpoint_type": "public", "catalog_type": "volumev2"}
    assert conf["object-storage"] == {"region": "R"}
    assert conf["identity"]["v3_endpoint_type"] == "internal"
    said = unused_in_cloud("c", environ(home)).split("; ")
    assert [one.partition(":")[0] for one in said] == [
        "passcode is not used",
        "compute_endpoint_override and identity_endpoint_override are not used",
        "identity_region_name is not used",
    ]
