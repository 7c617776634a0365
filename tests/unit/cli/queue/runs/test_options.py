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
            "--tag",
            "eu",
            "--priority",
            "low",
            "--cloud",
            "4",
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
        "tag": "eu",
        "priority": -1,
        "cloud_id": 4,
        "label": "mine",
        "discover": "tempestconf",
        "conf_json": {"identity": {"uri_v3": "http://c/v3", "password": "p"}},
    }


@pytest.mark.parametrize("option", ["password", "admin_password", "admin_key", "auth_token", "client_secret"])
def test_password_on_the_command_line_is_refused_and_not_repeated(option):
    with pytest.raises(UsageError, match="can be read by everybody") as caught:
        options.body_of(parsed("--conf-json", json.dumps({"identity": {option: "hunter2"}})))
    assert "hunter2" not in str(caught.value)


def test_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"identity": {"password": "p"}}'))
    assert options.body_of(parsed("--conf-json", "-"))["conf_json"] == {"identity": {"password": "p"}}


def test_password_file_adds_and_wants_to_be_private(tmp_path):
    file = tmp_path / "passwords"
    file.write_text("# of the test cloud\nauth.admin_password = a=b \nidentity.password=c\n")
    file.chmod(0o600)
    words = ("--conf-json", '{"auth": {"admin_username": "admin"}}', "--password-file", str(file))
    assert options.body_of(parsed(*words))["conf_json"] == {
        "auth": {"admin_username": "admin", "admin_password": "a=b"},
        "identity": {"password": "c"},
    }
    file.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        options.body_of(parsed(*words))


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


@pytest.mark.parametrize("version", ["47", "47.0", "47.0.0rc1", "v47.0.0", "47.0.0\n"])
def test_only_releases_are_run_and_locked(version):
    given = parsed()
    given.tempest_version = version
    with pytest.raises(UsageError, match="e.g. 47.0.0"):
        options.body_of(given)
    with pytest.raises(UsageError, match="e.g. 47.0.0"):
        main.lock(argparse.Namespace(version=version))


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
