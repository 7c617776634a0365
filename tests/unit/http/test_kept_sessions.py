from __future__ import annotations

from pathlib import Path

import pytest
import requests
import urllib3.connection

from refstack_worker.http import session as sessions
from refstack_worker.http.kept_sessions import KeptSessions
from refstack_worker.http.session import HttpSession
from tests.support.http_server import as_json, serving
from tests.support.processes import eventually


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[requests.Session]:
    found: list[requests.Session] = []
    close = requests.Session.close
    monkeypatch.setattr(requests.Session, "close", lambda self: (found.append(self), close(self))[1])
    return found


def test_one_that_was_given_back_is_used_again_and_then_closed(closed: list[requests.Session]) -> None:
    kept = KeptSessions(seconds=0.05)
    session = kept.take("")
    assert kept.take("") is not session
    kept.give_back(session, "")
    assert kept.take("") is session
    kept.give_back(session, "")
    eventually("it is closed", lambda: closed == [session], 5)
    assert kept.take("") is not session


def test_one_that_trusts_other_authorities_is_not_given() -> None:
    kept = KeptSessions(seconds=60)
    first, second = kept.take("/etc/first.pem"), kept.take("/etc/second.pem")
    kept.give_back(first, "/etc/first.pem")
    kept.give_back(second, "/etc/second.pem")
    assert kept.take("") not in (first, second)
    assert kept.take("/etc/first.pem") is first
    assert kept.take("/etc/first.pem") is not second


def test_those_beyond_the_limit_are_closed_at_once(closed: list[requests.Session]) -> None:
    kept = KeptSessions(seconds=60, max_kept=1)
    first, second = kept.take(""), kept.take("")
    kept.give_back(first, "")
    kept.give_back(second, "")
    assert closed == [second]
    assert kept.take("") is first


def test_the_next_session_uses_the_connection_with_its_own_token_and_no_cookies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A session and its connection for each run took a node as long as a call."""
    monkeypatch.setattr(sessions, "_KEPT", KeptSessions())
    made = []
    connect = urllib3.connection.HTTPConnection.connect
    monkeypatch.setattr(
        urllib3.connection.HTTPConnection,
        "connect",
        lambda self: (made.append(self), connect(self))[1],
    )
    with serving() as server:
        server.on("/x", as_json({}), as_json({}))
        for token in ("first", "second"):
            session = HttpSession(token)
            with session.response("GET", f"{server.url}/x", 5) as response:
                response.content  # noqa: B018 - the connection is free when the body is read
                session._session.cookies.set("who", token)  # type: ignore[union-attr]
            session.close()
    assert [asked.headers.get("Authorization") for asked in server.asked] == ["Bearer first", "Bearer second"]
    assert [asked.headers.get("Cookie") for asked in server.asked] == [None, None]
    assert len(made) == 1


def test_a_closed_session_may_be_used_again() -> None:
    with serving() as server:
        server.on("/x", as_json({}), as_json({}))
        session = HttpSession("token")
        for _ in range(2):
            with session.response("GET", f"{server.url}/x", 5) as response:
                assert response.status_code == 200
            session.close()
            session.close()
