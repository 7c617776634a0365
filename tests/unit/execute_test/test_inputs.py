"""Files, JSON and the environment as options."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from refstack_worker.contract.limits import MAX_TEXT_BYTES
from refstack_worker.execute_test.arguments import parse_arguments
from refstack_worker.execute_test.failures import BadInput
from refstack_worker.execute_test.inputs import conf_from_environment, conf_from_file, json_value, with_absolute_paths

HOME = ["--tempest-home", "/t"]
TEMPEST_CONF = """\
\ufeff[DEFAULT]\r
log_file = t.log\r
[auth]\r
test_accounts_file = accounts.yaml\r
admin_username = a\r
[identity]\r
uri_v3 = https://k/v3\r
region = FromFile\r
"""


def test_a_tempest_conf_with_its_accounts_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "tempest.conf").write_text(TEMPEST_CONF, newline="")
    (tmp_path / "etc" / "accounts.yaml").write_text("- username: u1\t# first\r\n  password: p1\r\n", newline="")
    conf, remark = conf_from_file("etc/tempest.conf", "--tempest-conf")
    assert conf["account.1"] == {"username": "u1", "password": "p1"}
    assert conf["auth"] == {"admin_username": "a"} and conf["identity"]["region"] == "FromFile"
    assert "DEFAULT.log_file" in remark
    words = [*HOME, "--tempest-conf", "etc/tempest.conf", "--conf-json", '{"identity": {"region": "FromJson"}}']
    args = parse_arguments(words)
    assert args.conf_json["identity"] == {"uri_v3": "https://k/v3", "region": "FromJson"} and args.remark == remark


def test_accounts_of_the_command_line_take_the_place_of_others(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"username": "new", "password": "p"}]')
    conf = '{"account.1": {"username": "old", "password": "p"}, "account.2": {"username": "old2", "password": "p"}}'
    args = parse_arguments([*HOME, "--conf-json", conf, "--accounts-file", str(tmp_path / "a.json")])
    assert args.conf_json == {"account.1": {"username": "new", "password": "p"}}


def test_a_cloud_of_clouds_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clouds.json"
    file.write_text('{"clouds": {"c": {"auth": {"auth_url": "http://k", "username": "u", "password": "p"}}}}')
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    assert parse_arguments([*HOME, "--os-cloud", "c"]).conf_json["identity"]["username"] == "u"
    monkeypatch.setenv("OS_CLOUD", "c")
    assert conf_from_environment(os.environ)["identity"]["uri_v3"] == "http://k"
    with pytest.raises(BadInput, match="--os-cloud: there is no cloud 'd'"):
        parse_arguments([*HOME, "--os-cloud", "d"])


def test_json_from_stdin_may_begin_with_a_byte_order_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('\ufeff{"a": {"b": 1}}'))
    assert json_value("-", "--conf-json") == {"a": {"b": 1}}


@pytest.mark.parametrize("text", ["\ufefftempest.api.identity\r\n", '\ufeff["tempest.api.identity"]',
                                  "tempest.api.identity\t# a remark\n\n"])  # fmt: skip
def test_lists_as_any_editor_saves_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text, newline="")
    assert parse_arguments([*HOME, "--testcases", f"@{tmp_path / 'list'}"]).testcases == ("tempest.api.identity",)


def test_a_list_that_is_not_json_says_where(tmp_path: Path) -> None:
    (tmp_path / "list").write_text('["tempest.api.object_storage",]')
    with pytest.raises(BadInput, match=r"list is not JSON \(line 1, column 31\)"):
        parse_arguments([*HOME, "--testcases", f"@{tmp_path / 'list'}"])


def test_a_tempest_conf_in_the_place_of_json_is_told(tmp_path: Path) -> None:
    (tmp_path / "tempest.conf").write_text("[identity]\nuri_v3 = http://k/v3\n")
    with pytest.raises(BadInput, match="is not JSON .*; a tempest.conf is given by --tempest-conf"):
        parse_arguments([*HOME, "--conf-json", f"@{tmp_path / 'tempest.conf'}"])


def test_files_are_found_where_the_call_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").touch()
    conf = with_absolute_paths({"identity": {"ca_certificates_file": "ca.pem"}, "scenario": {"img_file": "none.img"}})
    assert conf == {
        "identity": {"ca_certificates_file": str(tmp_path / "ca.pem")},
        "scenario": {"img_file": "none.img"},
    }
    with pytest.raises(BadInput, match="identity.ca_certificates_file: there is no file"):
        with_absolute_paths({"identity": {"ca_certificates_file": "other.pem"}})


@pytest.mark.parametrize(
    "environ",
    [{}, {"OS_AUTH_TYPE": "v3applicationcredential"}, {"OS_CLOUD": "none", "HOME": "/nowhere"}],
    ids=["nothing", "application credential", "no such cloud"],
)
def test_an_environment_that_cannot_be_used(environ: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="--env"):
        conf_from_environment(environ)


def test_a_file_without_certificates_is_the_fault_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate\n")
    identity = {"uri_v3": "https://k/v3", "ca_certificates_file": str(file)}
    with pytest.raises(BadInput, match=r"identity\.ca_certificates_file: .*ca\.pem holds no valid certificates"):
        with_absolute_paths({"identity": identity})
    with pytest.raises(BadInput, match=r"ca_certificates_file: .* is not a regular file; Tempest takes one file"):
        with_absolute_paths({"identity": {**identity, "ca_certificates_file": str(tmp_path)}})
    for harmless in ({"uri_v3": "http://k/v3"}, {"disable_ssl_certificate_validation": True}):
        assert with_absolute_paths({"identity": {**identity, **harmless}})


@pytest.mark.parametrize(
    "words",
    [["--conf-json", "@{}"], ["--testcases", "@{}"], ["--token-file", "{}"], ["--tempest-conf", "{}"],
     ["--accounts-file", "{}"]],
)  # fmt: skip
def test_a_file_that_is_too_large_is_refused(tmp_path: Path, words: list[str]) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(MAX_TEXT_BYTES + 1)
    with pytest.raises(BadInput, match=rf"{words[0]}: .*file cannot be read: .*larger than {MAX_TEXT_BYTES} bytes"):
        parse_arguments([*HOME, *(word.format(tmp_path / "file") for word in words)])


def test_stdin_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(" " * (MAX_TEXT_BYTES + 1) + "{}"))
    with pytest.raises(BadInput, match=rf"--conf-json: stdin is larger than {MAX_TEXT_BYTES} bytes"):
        json_value("-", "--conf-json")


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a":', "--conf-json: not JSON (line 1, column 6)"), ("-", "--conf-json: stdin is not JSON (line 1, column 6)")],
)
def test_json_that_is_malformed_is_named_once(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"a":'))
    with pytest.raises(BadInput) as refused:
        json_value(text, "--conf-json")
    assert str(refused.value) == message
