"""When silence is a worker's fault, and when it is this side that was deaf."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from refstack_worker.server.monitor.liveness import HOLD_LIMITS, Clocks, Liveness, api_answers

LIMIT = 60.0


class Site:
    def __init__(self):
        self.steady = 1000.0
        self.wall = 1_800_000_000.0
        self.answers = True
        self.liveness = Liveness(LIMIT, lambda: self.answers, Clocks(lambda: self.steady, lambda: self.wall))

    def forward(self, seconds, jump=0.0):
        self.steady += seconds
        self.wall += seconds + jump
        self.liveness.look()


@pytest.fixture
def site():
    return Site()


def test_nobody_is_to_blame_before_the_monitor_has_listened_for_the_limit(site):
    site.forward(LIMIT - 1)
    assert not site.liveness.is_good()
    site.forward(1)
    assert site.liveness.is_good()


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_clock_that_was_set_starts_the_time_anew(site, jump):
    site.forward(LIMIT + 1)
    assert site.liveness.is_good()
    site.forward(1, jump)
    assert not site.liveness.is_good()
    site.forward(LIMIT)
    assert site.liveness.is_good()


def test_clock_that_is_slewed_does_not(site):
    for _ in range(200):
        site.forward(1, 0.01)
    assert site.liveness.is_good()


def test_ledger_that_was_away_starts_the_time_anew(site):
    site.forward(LIMIT + 1)
    site.liveness.disturbed()
    assert not site.liveness.is_good()
    site.forward(LIMIT)
    assert site.liveness.is_good()


def test_api_that_is_down_excuses_everybody_but_not_for_ever(site):
    site.forward(LIMIT + 1)
    site.answers = False
    for _ in range(HOLD_LIMITS):
        assert not site.liveness.is_good()
        site.forward(LIMIT)
    assert site.liveness.is_good()


def test_each_time_that_the_api_is_down_counts_for_itself(site):
    site.forward(LIMIT + 1)
    site.answers = False
    assert not site.liveness.is_good()
    site.forward(LIMIT * HOLD_LIMITS)
    site.liveness.nobody_is_silent()
    site.forward(LIMIT)
    assert not site.liveness.is_good()


def test_time_begins_when_all_is_well_again_however_long_the_last_round_took(site):
    site.forward(LIMIT + 1)
    site.answers = False
    assert not site.liveness.is_good()
    site.forward(LIMIT * 2)
    site.answers = True
    assert not site.liveness.is_good(), "the API is back this moment"
    site.forward(LIMIT)
    assert site.liveness.is_good()
    site.liveness.disturbed()
    site.forward(LIMIT * 2)
    assert not site.liveness.is_good(), "the ledger is back this moment"
    site.forward(LIMIT)
    assert site.liveness.is_good()


def test_ledger_that_answered_only_after_long_starts_the_time_anew(site):
    site.forward(LIMIT + 1)
    site.steady += LIMIT
    site.wall += LIMIT
    assert not site.liveness.is_good()


def test_api_that_is_back_gives_the_limit_to_be_heard(site):
    site.forward(LIMIT + 1)
    site.answers = False
    assert not site.liveness.is_good()
    site.answers = True
    assert not site.liveness.is_good()
    site.forward(LIMIT)
    assert site.liveness.is_good()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"status": "ok"}', True),
        (200, b"<html>a proxy's page</html>", False),
        (200, b"\xff\x00", False),
        (302, b"", True),
        (404, b"", True),
        (500, b"{}", False),
        (503, b"{}", False),
    ],
)
def test_api_answers_unless_it_fails(status, body, expected):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/base/health" else 418)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    question = api_answers(f"http://127.0.0.1:{server.server_address[1]}/base/")
    assert question() is expected
    thread.join()
    server.server_close()
    assert question() is False, "no program listens any more"
