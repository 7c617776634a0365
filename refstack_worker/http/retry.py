"""Trying a call again while it fails in a way that may pass, with pauses that grow and spread a fleet out."""

from __future__ import annotations

import logging
import threading
from typing import Any

import tenacity

FIRST_PAUSE = 0.5
MAX_PAUSE = 30.0
"""Seconds between two tries: the first pause at most, and the longest."""


def retrying(
    kinds: type[BaseException] | tuple[type[BaseException], ...],
    *,
    seconds: float,
    unless: type[BaseException] | tuple[type[BaseException], ...] = (),
    log: logging.Logger,
    given_up: threading.Event | None = None,
    first_pause: float = FIRST_PAUSE,
    max_pause: float = MAX_PAUSE,
) -> tenacity.Retrying:
    """Return a caller that tries again on errors of ``kinds`` for ``seconds``, and then raises the last one.

    :param unless: those of the ``kinds`` that are final.
    :param given_up: when set, the current pause ends and the last error is raised.
    :param first_pause: each pause is up to twice as long as the one before it, from this one to ``max_pause``.
    """
    abandoned = given_up or threading.Event()
    stop: Any = tenacity.stop_after_delay(seconds) | tenacity.stop_when_event_set(abandoned)
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, kinds) and not isinstance(error, unless)),
        stop=stop,
        wait=_Spread(first_pause, max_pause, seconds),
        sleep=tenacity.sleep_using_event(abandoned),
        before_sleep=_log(log),
        reraise=True,
    )


class _Spread(tenacity.wait.wait_base):
    """Half to all of a pause that doubles, but never past the time in which to try."""

    def __init__(self, first: float, longest: float, seconds: float) -> None:
        self._whole = tenacity.wait_exponential(multiplier=first, max=longest)
        self._seconds = seconds

    def __call__(self, retry_state: Any) -> float:
        pause = float(self._whole(retry_state))
        pause = float(tenacity.wait_random(pause / 2, pause)(retry_state))
        spent = retry_state.seconds_since_start or 0.0
        return max(0.0, min(pause, self._seconds - spent))


def _log(log: logging.Logger) -> Any:
    def before_sleep(state: Any) -> None:
        log.warning("%s; trying again in %.1f s", state.outcome.exception(), state.next_action.sleep)

    return before_sleep
