"""The ledger as metrics: gauges of the present, counters and histograms of everything that ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from refstack_worker.contract.states import RunState
from refstack_worker.server.domain.nodes import Demand, Node
from refstack_worker.server.ledger.ledger import Ledger
from refstack_worker.server.ledger.statistics import RUN_BOUNDS, RUN_ENDS, WAIT_BOUNDS, Histogram
from refstack_worker.server.queue.capacity import SILENT_SECONDS, demand
from refstack_worker.version import software_version

NODE_STATES = ("ready", "paused", "draining", "silent")
OUTCOMES = (
    *("finished", "failed", "cancelled", "lost", "released", "queue-lost"),
    *("timeout", "queue-timeout", "cancel-unconfirmed"),
)
STATUSES = ("passed", "failed", "skipped")
_DEMAND: tuple[tuple[str, str, Callable[[Demand], float]], ...] = (
    ("refstack_runs_queued", "Runs that wait for a node, by the queue's function.", lambda row: row.queued),
    ("refstack_runs_held", "Runs that a node carries out.", lambda row: row.running),
    ("refstack_wait_seconds", "How long the oldest waiting run has waited.", lambda row: row.waited),
    ("refstack_slots", "Slots of ready nodes that serve it.", lambda row: row.slots),
    ("refstack_slots_needed", "Further slots that would let all waiting runs start.", lambda row: row.needed),
)
_NODE: tuple[tuple[str, str, Callable[[Node], float]], ...] = (
    ("refstack_node_slots", "Slots of a node.", lambda node: node.slots),
    ("refstack_node_busy_slots", "Slots of a node that carry out a run.", lambda node: node.busy),
    ("refstack_node_last_seen_timestamp_seconds", "When a node last reported.", lambda node: node.seen_at),
)


class LedgerCollector(Collector):
    """Asks the ledger once for each scrape."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry need not ask the ledger for names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; each has its labels from the start, with the value 0."""
        yield _gauge("refstack_build_info", "The software of this process.", "version", {software_version(): 1})
        yield from self._queue()
        yield from self._nodes()
        yield from self._totals()
        messages = {state: float(count) for state, count in self._ledger.deliveries.counts().items()}
        yield _gauge("refstack_messages", "Notifications of the last 30 days, by state.", "state", messages)

    def _queue(self) -> Iterator[Metric]:
        states, rows = self._ledger.queue.count_states(), demand(self._ledger)
        counts = {state.value: float(states.get(state.value, 0)) for state in RunState}
        yield _gauge("refstack_runs", "Runs in the ledger, by state.", "state", counts)
        paused = float(self._ledger.queue.is_paused())
        yield GaugeMetricFamily("refstack_queue_paused", "1 while operators have paused the queue.", value=paused)
        waited = max((row.waited for row in rows), default=0.0)
        yield GaugeMetricFamily(
            "refstack_oldest_wait_seconds", "How long the oldest of all waiting runs has waited.", value=waited
        )
        yield GaugeMetricFamily(
            "refstack_unsubmitted_seconds",
            "How long the oldest run not yet in gearmand has been recorded.",
            value=self._ledger.statistics.unsubmitted_seconds(),
        )
        for name, meaning, value in _DEMAND:
            yield _gauge(name, meaning, "function", {row.function: value(row) for row in rows})

    def _nodes(self) -> Iterator[Metric]:
        now, nodes = self._ledger.clock(), self._ledger.nodes.all()
        states = Counter("silent" if now - node.seen_at >= SILENT_SECONDS else node.state for node in nodes)
        counts = {state: float(states.get(state, 0)) for state in {**dict.fromkeys(NODE_STATES), **states}}
        yield _gauge("refstack_nodes", "Nodes that have reported, by state.", "state", counts)
        up = {node.name: float(now - node.seen_at < SILENT_SECONDS) for node in nodes}
        yield _gauge("refstack_node_up", "1 while a node reports.", "node", up)
        for name, meaning, value in _NODE:
            yield _gauge(name, meaning, "node", {node.name: value(node) for node in nodes})

    def _totals(self) -> Iterator[Metric]:
        totals = self._ledger.statistics.totals()
        yield _counter("refstack_runs_ended", "Ended runs, by outcome.", "end", RUN_ENDS, totals.runs)
        yield _counter("refstack_tests", "Tests of accepted results.", "status", STATUSES, totals.tests)
        yield _counter("refstack_attempts_ended", "Attempts of runs that ended.", "outcome", OUTCOMES, totals.attempts)
        times = HistogramMetricFamily(
            "refstack_run_duration_seconds", "From the last claim of a run to its end.", labels=["end"]
        )
        for end in RUN_ENDS:
            _add_times(times, [end], totals.run_times.get(end, Histogram()), RUN_BOUNDS)
        yield times
        waits = HistogramMetricFamily("refstack_run_wait_seconds", "Until a worker claimed an attempt that ended.")
        _add_times(waits, [], totals.waits, WAIT_BOUNDS)
        yield waits


def _gauge(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, meaning: str, label: str, known: Sequence[str], values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=[label])
    for key in dict.fromkeys((*known, *values)):
        family.add_metric([key], values.get(key, 0.0))
    return family


def _add_times(family: HistogramMetricFamily, labels: list[str], times: Histogram, bounds: Sequence[int]) -> None:
    buckets = list(zip(map(float, bounds), times.buckets or [0.0] * len(bounds)))
    shown = [(f"{bound:g}" if bound != int(bound) else f"{bound:.1f}", value) for bound, value in buckets]
    family.add_metric(labels, [*shown, ("+Inf", times.count)], times.sum)
