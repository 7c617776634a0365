from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.contract.openrc import conf_of_openrc, unused_in_openrc

PLAIN = {"OS_AUTH_URL": "https://cloud.example:5000/v3", "OS_USERNAME": "tester", "OS_PASSWORD": "s3cret"}


def test_the_two_domains_of_an_openrc() -> None:
    conf = conf_of_openrc({**PLAIN, "OS_USER_DOMAIN_NAME": "LDAP", "OS_PROJECT_DOMAIN_ID": "default",
                           "OS_PROJECT_ID": "0123", "OS_INTERFACE": "internal", "OS_REGION_NAME": "R1"})  # fmt: skip
    assert conf["identity"] == {
        "uri_v3": PLAIN["OS_AUTH_URL"], "username": "tester", "password": "s3cret", "region": "R1",
        "user_domain_name": "LDAP", "project_domain_id": "default", "project_id": "0123",
        "v3_endpoint_type": "internal",
    }  # fmt: skip
    assert {conf[section]["endpoint_type"] for section in ("compute", "volume", "object-storage")} == {"internal"}


def test_older_names_and_domains_by_default() -> None:
    conf = conf_of_openrc({**PLAIN, "OS_TENANT_NAME": "demo", "OS_ENDPOINT_TYPE": "publicURL",
                           "OS_DEFAULT_DOMAIN": "default", "OS_INSECURE": "True"})  # fmt: skip
    assert list(conf) == ["identity"] and conf["identity"]["v3_endpoint_type"] == "public"
    assert conf["identity"]["project_name"] == "demo" and conf["identity"]["domain_id"] == "default"
    assert conf["identity"]["disable_ssl_certificate_validation"] is True


def test_certificates_lie_where_the_call_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert conf_of_openrc({**PLAIN, "OS_CACERT": "ca.pem"})["identity"]["ca_certificates_file"] == str(
        tmp_path / "ca.pem"
    )


def test_a_user_by_id_needs_no_name() -> None:
    environ = {**PLAIN, "OS_USER_ID": "u1"}
    del environ["OS_USERNAME"]
    assert conf_of_openrc(environ)["identity"]["user_id"] == "u1"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"OS_PASSWORD": ""}, "OS_PASSWORD not set"),
        ({"OS_AUTH_TYPE": "v3applicationcredential"}, "application credential. Tempest cannot use it"),
        ({"OS_APPLICATION_CREDENTIAL_ID": "a"}, "Give user name, password and project instead"),
        ({"OS_APPLICATION_CREDENTIAL_NAME": "a", "OS_APPLICATION_CREDENTIAL_SECRET": "s"}, "application credential"),
        (
            {"OS_AUTH_TYPE": " v3oidcpassword "},
            "uses the login method 'v3oidcpassword', which Tempest does not support",
        ),
    ],
)
def test_what_tempest_cannot_log_in_with(more: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conf_of_openrc({**PLAIN, **more})


def test_an_openrc_that_was_saved_on_windows() -> None:
    conf = conf_of_openrc({name: f"{value}\r" for name, value in PLAIN.items()})
    assert conf["identity"] == {"uri_v3": PLAIN["OS_AUTH_URL"], "username": "tester", "password": "s3cret"}


@pytest.mark.parametrize(
    ("value", "is_insecure"),
    [
        ("on", True),
        ("1", True),
        ("YES", True),
        ("True", True),
        (" on\r", True),
        ("0", False),
        ("off", False),
        ("", False),
    ],
)
def test_insecure_as_openstacks_own_client_reads_it(value: str, is_insecure: bool) -> None:
    identity = conf_of_openrc({**PLAIN, "OS_INSECURE": value})["identity"]
    assert identity.get("disable_ssl_certificate_validation", False) is is_insecure


def test_what_tempest_does_not_use_is_named_with_the_consequence() -> None:
    assert unused_in_openrc({**PLAIN, "OS_CERT": "", "OS_CACERT": "ca.pem"}) == ""
    said = unused_in_openrc(
        {**PLAIN, "OS_CERT": "a.pem", "OS_KEY": "b.pem", "OS_TRUST_ID": "t", "OS_SYSTEM_SCOPE": "all"}
    )
    assert said.split("; ") == [
        "OS_CERT and OS_KEY are not used: no client certificate is sent, and a cloud that requires one refuses the "
        "connection",
        "OS_TRUST_ID is not used: Tempest logs in without the trust, with the roles that the user itself has in the "
        "project",
        "OS_SYSTEM_SCOPE is not used: Tempest gets a token for the project, not for the system",
    ]


def test_blanks_around_the_kind_of_login_do_not_count() -> None:
    assert conf_of_openrc({**PLAIN, "OS_AUTH_TYPE": "V3Password "})["identity"]["password"] == "s3cret"


def test_settings_of_single_services() -> None:
    more = {
        "OS_INTERFACE": "internal",
        "OS_COMPUTE_INTERFACE": "publicURL",
        "OS_BLOCK_STORAGE_SERVICE_TYPE": "volumev3",
    }
    conf = conf_of_openrc({**PLAIN, **more})
    assert conf["compute"] == {"endpoint_type": "public"}
    assert conf["volume"] == {"endpoint_type": "internal", "catalog_type": "volumev3"}
    assert unused_in_openrc({**PLAIN, **more}) == ""


def test_what_of_single_services_and_other_logins_is_not_used() -> None:
    more = {
        "OS_COMPUTE_ENDPOINT_OVERRIDE": "http://n",
        "OS_ENDPOINT_OVERRIDE": "http://o",
        "OS_PASSCODE": "123456",
        "OS_IDENTITY_PROVIDER": "i",
        "OS_PROTOCOL": "saml2",
        "OS_IDENTITY_REGION_NAME": "R",
        "OS_DNS_INTERFACE": "x",
    }
    said = unused_in_openrc({**PLAIN, **more})
    assert [one.partition(":")[0] for one in said.split("; ")] == [
        "OS_PASSCODE is not used",
        "OS_IDENTITY_PROVIDER and OS_PROTOCOL are not used",
        "OS_COMPUTE_ENDPOINT_OVERRIDE and OS_ENDPOINT_OVERRIDE are not used",
        "OS_DNS_INTERFACE and OS_IDENTITY_REGION_NAME are not used",
    ]
    assert "123456" not in said and "http" not in said
