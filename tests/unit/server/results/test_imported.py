"""What is read from a file that somebody imports, and why others are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.errors import ResultError
from refstack_worker.server.results import imported, subunit
from tests.support.ledgers import Event, stream

UUID = "9b6d9a5a-1a2b-4c3d-8e4f-00000000000a"
V1 = "test: a.B.t1\nsuccess: a.B.t1\ntest: a.B.t2\nfailure: a.B.t2 [\nü\n]\n"


def read(folder: Path, data: Any) -> list[tuple[str, str, str]]:
    """Name, id and status of each test."""
    given = data if isinstance(data, bytes) else json.dumps(data).encode()
    imported.write_stream(given, folder / "stream")
    return [(test.name, test.uuid, test.status) for test in subunit.parse(folder / "stream", folder / "rows").tests]


def refusal(folder: Path, data: Any) -> str:
    with pytest.raises(ResultError) as refused:
        read(folder, data)
    return str(refused.value)


@pytest.mark.parametrize(
    "more",
    [
        {"status": "failure", "result": "Traceback"},
        {"status": "skip"},
        {"Status": "FAIL"},
        {"outcome": None},
        {"result": 0},
        {"status": True},
        {"passed": False},
        {"success": "no"},
        {"status": "success", "failure": "Traceback"},
        {"reason": "no network"},
        {"traceback": ["line"]},
    ],
)
def test_a_test_that_may_not_have_passed_refuses_the_file(tmp_path: Path, more: dict[str, Any]) -> None:
    why = refusal(tmp_path, {"cpid": "abc", "results": [{"name": "a.B.t1"}, {"name": "a.B.t2", **more}]})
    assert "'a.B.t2'" in why and "lists passed tests only" in why and "subunit stream" in why


@pytest.mark.parametrize(
    "more",
    [
        {"status": "success"},
        {"Result": "PASSED"},
        {"outcome": "ok", "passed": True, "error": None, "skipped": False, "reason": ""},
        {"duration": 3, "tags": ["smoke"]},
    ],
)
def test_a_test_that_says_it_passed_is_taken(tmp_path: Path, more: dict[str, Any]) -> None:
    assert read(tmp_path, {"results": [{"name": "a.B.t1", **more}]}) == [("a.B.t1", "", "passed")]


@pytest.mark.parametrize("results", [{"a.B.t1": {"status": "fail"}}, "a.B.t1", 5, None, True])
def test_results_that_are_not_a_list_are_refused(tmp_path: Path, results: Any) -> None:
    assert "'results' is not a list" in refusal(tmp_path, {"results": results})


@pytest.mark.parametrize(
    "entry", ["", " ", f"[id-{UUID}]", {"name": ""}, {"name": 5}, {"uuid": UUID}, 1, None, ["a.B.t1"]]
)
def test_an_entry_without_a_name_is_refused(tmp_path: Path, entry: Any) -> None:
    assert "has no name of a test" in refusal(tmp_path, {"results": ["a.B.t1", entry]})


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "a.B.t1", "uuid": f"id-{UUID}"},
        {"name": "a.B.t1", "uuid": f"ID-{UUID.upper()}"},
        {"name": "a.B.t1", "uuid": UUID.upper()},
        {"name": f"a.B.t1[id-{UUID.upper()},smoke]"},
        f"a.B.t1[id-{UUID.upper()}]",
    ],
)
def test_an_id_is_kept_however_it_is_written(tmp_path: Path, entry: Any) -> None:
    assert read(tmp_path, {"results": [entry]}) == [("a.B.t1", UUID, "passed")]


def test_an_id_in_capitals_in_a_stream_is_kept(tmp_path: Path) -> None:
    assert read(tmp_path, stream([Event(f"a.B.t1[id-{UUID.upper()}]")])) == [("a.B.t1", UUID, "passed")]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_stream_of_version_1_that_was_saved_on_windows_is_read(tmp_path: Path, coding: str) -> None:
    data = V1.replace("\n", "\r\n").encode(coding)
    assert read(tmp_path, data) == [("a.B.t1", "", "passed"), ("a.B.t2", "", "failed")]


OWN_EXPORT = {"test_id": 7, "counts": {"passed": 1}, "verdict": None, "tests": [{"name": "a.B.t1", "status": "passed"}]}
PAGE = {"pagination": {"current_page": 1}, "results": [{"id": "x", "created_at": "2026-11-25", "cpid": "abc"}]}
JUNIT = '<?xml version="1.0"?>\n<testsuites><testsuite name="ó³"><testcase name="t1"/></testsuite></testsuites>'


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (OWN_EXPORT, "an export of a run in JSON, or another file without 'results'"),
        ({}, "a file without 'results'"),
        (PAGE, "a page of RefStack's list of results"),
        ({**PAGE, "results": []}, "a page of RefStack's list of results"),
        (["a.B.t1"], "a list without the object"),
        (JUNIT.encode(), "JUnit XML"),
        (b"<testsuite name='x'></testsuite>", "JUnit XML"),
        (b"\xef\xbb\xbf<!DOCTYPE html>\n<html></html>", "an HTML page"),
        (b"name,id,status,seconds,started_at,reason\r\na.B.t1,,passed,1,,\r\n", "CSV"),
        (b"{0} a.B.test_x [0.12s] ... ok\n{1} setUpClass (a.B) [0.0s] ... FAILED\n", "the console output of a run"),
        (b"{0} tempest.a.B.test_x [0.1s] ... FAILED\n\nerror: a.b\ntest: x\n", "the console output of a run"),
        (b"=====\nRunning\n{0} a.B.test_x [0.1s] ... SKIPPED: no network\n", "the console output of a run"),
        (b"", "an empty file"),
        (b"hello", "a file of an unknown format"),
        (b"{hello", "not JSON"),
    ],
)  # fmt: skip
def test_another_format_is_named_with_what_is_taken(tmp_path: Path, data: Any, what: str) -> None:
    why = refusal(tmp_path, data)
    assert what in why and "refstack-queue run export N subunit FILE" in why and "JSON of refstack-client" in why


def test_a_list_of_no_test_is_named(tmp_path: Path) -> None:
    assert "lists no passed test" in refusal(tmp_path, {"cpid": "abc", "results": []})


def test_a_stream_behind_printed_text_is_no_text(tmp_path: Path) -> None:
    noise = "<frozen runpy>: a, b, c: ü\n".encode()
    assert read(tmp_path, noise + stream([Event("a.B.t1")])) == [("a.B.t1", "", "passed")]
    french = "\ufeffmv: impossible d'évaluer «\u00a0x\u00a0»\u202f: \u200b\n".encode()
    assert read(tmp_path, french + stream([Event("a.B.t1")])) == [("a.B.t1", "", "passed")]
