"""A cloud from clouds.yaml, from an openrc file's variables, from a tempest.conf."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pytest

from refstack_worker.cli.queue.cloud_sources import Conf, add_source_options, conf_of_sources, login_of_environment
from refstack_worker.errors import UsageError

OPENRC = {
    "OS_AUTH_URL": "https://cloud.example:5000/v2.0/",
    "OS_USERNAME": "ann",
    "OS_PASSWORD": "pw-of-ann",
    "OS_PROJECT_ID": "p1",
    "OS_USER_DOMAIN_NAME": "LDAP",
    "OS_PROJECT_DOMAIN_ID": "default",
    "OS_INTERFACE": "internal",
    "OS_CACERT": "ca.pem",
}
IDENTITY = {
    "uri_v3": "https://cloud.example:5000/v2.0/",
    "username": "ann",
    "password": "pw-of-ann",
    "project_id": "p1",
    "user_domain_name": "LDAP",
    "project_domain_id": "default",
    "v3_endpoint_type": "internal",
}


def conf_of(environ: dict[str, str], *words: str) -> Conf:
    parser = argparse.ArgumentParser()
    add_source_options(parser)
    return conf_of_sources(parser.parse_args(words), environ)


def test_openrc_with_two_domains_and_no_path_of_this_machine(caplog: pytest.LogCaptureFixture) -> None:
    assert conf_of(OPENRC, "--env")["identity"] == IDENTITY
    assert "CA file is not sent" in caplog.text


def test_what_tempest_does_not_use_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    conf_of({**OPENRC, "OS_CERT": "c.pem"}, "--env")
    assert "OS_CERT is not used: no client certificate is sent" in caplog.text
    file = tmp_path / "clouds.yaml"
    file.write_text("clouds: {mine: {key: k, auth: {auth_url: 'https://k', username: ann, password: pw}}}\n")
    conf_of({"OS_CLIENT_CONFIG_FILE": str(file)}, "--os-cloud", "mine")
    assert "key is not used: no client certificate is sent" in caplog.text


def test_clouds_yaml(tmp_path: Path) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text("clouds:\n  mine:\n    auth: {auth_url: 'https://k', username: ann, password: pw}\n")
    environ = {"OS_CLIENT_CONFIG_FILE": str(file)}
    expected = {"identity": {"uri_v3": "https://k", "username": "ann", "password": "pw"}}
    assert conf_of(environ, "--os-cloud", "mine") == expected
    assert conf_of({**environ, "OS_CLOUD": "mine"}, "--env") == expected
    with pytest.raises(UsageError, match="--os-cloud: there is no cloud 'other' in .*; it has mine "):
        conf_of(environ, "--os-cloud", "other")
    for text in ("mine:\n  auth: {auth_url: 'https://k'}\n", "$ANSIBLE_VAULT;1.1;AES256\n6162\n", "clouds: [mine]\n"):
        file.write_text(text)
        with pytest.raises(UsageError, match="there is no cloud 'mine' in .*; it has no clouds below 'clouds:' "):
            conf_of(environ, "--os-cloud", "mine")


def test_tempest_conf_without_what_the_node_sets(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "accounts.yaml").write_text("- username: u1\n  password: pw\n")
    (tmp_path / "accounts.yaml").chmod(0o600)
    file = tmp_path / "tempest.conf"
    file.write_bytes(
        b"\xef\xbb\xbf[DEFAULT]\r\nlog_file = t.log\r\n[auth]\r\ntest_accounts_file = accounts.yaml\r\n"
        b"[identity]\r\nuri_v3 = https://k/v3\r\nca_certificates_file = /ca.pem\r\n"
        b"[oslo_concurrency]\r\nlock_path=/x\r\n"
    )
    assert conf_of({}, "--tempest-conf", str(file)) == {
        "identity": {"uri_v3": "https://k/v3"},
        "account.1": {"username": "u1", "password": "pw"},
    }
    for option in ("DEFAULT.log_file", "identity.ca_certificates_file", "oslo_concurrency.lock_path"):
        assert option in caplog.text


@pytest.mark.parametrize(
    ("environ", "words", "said"),
    [
        ({}, ["--env"], "OS_AUTH_URL"),
        ({**OPENRC, "OS_AUTH_TYPE": "v3applicationcredential"}, ["--env"], "Tempest cannot use"),
        (OPENRC, ["--env", "--os-cloud", "x"], "only one"),
        ({}, ["--tempest-conf", "/nowhere/tempest.conf"], "/nowhere/tempest.conf"),
    ],
)
def test_what_cannot_be_used_is_named(environ: dict[str, str], words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        conf_of(environ, *words)


def test_the_environment_is_taken_where_it_names_a_cloud(caplog: pytest.LogCaptureFixture) -> None:
    assert login_of_environment({"OS_USERNAME": "ann"}) == {}
    with caplog.at_level(logging.WARNING):
        conf = login_of_environment(OPENRC)
    assert conf["identity"] == IDENTITY and conf["network"] == {"endpoint_type": "internal"}
    assert "https://cloud.example:5000" in caplog.text and "pw-of-ann" not in caplog.text


@pytest.mark.parametrize("password", ["pw-of-ann", "pw-of/ann", "pw-of#ann", "pw-of?ann"])
def test_the_address_that_is_shown_has_no_password(password: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        login_of_environment({**OPENRC, "OS_AUTH_URL": f"https://ann:{password}@cloud.example:5000"})
    assert "https://cloud.example:5000" in caplog.text and "pw-of" not in caplog.text
