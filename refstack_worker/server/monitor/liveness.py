"""Whether this side could have heard the workers: only then is a silent one to blame, and its run given to another.

After the database was away, after the clocks of the server were set, while the API is down, and when the monitor has
just been started, every worker looks silent. Hours of tests would be thrown away if they were all given up at once,
although each is heard again within seconds.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import requests

from refstack_worker.server.db.clock import Clocks

LOG = logging.getLogger(__name__)

MAX_DRIFT = 2.0
"""Seconds by which the wall clock may run differently from one look to the next; beyond it has been set."""
ANSWER_SECONDS = 5.0
"""For the API to answer."""
MAX_ANSWER = 4096
"""Bytes of it that are read."""
HOLD_LIMITS = 15
"""Heartbeat limits for which an API that does not answer excuses everybody: with the usual 60 s as long as a worker is
patient (``server.patience``), and a monitor that cannot reach the API's public address still finds who is lost."""


class Liveness:
    """Since when everything that it takes to hear a worker has been in order."""

    def __init__(self, limit: float, api_answers: Callable[[], bool], clocks: Clocks | None = None) -> None:
        """:param limit: seconds of silence after which an attempt is lost."""
        self._limit = limit
        self._api_answers = api_answers
        self._clocks = clocks or Clocks()
        self._since = self._clocks.steady()
        self._looked = self._since
        self._offset = self._clocks.wall() - self._since
        self._is_disturbed = False
        self._unanswered_since: float | None = None

    def look(self) -> None:
        """Compare the clocks; the monitor does it in each round."""
        self._looked = now = self._clocks.steady()
        offset = self._clocks.wall() - now
        if abs(offset - self._offset) > MAX_DRIFT:
            jump = offset - self._offset
            LOG.warning("the clock jumped by %+.0f s; silent workers get another %g s", jump, self._limit)
            self._since = now
        self._offset = offset

    def disturbed(self) -> None:
        """The ledger could not be read: heartbeats could not be written either."""
        self._is_disturbed = True

    def nobody_is_silent(self) -> None:
        """All is well: should the API be found away later, that is another time."""
        if self._is_disturbed or self._unanswered_since is not None:
            self._since = self._clocks.steady()
        self._unanswered_since = None
        self._is_disturbed = False

    def is_good(self) -> bool:
        """Return whether a worker that is silent now could have been heard for the whole limit."""
        answers = self._api_answers()
        now = self._clocks.steady()
        # the time begins when all is found well again, not when it was last found wrong: workers need it to be heard
        if self._is_disturbed or self._unanswered_since is not None or now - self._looked > self._limit / 2:
            self._begin_anew(now)
        self._is_disturbed = False
        if answers:
            self._unanswered_since = None
        elif self._unanswered_since is None:
            LOG.warning(
                "heartbeats are missing, but the API does not respond: no attempt is marked lost because of this"
            )
            self._unanswered_since = self._since = now
        return now - self._since >= self._limit

    def _begin_anew(self, now: float) -> None:
        """An API that has not answered for very long no longer excuses silent workers."""
        if self._unanswered_since is None or now - self._unanswered_since < HOLD_LIMITS * self._limit:
            self._since = now


def api_answers(address: str) -> Callable[[], bool]:
    """Return a check whether the API answers at its public address. It sends no secret, so it checks no certificate."""
    url = f"{address.rstrip('/')}/health"

    def asked() -> bool:
        try:
            with requests.get(url, timeout=ANSWER_SECONDS, allow_redirects=False, stream=True) as answer:
                return answer.status_code < 500 and (answer.status_code != 200 or _is_ours(answer))
        except requests.exceptions.SSLError:
            return True
        except requests.RequestException:
            return False

    return asked


def _is_ours(answer: requests.Response) -> bool:
    """Whether a page is what the API says of its health, and not a proxy's own."""
    text = answer.raw.read(MAX_ANSWER, decode_content=True)
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
