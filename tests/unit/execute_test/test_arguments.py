"""The command line: the specification's, the historic one, and what it rejects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refstack_worker.execute_test.arguments import parse_arguments
from refstack_worker.execute_test.failures import BadInput

HOME = ["--tempest-home", "/t"]


@pytest.mark.parametrize("word", ["--callback", "-callback"])
def test_specification_arguments(word: str, tmp_path: Path) -> None:
    conf = tmp_path / "conf.json"
    conf.write_text('{"identity": {"region": "r"}}')
    words = [word, "https://refstack.example/x/", "12", "--conf_json", f"@{conf}", "--tempest_home", "/t"]
    read = parse_arguments(words)
    assert (read.callback, read.test_id) == ("https://refstack.example/x", 12)
    assert read.conf_json == {"identity": {"region": "r"}}
    assert read.tempest_home == Path("/t")


def test_historic_arguments() -> None:
    words = ["--url", "localhost:8000", "--test-id", "3", "--tempest-dir", "/t", "-v", "--testcases", "a.b", "c"]
    read = parse_arguments([*words, "--conf-json", '{"a": {"b": 1}}'])
    assert (read.callback, read.test_id, read.verbosity) == ("http://localhost:8000", 3, 1)
    assert read.testcases == ("a.b", "c")
    assert read.conf_json == {"a": {"b": 1}}


def test_dashes_and_underscores_are_alike() -> None:
    for spelled in (["--resource_prefix", "some_thing"], ["--resource-prefix=some_thing"]):
        assert parse_arguments([*HOME, *spelled]).prefix == "some_thing"


def test_environment_mode_posts_to_the_server_that_is_named_as_in_2014() -> None:
    read = parse_arguments(["--env", "--url", "localhost:8000", "--test-id", "3", *HOME])
    assert read.from_env and (read.callback, read.test_id) == ("http://localhost:8000", 3)


@pytest.mark.parametrize("words", [["--env"], ["--url", "localhost:8000"], ["--env", "--url", "localhost:8000"]])
def test_no_server_is_called_without_the_id_of_a_test(words: list[str]) -> None:
    assert parse_arguments([*words, *HOME]).callback == ""


def test_callback_of_one_word_with_the_id_beside_it_as_in_april_2014() -> None:
    read = parse_arguments(["--callback", "localhost:8000", "--test-id", "3", *HOME])
    assert (read.callback, read.test_id) == ("http://localhost:8000", 3)


def test_what_tempest_does_not_use_of_a_log_in_is_remarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_TRUST_ID", "t")
    assert parse_arguments(["--env", *HOME]).remark.startswith("OS_TRUST_ID is not used: Tempest logs in without")
    assert parse_arguments(HOME).remark == ""
    auth = {"auth_url": "http://k", "username": "u", "password": "p", "system_scope": "all"}
    (tmp_path / "clouds.json").write_text(json.dumps({"clouds": {"mine": {"auth": auth}}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.json"))
    assert parse_arguments(["--os-cloud", "mine", *HOME]).remark.startswith("system_scope is not used")
    monkeypatch.setenv("OS_CLOUD", "mine")
    assert "; system_scope is not used" in parse_arguments(["--env", *HOME]).remark


def test_debug_in_the_environment_raises_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "1")
    assert parse_arguments(HOME).verbosity == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--callback", "ftp://x", "1", *HOME], "ftp://x"),
        (["--callback", "http://user:pw@x", "1", *HOME], "without user name or password"),
        (["--callback", "http://x/?a=b", "1", *HOME], "not an http"),
        (["--callback", "http://x:99999", "1", *HOME], "not an http"),
        (["--callback", "http://x", "0", *HOME], "TEST_ID"),
        (["--callback", "http://x", "1; rm -rf /", *HOME], "TEST_ID"),
        (["--callback", "http://x", "1"], "--tempest-home"),
        (["--callback", "http://x", *HOME], "TEST_ID is missing"),
        (["--callback", "http://x", "1", "2", *HOME], "SERVER and TEST_ID"),
        (["--callback", "http://x", "1", "--test-id", "2", *HOME], "only one"),
        (["--post-only", "/x"], "--callback"),
        (["--cleanup-only", *HOME], "--resource-prefix"),
        (["--resource-prefix", "a", *HOME], "--resource-prefix"),
        (["--resource-prefix", "aaaa\nb", *HOME], "--resource-prefix"),
        (["--conf_json", "{", *HOME], "not JSON"),
        (["--conf_json", "[]", *HOME], "section"),
        (["--conf_json", '{"a": {"b": "x\\nadmin = y"}}', *HOME], "one line"),
        (["--conf_json", '{"a]": {}}', *HOME], "section"),
        (["--conf_json", '{"a": {"b = c\\n": 1}}', *HOME], "option"),
        (["--conf_json", "@/nowhere/at/all", *HOME], "/nowhere/at/all"),
        (["--conf_json", "[" * 100000, *HOME], "not JSON"),
        (["--testcases", "--help-me", *HOME], "--testcases"),
        (["--testcases", "a b; c", *HOME], "a b; c"),
        (["--testcases", "regex:(", *HOME], "regular expression"),
        (["--concurrency", "-1", *HOME], "concurrency"),
        (["--no-such-option", *HOME], "no-such-option"),
        (["--env", "--os-cloud", "c", *HOME], "use only one"),
    ],
)
def test_refused(words: list[str], told: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_arguments(words)
    assert told in str(error.value)


def test_broken_json_is_never_quoted() -> None:
    with pytest.raises(BadInput) as error:
        parse_arguments(["--conf-json", '{"auth": {"admin_password": "s3cr3t-word" ', *HOME])
    assert "s3cr3t-word" not in str(error.value)


def test_test_cases_given_again_are_added() -> None:
    words = ["--testcases", "tempest.api.one", "--testcases", "tempest.api.two", "tempest.api.three", *HOME]
    assert parse_arguments(words).testcases == ("tempest.api.one", "tempest.api.two", "tempest.api.three")
