"""Slow calls of all kinds together leave threads for quick ones."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from refstack_worker.config.server import WebSettings
from refstack_worker.errors import RefusedError
from refstack_worker.server.services.turns import MAX_SLOW, MAX_SLOW_OF_ONE, Places, Turns
from refstack_worker.server.serving.http_server import THREADS


def test_kinds_share_places_of_one_account_and_of_all() -> None:
    slow = Places(3, 2)
    checks, uploads = (Turns(9, 9, f"Too many {kind}.", slow) for kind in ("checks", "uploads"))
    with ExitStack() as held:
        held.enter_context(checks.turn("1"))
        held.enter_context(uploads.turn("1"))
        with pytest.raises(RefusedError, match="Too many uploads") as caught, uploads.turn("1"):
            pass
        assert caught.value.reason == "busy"
        held.enter_context(checks.turn("2"))
        with pytest.raises(RefusedError, match="Too many checks"), checks.turn("3"):
            pass
    # a caller that was refused or is done holds nothing
    with ExitStack() as held:
        for account in ("1", "1", "2"):
            held.enter_context(uploads.turn(account))


def test_a_kind_has_limits_of_its_own() -> None:
    turns = Turns(2, 1, "Wait.", Places(9, 9))
    with turns.turn("1"):
        with pytest.raises(RefusedError), turns.turn("1"):
            pass
        with turns.turn("2"), pytest.raises(RefusedError), turns.turn("3"):
            pass


def test_threads_are_left_for_calls_that_take_no_time() -> None:
    streams = WebSettings().event_streams
    assert THREADS - streams - MAX_SLOW >= 2
    # and much more than that where one account does all it can
    assert THREADS - streams // 2 - MAX_SLOW_OF_ONE >= 8
