"""A RefStack server that misbehaves, over real connections."""

from __future__ import annotations

import email
import email.policy
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.execute_test import http
from refstack_worker.execute_test.arguments import Arguments, parse_arguments
from refstack_worker.execute_test.failures import NotPosted, Refused, ServerFailure
from refstack_worker.execute_test.refstack_server import RefstackServer
from tests.support.http_server import HTML, Reply, Scripted, as_json, serving
from tests.unit.execute_test.tempest.streams import written

TOKEN = "a-secret-of-the-attempt"


THANKS = as_json({"message": "thank you", "test_id": 7, "attempt": 2}, 201)


BUSY = Reply(500, b"<h1>Internal Server Error</h1>", {"Content-Type": "text/html"})


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving() as script:
        yield script


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries go by at once; the clock goes on as if they had been waited for."""
    now = [0.0]

    class Clock:
        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

        @staticmethod
        def monotonic() -> float:
            now[0] += 0.01
            return now[0]

        @staticmethod
        def sleep(seconds: float) -> None:
            now[0] += seconds

    monkeypatch.setattr(http, "time", Clock())


@pytest.fixture
def result(tmp_path: Path) -> Path:
    (tmp_path / "subunit").write_bytes(b"\xb3stream" * 200_000)
    (tmp_path / "summary.json").write_text('{"exit_code": 0}')
    return tmp_path


def settings(server: Scripted, tmp_path: Path, *more: str) -> Arguments:
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    return parse_arguments(["--callback", server.url, "7", "--attempt", "2", "--token-file", str(token), "--post-only",
                  str(tmp_path), *more])  # fmt: skip


def parts(body: bytes, kind: str) -> dict[str, bytes]:
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP)
    return {str(part.get_param("name", header="Content-Disposition")): part.get_payload(decode=True) or b""
            for part in message.iter_parts()}  # type: ignore[attr-defined]  # fmt: skip


def test_post_brings_stream_summary_and_proof(server: Scripted, result: Path) -> None:
    server.on("/post-result", THANKS)
    RefstackServer(settings(server, result)).post(result)
    (asked,) = server.asked
    assert asked.path == "/post-result?test_id=7&attempt=2"
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    found = parts(asked.body, asked.headers["Content-Type"])
    assert found["file"] == (result / "subunit").read_bytes()
    assert json.loads(found["summary"]) == {"exit_code": 0}


def test_tempests_log_goes_along_unless_it_is_too_much(server: Scripted, result: Path) -> None:
    (result / "tempest.log").write_text("INFO one\nINFO two\n")
    server.on("/post-result", as_json({"error": "too large"}, 413), THANKS)
    RefstackServer(settings(server, result)).post(result)
    first, second = (parts(asked.body, asked.headers["Content-Type"]) for asked in server.asked)
    assert gzip.decompress(first["log"]) == b"INFO one\nINFO two\n"
    assert sorted(second) == ["file", "summary"] and second["file"] == first["file"]


def test_netrc_never_replaces_the_proof(server: Scripted, result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = result / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.on("/post-result", THANKS)
    RefstackServer(settings(server, result)).post(result)
    assert server.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    "failing",
    [
        [BUSY] * 8,  # more than a minute of them, with the pauses that are made
        [HTML],
        [Reply(201, b"<html>captive portal</html>", {"Content-Type": "text/html"})],
        [Reply(cut=0), Reply(cut=300_000)],
        [as_json({"error": "slow down"}, 429)],
        [as_json([1], 201)],
    ],
    ids=["500", "html", "html-201", "closed-halfway", "429", "json-list"],
)
def test_post_goes_through_in_the_end(server: Scripted, result: Path, failing: list[Reply]) -> None:
    server.on("/post-result", *failing, THANKS)
    RefstackServer(settings(server, result)).post(result)
    assert len(server.asked) == len(failing) + 1
    found = parts(server.asked[-1].body, server.asked[-1].headers["Content-Type"])
    assert found["file"] == (result / "subunit").read_bytes()


def test_server_of_2014_thanks_in_plain_text(server: Scripted, result: Path) -> None:
    server.on("/post-result", Reply(201, b"thank you", {"Content-Type": "text/plain"}))
    RefstackServer(settings(server, result)).post(result)
    assert len(server.asked) == 1


def of_2014(server: Scripted) -> Arguments:
    return parse_arguments(["--url", server.url, "--test-id", "7", "--tempest-dir", "/t"])


def test_server_of_2014_that_fails_with_bytes_gets_text(server: Scripted, tmp_path: Path) -> None:
    (tmp_path / "subunit").write_bytes(written({"test_id": "a.b", "test_status": "success"}))
    server.on("/post-result", BUSY, Reply(201, b"thank you", {"Content-Type": "text/html; charset=utf-8"}))
    RefstackServer(of_2014(server)).post(tmp_path)
    bytes_first, then_text = (parts(asked.body, asked.headers["Content-Type"])["file"] for asked in server.asked)
    assert bytes_first.startswith(b"\xb3")
    assert b"test: a.b\nsuccess: a.b\n" in then_text
    assert [path.name for path in tmp_path.iterdir()] == ["subunit"]


def test_run_of_the_queue_is_never_posted_as_text(server: Scripted, result: Path) -> None:
    server.on("/post-result", BUSY, THANKS)
    RefstackServer(settings(server, result)).post(result)
    sent = [parts(asked.body, asked.headers["Content-Type"])["file"] for asked in server.asked]
    assert sent == [(result / "subunit").read_bytes()] * 2


@pytest.mark.parametrize("call", ["miniconf", "testcases"])
def test_id_that_the_server_of_2014_does_not_know_ends_at_once(server: Scripted, call: str) -> None:
    for path in ("/get-miniconf", "/get-testcases"):
        server.on(path, Reply(200, b"Invalid test ID", {"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(ServerFailure, match="there is no test 7"):
        getattr(RefstackServer(of_2014(server)), call)()
    assert len(server.asked) == 1


def test_post_gives_up_when_the_patience_ends(server: Scripted, result: Path) -> None:
    server.on("/post-result", BUSY)
    with pytest.raises(NotPosted, match="500.*--post-only"):
        RefstackServer(settings(server, result, "--patience", "60")).post(result)
    assert 4 < len(server.asked) < 20


@pytest.mark.parametrize("status", [400, 401, 403, 409, 413])
def test_refusal_is_final(server: Scripted, result: Path, status: int) -> None:
    server.on("/post-result", as_json({"error": "the attempt is superseded", "reason": "superseded"}, status))
    with pytest.raises(Refused, match="superseded"):
        RefstackServer(settings(server, result)).post(result)
    assert len(server.asked) == 1


def test_redirect_is_not_followed(server: Scripted, result: Path) -> None:
    with serving() as elsewhere:
        server.on("/post-result", Reply(307, b"", {"Location": f"{elsewhere.url}/post-result"}))
        with pytest.raises(Refused, match="redirects"):
            RefstackServer(settings(server, result)).post(result)
        assert elsewhere.asked == []


def test_mini_conf_and_test_cases(server: Scripted, tmp_path: Path) -> None:
    server.on("/get-miniconf", BUSY, HTML, as_json({"identity": {"uri": "http://k"}}))
    server.on("/get-testcases", as_json({"testcases": ["tempest.api.identity"]}))
    asker = RefstackServer(settings(server, tmp_path))
    assert asker.miniconf() == {"identity": {"uri": "http://k"}}
    assert asker.testcases() == ("tempest.api.identity",)
    assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {TOKEN}"}


def test_no_connection_is_held_open_while_the_tests_run(server: Scripted, tmp_path: Path) -> None:
    server.on("/get-miniconf", as_json({}))
    RefstackServer(settings(server, tmp_path)).miniconf()
    assert server.asked[0].headers["Connection"] == "close"


def test_no_connection_is_used_twice(server: Scripted, tmp_path: Path) -> None:
    server.on("/get-miniconf", Reply(200, b"{}", lingers=True))
    client = RefstackServer(settings(server, tmp_path))
    client.miniconf()
    client.miniconf()
    assert len({asked.port for asked in server.asked}) == 2, "one that the server is about to close must not be used"


def test_mini_conf_that_stays_html(server: Scripted, tmp_path: Path) -> None:
    server.on("/get-miniconf", HTML)
    with pytest.raises(ServerFailure, match="text/html that is not JSON"):
        RefstackServer(settings(server, tmp_path, "--patience", "20")).miniconf()


def test_mini_conf_refused(server: Scripted, tmp_path: Path) -> None:
    server.on("/get-miniconf", as_json({"error": "no proof", "reason": "proof"}, 401))
    with pytest.raises(ServerFailure, match="no proof"):
        RefstackServer(settings(server, tmp_path)).miniconf()
    assert len(server.asked) == 1


def test_mini_conf_that_is_text(server: Scripted, tmp_path: Path) -> None:
    server.on("/get-miniconf", as_json("Invalid test ID"))
    with pytest.raises(ServerFailure, match="response is invalid: get-miniconf: not a JSON object"):
        RefstackServer(settings(server, tmp_path)).miniconf()


@pytest.mark.parametrize("testcases", [[], None, ["tempest", 5], ["regex:("], ["--help"]], ids=str)
def test_test_cases_that_make_no_sense_are_the_servers(server: Scripted, tmp_path: Path, testcases: Any) -> None:
    server.on("/get-testcases", as_json({"testcases": testcases}))
    with pytest.raises(ServerFailure, match="response is invalid: get-testcases: "):
        RefstackServer(settings(server, tmp_path)).testcases()


def test_server_that_is_not_there(tmp_path: Path) -> None:
    with serving() as gone:
        pass
    with pytest.raises(ServerFailure, match="refused"):
        RefstackServer(settings(gone, tmp_path, "--patience", "5")).miniconf()
