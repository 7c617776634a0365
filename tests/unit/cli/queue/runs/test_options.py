"""What a command line may say of a run; passwords never stand on it."""

from __future__ import annotations

import argparse
import io
import json
import sys

import pytest

from refstack_worker.cli.package import main
from refstack_worker.cli.queue.runs import options
from refstack_worker.errors import UsageError


def parsed(*words):
    parser = argparse.ArgumentParser()
    options.add_run_options(parser)
    return parser.parse_args(["--tempest-version", "47.0.0", *words])


def test_everything_becomes_the_body(tmp_path):
    (tmp_path / "cases").write_text("# remark\ntempest.api.identity # why\n\ntempest.api.compute\n")
    (tmp_path / "conf.json").write_text(json.dumps({"identity": {"uri_v3": "http://c/v3", "password": "p"}}))
    body = options.body_of(
        parsed(
            "--conf-json",
            f"@{tmp_path / 'conf.json'}",
            "--testcases",
            f"@{tmp_path / 'cases'}",
            "--testcases",
            "a.b",
            "--regex",
            "x|y",
            "--plugin",
            "keystone-tempest-plugin==0.22.0",
            "--concurrency",
            "3",
            "--timeout",
            "90",
            "--shards",
            "2",
            "--tag",
            "eu",
            "--priority",
            "low",
            "--label",
            "mine",
            "--discover",
            "tempestconf",
        )  # fmt: skip
    )
    assert body == {
        "tempest_version": "47.0.0",
        "plugins": {"keystone-tempest-plugin": "0.22.0"},
        "testcases": {"names": ["tempest.api.identity", "tempest.api.compute", "a.b"], "regexes": ["x|y"]},
        "concurrency": 3,
        "timeout": 90,
        "shards": 2,
        "tag": "eu",
        "priority": -1,
        "label": "mine",
        "discover": "tempestconf",
        "conf_json": {"identity": {"uri_v3": "http://c/v3", "password": "p"}},
    }


@pytest.mark.parametrize("option", ["password", "admin_password", "admin_key", "auth_token", "client_secret"])
def test_password_on_the_command_line_is_refused_and_not_repeated(option):
    with pytest.raises(UsageError, match="readable by other users") as caught:
        options.body_of(parsed("--conf-json", json.dumps({"identity": {option: "hunter2"}})))
    assert "hunter2" not in str(caught.value)


def test_a_switch_whose_name_looks_like_a_password_may_stand_on_the_command_line():
    conf = {"auth": {"use_dynamic_credentials": False}, "validation": {"ssh_key_type": "rsa"}}
    assert options.body_of(parsed("--conf-json", json.dumps(conf)))["conf_json"] == conf


def test_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"identity": {"password": "p"}}'))
    assert options.body_of(parsed("--conf-json", "-"))["conf_json"] == {"identity": {"password": "p"}}


def test_password_file_adds_and_wants_to_be_private(tmp_path):
    file = tmp_path / "passwords"
    file.write_text("# of the test cloud\nauth.admin_password = a=b \nidentity.password=c\u2028d\x0ce\n")
    file.chmod(0o600)
    words = ("--conf-json", '{"auth": {"admin_username": "admin"}}', "--password-file", str(file))
    assert options.body_of(parsed(*words))["conf_json"] == {
        "auth": {"admin_username": "admin", "admin_password": "a=b"},
        "identity": {"password": "c\u2028d\x0ce"},
    }
    file.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        options.body_of(parsed(*words))


def test_files_that_windows_saved(tmp_path):
    bom = b"\xef\xbb\xbf"
    (tmp_path / "conf.json").write_bytes(bom + b'{"identity": {\r\n"uri_v3": "http://c/v3"}}\r\n')
    (tmp_path / "cases").write_bytes(bom + b"tempest.api.identity\t# bug 1\r\n\r\ntempest.api.compute\r\n")
    (tmp_path / "passwords").write_bytes(bom + b"identity.password = p w\r\n")
    (tmp_path / "accounts").write_bytes(bom + b"- username: a\r\n  password: 'x'\r\n")
    (tmp_path / "exclude").write_bytes(bom + b"tempest.x\t# too slow\r\n")
    for name in ("passwords", "accounts"):
        (tmp_path / name).chmod(0o600)
    words = ("--conf-json", f"@{tmp_path / 'conf.json'}", "--testcases", f"@{tmp_path / 'cases'}", "--password-file",
             str(tmp_path / "passwords"), "--accounts-file", str(tmp_path / "accounts"), "--exclude-list",
             str(tmp_path / "exclude"))  # fmt: skip
    body = options.body_of(parsed(*words))
    assert body["testcases"] == {"names": ["tempest.api.identity", "tempest.api.compute"]}
    assert body["conf_json"] == {
        "identity": {"uri_v3": "http://c/v3", "password": "p w"},
        "account.1": {"username": "a", "password": "x"},
    }
    assert body["exclude"] == [{"test": "tempest.x", "reason": "too slow"}]


def test_options_that_windows_piped(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO('\ufeff{"identity": {"password": "p"}}'))
    assert options.body_of(parsed("--conf-json", "-"))["conf_json"] == {"identity": {"password": "p"}}


