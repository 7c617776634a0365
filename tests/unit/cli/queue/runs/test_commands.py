"""How a run is shown: lines for people, the API's own values for machines."""

from __future__ import annotations

import argparse
import json

import pytest

from refstack_worker.cli.queue.main import main
from refstack_worker.cli.queue.runs import commands, results, values
from refstack_worker.errors import UsageError
from tests.support import http_server
from tests.support.http_server import as_json

PROGRESS = {"done": 3, "total": 9, "passed": 1, "failed": 2, "skipped": 0, "seconds_left": 60}
COUNTS = {"passed": 0, "failed": 0, "skipped": 0}
TESTS = {"names": ["a.b", "c.d"], "regexes": ["x|y"]}


def shown(**run):
    return dict(zip(*commands.shown_run(run)))


def test_people_read_lines():
    told = shown(progress=PROGRESS, counts=COUNTS, testcases=TESTS, state="running")
    assert told["state"] == "running"
    assert told["progress"].human_readable() == "3 of 9: 1 passed, 2 failed, 0 skipped"
    assert told["counts"].human_readable() == "0 passed, 0 failed, 0 skipped"
    assert told["testcases"].human_readable() == "a.b\nc.d\nregex x|y"
    assert shown(testcases=None)["testcases"].human_readable() == "the server's default"


def test_machines_read_what_the_api_says():
    told = shown(progress=PROGRESS, counts=COUNTS, testcases=TESTS)
    assert told["progress"].machine_readable() == PROGRESS
    assert told["counts"].machine_readable() == COUNTS
    assert told["testcases"].machine_readable() == TESTS
    assert shown(testcases=None)["testcases"].machine_readable() is None


def test_verdict_needs_both_of_guideline_and_program():
    asked = argparse.Namespace(id=1, guideline="2020.06", program="", json=False)
    with pytest.raises(UsageError, match="--guideline and --program"):
        results.RunVerdict(None, None).take_action(asked)


def call(server, folder, *words):
    (folder / "token").write_text("t" * 20)
    (folder / "token").chmod(0o600)
    return main(["--url", server.url, "--token-file", str(folder / "token"), "run", *words])


def test_a_check_starts_nothing_and_shows_what_is_missing(tmp_path, capsys):
    with http_server.serving() as server:
        server.on("/v1/runs/check", as_json({"warnings": ["one", "two"], "outlook": "This will run."}))
        assert (
            call(server, tmp_path, "create", "--tempest-version", "47.0.0", "--cloud", "1", "--check", "-f", "json")
            == 0
        )
        assert [one.path for one in server.asked] == ["/v1/runs/check"]
    assert json.loads(capsys.readouterr().out) == {"outlook": "This will run.", "warnings": ["one", "two"]}
    assert values.Warnings([]).human_readable() == "none"


def test_what_a_new_run_may_lack_is_a_warning(tmp_path, capsys):
    with http_server.serving() as server:
        server.on("/v1/runs", as_json({"test_id": 7, "warnings": ["too few accounts"]}, 201))
        assert call(server, tmp_path, "create", "--tempest-version", "47.0.0", "--cloud", "1", "-f", "value") == 0
    assert "too few accounts" in capsys.readouterr().err


PARTS = [
    {"number": 1, "tests": 7, "worker": "node-1", "state": "running", "test_id": 5},
    {"number": 2, "tests": 1, "worker": "", "state": "queued", "test_id": None},
]


def test_the_nodes_that_share_a_run(tmp_path, capsys):
    with http_server.serving() as server:
        server.on("/v1/runs/4", as_json({"test_id": 4, "state": "running", "shards": 2}))
        server.on("/v1/runs/4/shards", as_json({"shards": PARTS}))
        server.on("/v1/runs/4/attempts", as_json({"attempts": []}))
        server.on("/v1/runs/4/messages", as_json({"messages": []}))
        assert call(server, tmp_path, "show", "4", "-f", "json") == 0
        assert json.loads(capsys.readouterr().out)["nodes"] == PARTS
        assert call(server, tmp_path, "show", "4", "-f", "value", "-c", "nodes") == 0
        assert capsys.readouterr().out == str(PARTS) + "\n"


def test_lines_of_the_nodes():
    lines = values.ShardLines(PARTS).human_readable()
    assert lines == "1: 7 tests on node-1, running, run 5\n2: 1 tests on no node yet, queued, after the others"
