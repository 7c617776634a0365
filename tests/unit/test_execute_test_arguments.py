"""The command line of execute_test: the specification's, the historic one, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refstack_worker import execute_test
from refstack_worker.execute_test import BadInput, parse

HOME = ["--tempest-home", "/t"]


@pytest.mark.parametrize("word", ["--callback", "-callback"])
def test_specification_arguments(word: str, tmp_path: Path) -> None:
    conf = tmp_path / "conf.json"
    conf.write_text('{"identity": {"region": "r"}}')
    read = parse([word, "https://refstack.example/x/", "12", "--conf_json", f"@{conf}", "--tempest_home", "/t"])
    assert (read.callback, read.test_id) == ("https://refstack.example/x", 12)
    assert read.conf_json == {"identity": {"region": "r"}}
    assert read.tempest_home == Path("/t")


def test_historic_arguments() -> None:
    read = parse(["--url", "localhost:8000", "--test-id", "3", "--tempest-dir", "/t", "-v", "--testcases", "a.b", "c",
                  "--conf-json", '{"a": {"b": 1}}'])  # fmt: skip
    assert (read.callback, read.test_id, read.verbosity) == ("http://localhost:8000", 3, 1)
    assert read.testcases == ("a.b", "c")
    assert read.conf_json == {"a": {"b": 1}}


def test_dashes_and_underscores_are_alike() -> None:
    for spelled in (["--resource_prefix", "some_thing"], ["--resource-prefix=some_thing"]):
        assert parse([*HOME, *spelled]).prefix == "some_thing"


def test_environment_mode_calls_nobody() -> None:
    read = parse(["--env", "--url", "localhost:8000", "--test-id", "3", *HOME])
    assert read.from_env and read.callback == ""


def test_debug_in_the_environment_raises_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "1")
    assert parse(HOME).verbosity == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--callback", "ftp://x", "1", *HOME], "ftp://x"),
        (["--callback", "http://user:pw@x", "1", *HOME], "not an http"),
        (["--callback", "http://x/?a=b", "1", *HOME], "not an http"),
        (["--callback", "http://x:99999", "1", *HOME], "not an http"),
        (["--callback", "http://x", "0", *HOME], "TEST_ID"),
        (["--callback", "http://x", "1; rm -rf /", *HOME], "TEST_ID"),
        (["--callback", "http://x", "1"], "--tempest-home"),
        (["--url", "x", *HOME], "--test-id"),
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
    ],
)
def test_refused(words: list[str], told: str) -> None:
    with pytest.raises(BadInput) as error:
        parse(words)
    assert told in str(error.value)


def test_broken_json_is_never_quoted() -> None:
    with pytest.raises(BadInput) as error:
        parse(["--conf-json", '{"auth": {"admin_password": "s3cr3t-word" ', *HOME])
    assert "s3cr3t-word" not in str(error.value)


def test_bad_input_ends_with_2_and_an_end_event(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute_test.main(["--progress", "json", "--callback", "gopher://x", "1", *HOME]) == 2
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (end["event"], end["exit_code"], end["reason"]) == ("end", 2, "bad-input")


def test_machine_that_cannot_go_on_is_named_as_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--progress", "json", "--workdir", "/dev/null/work", "--callback", "http://127.0.0.1:9", "1", *HOME]
    assert execute_test.main(words) == 4
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (end["exit_code"], end["reason"]) == (4, "machine"), end


def test_stands_alone(tmp_path: Path) -> None:
    """Copied into an empty folder it needs nothing of the package."""
    alone = shutil.copy(execute_test.__file__, tmp_path / "execute_test.py")
    done = subprocess.run([sys.executable, str(alone), "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--tempest-home" in done.stdout
    refused = subprocess.run([sys.executable, str(alone)], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2


def test_imports_only_the_standard_library_and_requests() -> None:
    """And what requests itself cannot be without, whose connections are looked at before they are used."""
    import ast

    tree = ast.parse(Path(execute_test.__file__).read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    foreign = {name for name in found if name not in getattr(sys, "stdlib_module_names", found)}
    assert foreign <= {"requests", "urllib3"}


def test_a_mistake_on_the_command_line_is_said_once(tmp_path: Path) -> None:
    words = [sys.executable, execute_test.__file__, "--no-such-option"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert (done.stdout + done.stderr).count("--no-such-option") == 1
    assert done.stderr.startswith("execute_test: bad-input: ")


def test_test_cases_given_again_are_added() -> None:
    words = ["--testcases", "tempest.api.one", "--testcases", "tempest.api.two", "tempest.api.three", *HOME]
    assert parse(words).testcases == ("tempest.api.one", "tempest.api.two", "tempest.api.three")


def test_a_full_disk_costs_the_log_file_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # line by line, as "w" would write it, into a device that is always full
    (tmp_path / "execute_test.log").symlink_to("/dev/full")
    before = list(execute_test.LOG.handlers)
    try:
        execute_test.open_log(parse(["--workdir", str(tmp_path), *HOME]))
        execute_test.LOG.error("machine: no room")
    finally:
        for handler in set(execute_test.LOG.handlers) - set(before):
            execute_test.LOG.removeHandler(handler)
            with contextlib.suppress(OSError):
                handler.close()
    told = capsys.readouterr().err
    assert told.count("machine: no room") == 1
    assert "Traceback" not in told