@pytest.mark.parametrize("text", ['["tempest.api.object_storage",]', "[tempest.api.identity\n"])
def test_malformed_list_of_tests_is_named(tmp_path, text):
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(UsageError, match="l.json: not a JSON list"):
        options.body_of(parsed("--testcases", f"@{tmp_path / 'l.json'}"))


def test_a_version_is_only_left_out_with_a_guideline():
    given = parsed("--guideline", "2020.06", "--program", "Storage", "--advisory")
    given.tempest_version = ""
    body = options.body_of(given)
    assert body == {"guideline": {"name": "2020.06", "program": "Storage", "advisory": True}}
    for words in ((), ("--advisory",)):
        given = parsed(*words)
        given.tempest_version = "" if not words else "47.0.0"
        with pytest.raises(UsageError, match="--tempest-version" if not words else "--advisory"):
            options.body_of(given)


def test_a_list_by_its_address():
    body = options.body_of(parsed("--testcases", "https://x.example/list", "--testcases", "a.b"))
    assert body["testcases"] == {"names": ["a.b"], "url": "https://x.example/list"}
    with pytest.raises(UsageError, match="only one"):
        options.body_of(parsed("--testcases", "https://x.example/1", "--testcases", "https://x.example/2"))


def test_the_cloud_of_the_environment_is_the_last_resort(monkeypatch):
    for name, value in {"AUTH_URL": "https://k", "USERNAME": "ann", "PASSWORD": "pw"}.items():
        monkeypatch.setenv(f"OS_{name}", value)
    identity = {"uri_v3": "https://k", "username": "ann", "password": "pw"}
    assert options.body_of(parsed())["conf_json"] == {"identity": identity}
    assert "conf_json" not in options.body_of(parsed("--cloud", "4"))
    given = options.body_of(parsed("--conf-json", '{"identity": {"uri_v3": "https://other"}}'))
    assert given["conf_json"] == {"identity": {"uri_v3": "https://other"}}
    both = options.body_of(parsed("--env", "--conf-json", '{"identity": {"uri_v3": "https://other"}}'))
    assert both["conf_json"] == {"identity": {**identity, "uri_v3": "https://other"}}


def test_asks_on_a_terminal_only(monkeypatch):
    given = parsed("--ask-password", "identity.password")
    with pytest.raises(UsageError, match="no terminal"):
        options.conf_of(given)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert options.conf_of(given, lambda prompt: f"answer to {prompt}") == {
        "identity": {"password": "answer to identity.password: "}
    }


@pytest.mark.parametrize(
    "words",
    [
        ("--conf-json", "nonsense"),
        ("--conf-json", "[]"),
        ("--conf-json", '{"identity": 1}'),
        ("--conf-json", '{"a": {}, "a": {}}'),
        ("--conf-json", "@/nowhere/file"),
        ("--plugin", "keystone-tempest-plugin"),
        ("--testcases", "@/nowhere/file"),
        ("--testcases", "@/dev/null"),
        ("--password-file", "/nowhere/file"),
    ],
)
def test_nonsense_is_usage(words):
    with pytest.raises(UsageError):
        options.body_of(parsed(*words))


def test_malformed_password_line_is_named_without_its_text(tmp_path):
    file = tmp_path / "passwords"
    file.touch(mode=0o600)
    file.write_text("hunter2\n")
    with pytest.raises(UsageError, match=":1:") as caught:
        options.body_of(parsed("--password-file", str(file)))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("version", ["47", "47.0", "47.0.0-1", "1!47.0.0", "v47.0.0", "47.0.0\n"])
def test_only_versions_of_tempest_are_run_and_locked(version):
    given = parsed()
    given.tempest_version = version
    with pytest.raises(UsageError, match="e.g. 47.0.0"):
        options.body_of(given)
    with pytest.raises(UsageError, match="e.g. 47.0.0"):
        main.lock(argparse.Namespace(version=version, name=""))


def test_accounts_become_sections(tmp_path):
    file = tmp_path / "accounts.yaml"
    file.write_text("- username: u1\n  password: hunter2\n- username: u2\n  password: pw2\n  roles: [member]\n")
    with pytest.raises(UsageError, match="chmod 600"):
        options.body_of(parsed("--accounts-file", str(file)))
    file.chmod(0o600)
    assert options.body_of(parsed("--accounts-file", str(file)))["conf_json"] == {
        "account.1": {"username": "u1", "password": "hunter2"},
        "account.2": {"username": "u2", "password": "pw2", "roles": ["member"]},
    }
    file.write_text("username: u1\n")
    with pytest.raises(UsageError, match=r"--accounts-file: .*accounts.yaml"):
        options.body_of(parsed("--accounts-file", str(file)))


def test_a_section_in_any_spelling_is_one() -> None:
    words = ("--conf-json", '{"Identity": {"uri_v3": "http://c/v3"}, "default": {"debug": true}}')
    assert options.body_of(parsed(*words))["conf_json"] == {
        "identity": {"uri_v3": "http://c/v3"},
        "DEFAULT": {"debug": True},
    }
    twice = '{"Identity": {"region": "a"}, "identity": {"region": "b"}}'
    with pytest.raises(UsageError, match="identity.region: is set in two spellings of the section; keep one"):
        options.body_of(parsed("--conf-json", twice))
