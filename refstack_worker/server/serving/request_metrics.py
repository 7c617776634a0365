"""Requests and how long they take, by route: of this process, or of all that share ``PROMETHEUS_MULTIPROC_DIR``."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, values
from prometheus_client.multiprocess import MultiProcessCollector

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that names the folder in which the processes of one server share what they count."""
UNKNOWN = "none"
"""Route and method of requests that no route takes: what callers make up must not become labels."""


def share(folder: Path) -> None:
    """Let this process and all that it forks count together in an empty folder. Call it before any application."""
    os.environ[SHARED_FOLDER] = str(folder)
    # prometheus_client chose how values are kept when it was imported, which was before
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


class RequestMetrics:
    """Counts and measures the requests of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        is_shared = bool(os.environ.get(SHARED_FOLDER))
        # what processes share is read from their files; registered as well, it would be counted twice
        own = None if is_shared else self.registry
        self._requests = Counter(
            "refstack_http_requests", "Requests, by route and status.", ("method", "route", "status"), registry=own
        )
        self._seconds = Histogram(
            "refstack_http_request_duration_seconds",
            "Time until an answer begins, by route.",
            ("method", "route"),
            buckets=BOUNDS,
            registry=own,
        )
        if is_shared:
            MultiProcessCollector(self.registry)  # type: ignore[no-untyped-call]
        else:
            ProcessCollector(registry=self.registry)

    def register(self, app: Flask) -> None:
        """Measure each request of an application, from before to after all its other parts."""
        app.before_request(self._begin)
        app.after_request(self._end)

    def begin_with_zero(self, app: Flask) -> None:
        """Let every route have its counters before the first request: an increase needs a value to begin with."""
        for rule in app.url_map.iter_rules():
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                for status in ("2xx", "5xx"):
                    self._requests.labels(method, rule.rule, status)

    def _begin(self) -> None:
        g.began = time.monotonic()

    def _end(self, answer: Response) -> Response:
        began: float | None = g.get("began")
        if began is not None:
            rule = request.url_rule
            method, route = (request.method, rule.rule) if rule is not None else (UNKNOWN, UNKNOWN)
            self._requests.labels(method, route, f"{answer.status_code // 100}xx").inc()
            self._seconds.labels(method, route).observe(time.monotonic() - began)
        return answer
