from __future__ import annotations

from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families as parse

from refstack_worker.errors import ConfigError
from refstack_worker.gearman import Address
from refstack_worker.worker.attempt.outcome import OutcomeKind
from refstack_worker.worker.metrics import MetricsServer, NodeMetrics

NODE = 'a"b\\c\nd'


def status(**given: Any) -> dict[str, Any]:
    return {
        "node": NODE,
        "slots": [{"busy": True}, {"busy": False}],
        "accepting": False,
        "versions": ["47.0.0"],
        "gearman": [{"connected": True}, {"connected": False}],
        "servers": [{"url": "https://a", "problem": "no answer"}, {"url": "https://b", "problem": ""}],
        "spool": {"entries": 2, "bytes": 10},
        "store": {"wheels": 7},
        "disks": [{"folder": "/var", "free_mb": 3}],
        **given,
    }


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return (name, last label) to value, without the node, which all of the worker's own have."""
    found = {}
    for family in parse(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            if sample.name.startswith("refstack_"):
                assert labels.pop("node") == NODE
            found[sample.name, ",".join(labels.values())] = sample.value
    return found


def test_the_state_of_a_node() -> None:
    found = samples(NodeMetrics(NODE, status).text())
    expected = {"up": 1, "slots": 2, "busy_slots": 1, "accepting": 0, "versions": 1, "gearman_connected": 1}
    expected |= {"gearman_servers": 2, "server_problems": 1, "spool_entries": 2, "spool_bytes": 10, "store_wheels": 7}
    assert {name: found[f"refstack_worker_{name}", ""] for name in expected} == expected
    assert found["refstack_worker_free_bytes", "/var"] == 3 << 20


def test_each_outcome_begins_with_0_and_is_counted() -> None:
    attempts = NodeMetrics(NODE, status)
    before = samples(attempts.text())
    assert all(before["refstack_worker_runs_total", kind.value] == 0 for kind in OutcomeKind)
    attempts.count(OutcomeKind.POSTED, 90)
    after = samples(attempts.text())
    assert after["refstack_worker_runs_total", "posted"] == 1
    assert after["refstack_worker_attempt_duration_seconds_bucket", "300.0"] == 1
    assert after["refstack_worker_attempt_duration_seconds_bucket", "60.0"] == 0


def test_two_workers_in_one_process_count_apart() -> None:
    one, other = NodeMetrics("one", status), NodeMetrics("other", status)
    one.count(OutcomeKind.FAILED, 1)
    assert 'ending="failed",node="other"} 0.0' in other.text()


def test_prometheus_gets_them_over_http() -> None:
    server = MetricsServer(Address("127.0.0.1", 0), NodeMetrics(NODE, status).registry)
    server.start()
    try:
        with pytest.raises(ConfigError, match="is the port taken"):
            MetricsServer(Address("127.0.0.1", server.port), NodeMetrics(NODE, status).registry)
        answer = requests.get(f"http://127.0.0.1:{server.port}/metrics", timeout=30)
    finally:
        server.stop()
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert samples(answer.text)["refstack_worker_slots", ""] == 2
