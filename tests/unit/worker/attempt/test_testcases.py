from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from refstack_worker.config.worker import RunSettings, WorkerSettings
from refstack_worker.contract.testcases import Testcases
from refstack_worker.errors import PayloadError, ServerError
from refstack_worker.worker.attempt import testcases
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from tests.support.dripping import dripping
from tests.support.http_server import Reply, Scripted


@pytest.mark.parametrize(
    "text",
    [
        "\ufefftempest.a\r\n\r\ntempest.b[id-1]\t# why\r\n",
        '["tempest.a", "tempest.b[id-1]"]',
        "tempest.a # x\ntempest.b[id-1]",
    ],
    ids=["windows", "json", "plain"],
)
def test_lists_as_any_editor_saves_them(text: str) -> None:
    assert testcases.parse(text) == ["tempest.a", "tempest.b[id-1]"]


def test_damaged_json_list() -> None:
    with pytest.raises(PayloadError, match="not a JSON list"):
        testcases.parse('["tempest.a",]')


def test_lists_of_tests(claimed: ClaimedAttempt, settings: WorkerSettings, server: Scripted) -> None:
    assert testcases.entries(claimed, settings) is None

    def of(cases: Testcases) -> ClaimedAttempt:
        return replace(claimed, payload=replace(claimed.payload, testcases=cases))

    assert testcases.entries(of(Testcases(("a.b",), ("^x",))), settings) == ("a.b", "regex:^x")
    listed = of(Testcases(url=f"{server.url}/list"))
    with pytest.raises(PayloadError, match="does not download test lists"):
        testcases.entries(listed, settings)
    allowing = replace(settings, run=RunSettings(allow_testcase_urls=True))
    server.on("/list", Reply(200, b"# mine\ntempest.a.B.c[id-1] # first\n\ntempest.d\n"))
    assert testcases.entries(listed, allowing) == ("tempest.a.B.c[id-1]", "tempest.d")
    server.on("/list", Reply(200, "tempest.a.B.c\r\n".encode("utf-16")))
    assert testcases.entries(listed, allowing) == ("tempest.a.B.c",)
    server.on("/list", Reply(200, b"--help\n"))
    with pytest.raises(PayloadError, match="test name"):
        testcases.entries(listed, allowing)
    bomb = Reply(200, gzip.compress(b"tempest.a\n" * 10_000), {"Content-Encoding": "gzip"})
    for reply in (Reply(302, b"", {"Location": "/other"}), Reply(404), Reply(200, b"x" * (9 << 20)), bomb):
        server.on("/list", reply)
        with pytest.raises(ServerError, match="test list"):
            testcases.entries(listed, allowing)
    assert not [asked for asked in server.asked if asked.path == "/other"]


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "127.47.30.1", "[::ffff:169.254.169.254]", "[2002:a9fe:a9fe::1]"]
)
def test_a_list_at_a_metadata_service_or_the_queue_is_not_asked_for(host: str) -> None:
    with pytest.raises(PayloadError, match="must not ask"):
        testcases.fetch(f"http://{host}/latest/user-data")


def test_a_list_that_drips_holds_the_node_until_the_deadline_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testcases, "SECONDS", 0.5)
    with dripping() as url, pytest.raises(ServerError, match="took too long|timed out"):
        testcases.fetch(url)
