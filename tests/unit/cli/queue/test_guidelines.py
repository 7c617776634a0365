"""``refstack-queue guideline …``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refstack_worker.cli.queue.main import main
from tests.support import http_server
from tests.support.http_server import Scripted, as_json

GUIDELINES = [
    {"id": 4, "name": "2020.06", "origin": "own"},
    {"id": 3, "name": "2020.06", "origin": "official"},
    {"id": 1, "name": "2020.06", "origin": "official"},
]
TESTS = [
    {"name": "a.B.test_c", "uuid": "u-1", "aliases": ["a.Old.test_c"], "flagged": False},
    {"name": "a.B.test_d", "uuid": "", "aliases": [], "flagged": True},
]


def call(server: Scripted, folder: Path, *words: str) -> int:
    (folder / "token").write_text("t" * 20)
    (folder / "token").chmod(0o600)
    return main(["--url", server.url, "--token-file", str(folder / "token"), "guideline", *words])


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], ["a.B.test_c[id-u-1]"]),
        (["--format", "names", "--flagged"], ["a.B.test_c", "a.B.test_d"]),
        (["--aliases"], ["a.B.test_c[id-u-1]", "a.Old.test_c[id-u-1]"]),
    ],
)
def test_tests_are_printed_one_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], lines: list[str]
) -> None:
    with http_server.serving() as server:
        server.on("/v1/guidelines", as_json({"guidelines": GUIDELINES}))
        server.on("/v1/guidelines/3/tests", as_json({"tests": TESTS}))
        assert call(server, tmp_path, "tests", "2020.06", "--program", "Storage", *words) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_a_guideline_is_shown_with_the_version_that_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = {"name": "Storage", "required": 58, "advisory": 0, "tempest_version": "47.0.0", "tests": []}
    with http_server.serving() as server:
        server.on("/v1/guidelines", as_json({"guidelines": GUIDELINES}))
        server.on("/v1/guidelines/3", as_json({**GUIDELINES[1], "releases": ["train"], "programs": [program]}))
        assert call(server, tmp_path, "show", "2020.06", "-f", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["programs"] == "Storage: 58 required and 0 advisory tests, Tempest 47.0.0"
    assert (shown["origin"], shown["releases"]) == ("official", "train")


def test_a_guideline_is_deleted_by_its_id(tmp_path: Path) -> None:
    with http_server.serving() as server:
        server.on("/v1/guidelines", as_json({"guidelines": GUIDELINES}))
        server.on("/v1/guidelines/4", http_server.Reply(204, b""))
        assert call(server, tmp_path, "delete", "4") == 0
        assert [(one.method, one.path) for one in server.asked][-1] == ("DELETE", "/v1/guidelines/4")


def test_a_guideline_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with http_server.serving() as server:
        server.on("/v1/guidelines", as_json({"guidelines": []}))
        assert call(server, tmp_path, "tests", "1999.01", "--program", "Storage") == 6
    assert "'1999.01'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "words", "name"),
    [
        ("orchestration.2018.02.json", [], "orchestration.2018.02"),
        ("mine.json", [], None),
        ("mine.json", ["--name", "nightly"], "nightly"),
    ],
)
def test_the_files_name_is_taken_where_it_is_a_guidelines(
    tmp_path: Path, file: str, words: list[str], name: str | None
) -> None:
    (tmp_path / file).write_bytes(b"\xef\xbb\xbf{}")
    with http_server.serving() as server:
        server.on("/v1/guidelines", as_json({"id": 1}, 201))
        assert call(server, tmp_path, "add", str(tmp_path / file), *words) == 0
        (asked,) = server.asked
    assert json.loads(asked.body) == {"text": "{}", **({"name": name} if name else {})}
