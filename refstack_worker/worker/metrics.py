"""A node's metrics for Prometheus: its present state, and the attempts that it ended since it started."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
    make_wsgi_app,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from refstack_worker.errors import ConfigError
from refstack_worker.gearman import Address
from refstack_worker.worker.attempt.outcome import OutcomeKind

LOG = logging.getLogger(__name__)
BOUNDS = (10, 60, 300, 600, 1800, 3600, 7200, 4 * 3600, 28800, 86400)
"""Upper bounds of the buckets for an attempt's time, in seconds."""
SECONDS = 10.0
"""That a client may take to send its request."""


class NodeMetrics:
    """Counts the attempts of one node, with how long each kept its slot, and shows them beside the node's status."""

    def __init__(self, node: str, status: Callable[[], Mapping[str, Any]]) -> None:
        """:param status: returns what ``refstack-worker status`` shows; asked at each scrape."""
        self.registry = CollectorRegistry()
        self.registry.register(_StatusCollector(status))
        ProcessCollector(registry=self.registry)
        self._node = node
        self._runs = Counter(
            "refstack_worker_runs",
            "Runs by outcome since the worker started.",
            ("node", "ending"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "refstack_worker_attempt_duration_seconds",
            "How long an attempt kept its slot.",
            ("node",),
            buckets=BOUNDS,
            registry=self.registry,
        )
        for kind in OutcomeKind:  # an increase needs a value to begin with
            self._runs.labels(node, kind.value)
        self._seconds.labels(node)

    def count(self, kind: OutcomeKind, seconds: float) -> None:
        """Count an attempt that ended. :param seconds: since its job was received."""
        self._runs.labels(self._node, kind.value).inc()
        self._seconds.labels(self._node).observe(seconds)

    def text(self) -> str:
        """Return everything in Prometheus's text format."""
        text: bytes = generate_latest(self.registry)
        return text.decode("utf-8")


class _StatusCollector(Collector):
    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not ask for names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of the present state."""
        status = self._status()
        node = str(status["node"])

        def gauge(name: str, meaning: str, value: float) -> Metric:
            family = GaugeMetricFamily(f"refstack_worker_{name}", meaning, labels=["node"])
            family.add_metric([node], value)
            return family

        slots, servers = status["slots"], status["gearman"]
        yield gauge("up", "The worker is running.", 1)
        yield gauge("slots", "Runs that the node can carry out at the same time.", len(slots))
        yield gauge("busy_slots", "Runs that the node is carrying out.", sum(slot["busy"] for slot in slots))
        yield gauge(
            "accepting",
            "1 while the node takes runs: not paused, not draining, enough disk space.",
            status["accepting"],
        )
        yield gauge("versions", "Tempest versions that the node can build.", len(status["versions"]))
        connected = sum(server["connected"] for server in servers)
        yield gauge("gearman_connected", "Gearman servers to which at least one slot is connected.", connected)
        yield gauge("gearman_servers", "Configured Gearman servers.", len(servers))
        problems = sum(bool(server["problem"]) for server in status["servers"])
        yield gauge("server_problems", "RefStack servers that did not accept the last report.", problems)
        spool = status["spool"]
        yield gauge(
            "spool_entries", "Results and final reports that the server has not accepted yet.", spool["entries"]
        )
        yield gauge("spool_bytes", "Size of the spool.", spool["bytes"])
        yield gauge("store_wheels", "Unpacked wheels in the store.", status["store"]["wheels"])
        yield _by_folder(node, status["disks"])


def _by_folder(node: str, disks: Sequence[Mapping[str, Any]]) -> Metric:
    family = GaugeMetricFamily("refstack_worker_free_bytes", "Free space by folder.", labels=["node", "folder"])
    for disk in disks:
        family.add_metric([node, disk["folder"]], disk["free_mb"] << 20)
    return family


class MetricsServer:
    """Answers Prometheus over HTTP in separate threads."""

    def __init__(self, address: Address, registry: CollectorRegistry) -> None:
        """:raises ConfigError: nothing can listen at this address."""
        try:
            self._server = make_server(
                address.host,
                address.port,
                make_wsgi_app(registry),
                server_class=_ScrapeServer,
                handler_class=_ScrapeHandler,
            )
        except OSError as error:
            raise ConfigError(
                f"node.metrics_listen: {address}: {error.strerror or error}; is the port taken?"
            ) from error
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; requests under way are dropped with the process."""
        self._server.shutdown()
        self._server.server_close()


class _ScrapeServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ScrapeHandler(WSGIRequestHandler):
    timeout = SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Keep scrapes out of the log."""
        LOG.debug(format, *args)
