"""Live news of runs for watchers: one thread of a process asks the database for all of them together.

Two queries a round, however many watchers there are; no rounds without watchers. A watcher waits for the
thread and asks nothing by itself.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timezone
from typing import Any

from refstack_worker.contract.states import RunState, status_text
from refstack_worker.errors import RefstackError
from refstack_worker.server.domain.attempts import silent_seconds
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.serving.changes import Changes

LOG = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
"""Longest pause between two rounds."""
QUICK_SECONDS = 0.25
"""Shortest pause between two rounds: a watcher of a few runs hears of a change at once."""
ROUND_SHARE = 0.05
"""Share of the time that rounds may take before the pause becomes longer than the shortest."""
KEEPALIVE_SECONDS = 15.0
"""After so long without news a comment is sent, so that proxies keep the stream open and a gone watcher is noticed."""
RETRY_MILLISECONDS = 3000
"""After which a browser asks again when its stream ends."""
CHECK_SECONDS = 10.0
"""Between two looks whether a watcher may still watch: a token may be revoked meanwhile, a user disabled."""
KEPT_MESSAGES = 200
_ALL = 0
"""Stands among the watched runs for all of them."""

News = tuple[Mapping[str, Any], tuple[Mapping[str, Any], ...]]
"""State of a run, and its last messages."""


class Permit:
    """Whether a watcher may still watch; asked now and then, not for each event."""

    def __init__(self, holds: Callable[[], bool] = lambda: True) -> None:
        self._holds = holds
        self._asked = time.monotonic()

    def has_ended(self) -> bool:
        """Return whether the stream has to end before its next event."""
        now = time.monotonic()
        if now - self._asked < CHECK_SECONDS:
            return False
        self._asked = now
        return not self._holds()


class Hub:
    """What is known of the runs that are watched in this process."""

    def __init__(self, ledger: Ledger, most: int, seconds: float = ROUND_SECONDS) -> None:
        """:param most: streams that may be open at the same time."""
        self._ledger = ledger
        self._most = most
        self._seconds = seconds
        self._changed = threading.Condition()
        self._watchers: Counter[int] = Counter()
        self._accounts: Counter[str] = Counter()
        self._news: dict[int, News] = {}
        self._owner = 0
        self._changes: Changes | None = None
        self.rounds = 0
        """How often the database was asked."""

    def stream(
        self, test_id: int, after: int = 0, account: str = "", may_watch: Callable[[], bool] = lambda: True
    ) -> Iterator[str]:
        """Yield the text of a stream of server-sent events, until the run ends or the watcher goes.

        Events: ``run`` (JSON of state, progress and counts; when something changed), ``message`` (a status message,
        with its id), ``end``. If too many streams are open already it ends after the first events; browsers ask again.

        :param after: id of the last message that the watcher has (``Last-Event-ID``).
        :param account: of the watcher: each account has half of the streams.
        :param may_watch: tells whether the watcher may still see the run; if not, the stream ends.
        """
        with self._changed:
            is_short = self._is_full(account)
            self._watchers[test_id] += 1
            self._accounts[account] += 1
            self._start()
        try:
            yield f"retry: {RETRY_MILLISECONDS}\n\n"
            yield from self._follow(test_id, after, is_short, Permit(may_watch))
        finally:
            with self._changed:
                self._accounts -= Counter({account: 1})
                self._watchers[test_id] -= 1
                if not self._watchers[test_id]:
                    del self._watchers[test_id]
                    self._news.pop(test_id, None)

    def stream_all(
        self,
        is_visible: Callable[[Mapping[str, Any]], bool],
        after: int = 0,
        account: str = "",
        may_watch: Callable[[], bool] = lambda: True,
    ) -> Iterator[str]:
        """Yield an event ``run`` whenever a run changes its state, of those that a watcher sees.

        It ends only when the watcher may no longer watch.

        :param is_visible: tells it of a run as the ledger has it, with ``owner_id``.
        :param after: number of the last event that the watcher has (``Last-Event-ID``).
        """
        permit = Permit(may_watch)
        with self._changed:
            is_short = self._is_full(account)
            self._watchers[_ALL] += 1
            self._accounts[account] += 1
            if self._changes is None:
                self._changes = Changes(self._ledger.clock())
            changes = self._changes
            last = after or changes.last
            self._start()
        try:
            yield f"retry: {RETRY_MILLISECONDS}\n\n"
            while not is_short:
                with self._changed:
                    # one state of "nothing new" for all: each watcher looks for itself
                    self._changed.wait_for(lambda: changes.last > last, KEEPALIVE_SECONDS)  # noqa: B023
                    fresh = changes.after(last)
                if permit.has_ended():
                    return
                if not fresh:
                    yield _event("alive", {})
                for last, change in fresh:
                    if is_visible(change):
                        yield _event("run", _changed_run(change), last)
        finally:
            with self._changed:
                self._accounts -= Counter({account: 1})
                self._watchers[_ALL] -= 1
                if not self._watchers[_ALL]:
                    del self._watchers[_ALL]
                    self._changes = None

    def _is_full(self, account: str) -> bool:
        return sum(self._watchers.values()) >= self._most or self._accounts[account] >= max(1, self._most // 2)

    def _follow(self, test_id: int, after: int, is_short: bool, permit: Permit) -> Iterator[str]:
        seen: Mapping[str, Any] | None = None
        while True:
            news = self._wait(test_id, seen, after)
            if permit.has_ended():
                return
            if news is None:
                yield _event("alive", {})
                continue
            state, messages = news
            for message in messages:
                if message["id"] > after:
                    after = message["id"]
                    yield _event("message", message, after)
            if state != seen:
                seen = state
                yield _event("run", state)
            if state["is_end"]:
                yield _event("end", {"state": state["state"]})
                return
            if is_short:
                return

    def _wait(self, test_id: int, seen: Mapping[str, Any] | None, after: int) -> News | None:
        def has_news() -> bool:
            news = self._news.get(test_id)
            return news is not None and (news[0] != seen or any(said["id"] > after for said in news[1]))

        with self._changed:
            return self._news[test_id] if self._changed.wait_for(has_news, KEEPALIVE_SECONDS) else None

    def _start(self) -> None:
        # threads do not survive a fork
        if self._owner != os.getpid():
            self._owner = os.getpid()
            threading.Thread(target=self._work, name="events", daemon=True).start()

    def _work(self) -> None:
        while True:
            began = time.monotonic()
            with self._changed:
                if not self._watchers:
                    self._owner = 0
                    return
                after = {test_id: self._last(test_id) for test_id in self._watchers if test_id != _ALL}
                changes = self._changes
            try:
                if changes is not None:
                    self._take_changes(changes)
                if after:
                    self._take(*self._ledger.runs.watched(after))
            except RefstackError as error:
                LOG.warning("events: %s", error)
            except Exception:  # without this thread every stream of the process would be silent until it is restarted
                LOG.exception("events: unexpected error")
            self.rounds += 1
            time.sleep(self._pause(time.monotonic() - began))

    def _pause(self, took: float) -> float:
        """Return the seconds until the next round. :param took: seconds of the last one."""
        return min(self._seconds, max(QUICK_SECONDS, took / ROUND_SHARE))

    def _take_changes(self, changes: Changes) -> None:
        # of a clock that was ahead: until it had caught up, nothing would be new
        changes.since = min(changes.since, self._ledger.clock())
        rows = self._ledger.runs.changed_since(changes.asked_from)
        with self._changed:
            changes.take(rows)
            self._changed.notify_all()

    def _last(self, test_id: int) -> int:
        news = self._news.get(test_id)
        return int(news[1][-1]["id"]) if news and news[1] else 0

    def _take(self, rows: list[Any], messages: list[Any]) -> None:
        said: dict[int, list[Mapping[str, Any]]] = {}
        for row in messages:
            said.setdefault(row["test_id"], []).append(_message(row))
        now, interval = self._ledger.clock(), self._ledger.settings.rules.heartbeat_seconds
        with self._changed:
            for row in rows:
                silence = silent_seconds(RunState(row["state"]), row["heartbeat_at"], now, interval)
                known = self._news.get(row["test_id"], ({}, ()))[1]
                last = known[-1]["id"] if known else 0
                fresh = tuple(one for one in said.get(row["test_id"], ()) if one["id"] > last)
                if row["test_id"] in self._watchers:
                    self._news[row["test_id"]] = (_state(row, silence), (known + fresh)[-KEPT_MESSAGES:])
            self._changed.notify_all()


def _state(row: Any, silence: int) -> dict[str, Any]:
    progress = json.loads(row["progress"] or "{}")
    names = ("test_id", "state", "attempt", "message", "reason", "worker", "passed", "failed", "skipped")
    return {
        **{name: row[name] for name in names},
        "progress": progress,
        "silent_seconds": silence,
        "is_end": RunState(row["state"]).is_end,
    }


def _changed_run(change: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in change.items() if name not in ("owner_id", "revision", "updated_at")}
    return {**shown, "is_end": RunState(change["state"]).is_end}


def _message(row: Any) -> dict[str, Any]:
    stamp = ""
    if row["timestamp"]:  # RefStack's own table may have rows without one
        stamp = row["timestamp"].replace(tzinfo=timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"id": row["id"], "message": row["message"], "text": status_text(row["message"] or ""), "time": stamp}


def _event(name: str, value: Mapping[str, Any], number: int = 0) -> str:
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {name}\ndata: {json.dumps(value)}\n\n"
