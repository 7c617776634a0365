"""The formats in which a result is given out, each read back with another project's reader."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

pytest.importorskip("cryptography")


from refstack_worker.contract.states import RunState
from refstack_worker.errors import RefusedError, ResultError, ServerError
from refstack_worker.server.domain.results import Counts, TestResult
from refstack_worker.server.domain.runs import Run, RunSpec
from refstack_worker.server.results import upload
from refstack_worker.server.results.exports.formats import FORMATS
from refstack_worker.server.results.exports.report import ExportedRun
from tests.support import http_server

UUID = "01234567-89ab-4cde-8f01-23456789abcd"
TRACE = "Traceback\n]]> <&> \x00\x1b\nKeyError: 'é'"
TESTS = [
    TestResult(1, "tempest.api.T.test_one", UUID, "passed", 1.5, 1_800_000_000.0),
    TestResult(2, "tempest.api.T.test_two(a.b,c)", "", "failed", 0.25, 1_800_000_001.0, TRACE),
    TestResult(3, "=cmd()", "", "skipped", 0.0, 0.0, "+not <here>"),
]  # fmt: skip


def exported(tests: list[TestResult] | None = None) -> ExportedRun:
    run = Run(
        7, RunState.FINISHED, 2, RunSpec(tempest_version="47.0.0"), 1_800_000_000.0, 0.0, label="A <b> & \"c\"",
        worker="node", counts=Counts(1, 1, 1),
    )  # fmt: skip
    given = TESTS if tests is None else tests
    return ExportedRun(run, 1.75, 1_800_000_010.0, lambda: iter(given))


def made(name: str, tests: list[TestResult] | None = None) -> str:
    return "".join(FORMATS[name].make(exported(tests)))


class TestJunit:
    def test_counts_cases_and_reasons(self) -> None:
        suite = ElementTree.fromstring(made("junit")).find("testsuite")
        assert suite is not None
        counted = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
        assert counted == {"tests": "3", "failures": "1", "errors": "0", "skipped": "1", "time": "1.750"}
        cases = suite.findall("testcase")
        names = [(case.get("classname"), case.get("name")) for case in cases]
        assert names[:2] == [("tempest.api.T", "test_one"), ("tempest.api.T", "test_two(a.b,c)")]
        failure = cases[1].find("failure")
        assert failure is not None and failure.get("message") == "KeyError: 'é'" and "]]> <&>" in (failure.text or "")

    def test_the_children_stand_in_the_order_of_the_schema(self) -> None:
        suite = ElementTree.fromstring(made("junit")).find("testsuite")
        assert suite is not None
        tags = [child.tag for child in suite]
        assert tags == ["properties", "testcase", "testcase", "testcase", "system-out", "system-err"]
        assert {"name", "package", "id", "timestamp", "hostname"} <= set(suite.keys())
        assert suite.get("timestamp") == "2027-01-15T08:00:00"


class TestTables:
    def test_csv_is_read_back_and_holds_no_formula(self) -> None:
        rows = list(csv.DictReader(io.StringIO(made("csv"))))
        assert [row["status"] for row in rows] == ["passed", "failed", "skipped"]
        assert rows[0]["id"] == UUID
        assert rows[2]["name"] == "'=cmd()" and rows[2]["reason"] == "'+not <here>"

    def test_csv_is_quoted_for_who_separates_at_semicolons(self) -> None:
        hostile = [
            TestResult(1, "a;=HYPERLINK(1)", "", "failed", 0.0, 0.0, "x"),
            TestResult(2, "\n=1", "", "failed", 0.0),
        ]
        hostile += [TestResult(3, "\uff1d1", "", "failed", 0.0)]
        lines = "".join(made("csv", hostile)).split("\r\n")
        assert lines[1].startswith('"a;=HYPERLINK(1)",') and lines[3].startswith('"\'\uff1d1"')
        assert '"\'\n=1"' in "\r\n".join(lines)

    @pytest.mark.parametrize("tests", [TESTS, []])
    def test_json_is_whole(self, tests: list[TestResult]) -> None:
        whole = json.loads(made("json", tests))
        assert [test["name"] for test in whole["tests"]] == [test.name for test in tests]
        assert whole["counts"] == {"passed": 1, "failed": 1, "skipped": 1}


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_loads_nothing_and_shows_what_is_written_as_text() -> None:
    text = made("html")
    links = Links()
    links.feed(text)
    assert links.found == [] and not {"script", "img", "link", "iframe"} & set(links.tags)
    assert "url(" not in text and "@import" not in text
    assert "A &lt;b&gt; &amp;" in text and "&lt;&amp;&gt;" in text


class TestUpload:
    def test_only_passed_tests_with_their_ids_and_nothing_else(self) -> None:
        whole = json.loads(upload.body("c0ffee", 1.75, TESTS))
        assert whole == {
            "cpid": "c0ffee",
            "duration_seconds": 2,
            "results": [{"name": "tempest.api.T.test_one", "uuid": UUID}],
        }

    def test_nothing_passed(self) -> None:
        with pytest.raises(ResultError, match="no test passed"):
            upload.body("c0ffee", 1, TESTS[1:])


class TestSend:
    SIGNED = upload.Signed(b"{}", "abcd", "ssh-rsa AAAA")

    def test_where_and_with_which_headers(self) -> None:
        with http_server.serving() as server:
            server.on("/v1/results/", http_server.as_json({"test_id": "t-1", "url": "https://r/t-1"}, 201))
            assert upload.send(server.url, self.SIGNED) == {"test_id": "t-1", "url": "https://r/t-1"}
            (asked,) = server.asked
        assert (asked.method, asked.body) == ("POST", b"{}")
        assert (asked.headers["X-Signature"], asked.headers["X-Public-Key"]) == ("abcd", "ssh-rsa AAAA")

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (http_server.as_json({"detail": "bad signature"}, 400), RefusedError),
            (http_server.as_json({"message": "hm"}, 201), ServerError),
            (http_server.HTML, ServerError),
            (http_server.as_json({}, 302, Location="http://127.0.0.1:1/"), ServerError),
        ],
    )
    def test_other_answers(self, reply: http_server.Reply, error: type[Exception]) -> None:
        with http_server.serving() as server:
            server.on("/v1/results/", reply)
            with pytest.raises(error, match="v1/results"):
                upload.send(server.url, self.SIGNED)
