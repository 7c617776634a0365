"""``/metrics`` as Prometheus reads it; that the formats are right, prometheus-client's own parser says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from refstack_worker.contract.states import RunState
from refstack_worker.server.app import create_app
from refstack_worker.server.domain.nodes import Node
from refstack_worker.server.ledger.ledger import Ledger
from tests.support.ledgers import Clock, new_run
from tests.unit.server.ledger.test_statistics import a_full_ledger

Samples = dict[str, dict[str, float]]


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    return create_app(ledger).test_client()


def scrape(client: FlaskClient, ledger: Ledger, accept: str = "") -> Any:
    token = ledger.tokens.add("prometheus", ["operator", "read"])[1]
    return client.get("/metrics", headers={"Authorization": f"Bearer {token}", "Accept": accept})


def samples(text: str) -> Samples:
    """Return name to the values of one label, or of no label."""
    found: Samples = {}
    for family in parse(text):
        for sample in family.samples:
            label = sample.labels.get("le") or ",".join(sample.labels.values())
            found.setdefault(sample.name, {})[label] = sample.value
    return found


def test_zero_values_are_there_from_the_start(client: FlaskClient, ledger: Ledger) -> None:
    found = samples(scrape(client, ledger).text)
    assert found["refstack_runs_ended_total"] == dict.fromkeys(("passed", "tests-failed", "error", "cancelled"), 0)
    assert found["refstack_attempts_ended_total"]["lost"] == 0
    assert set(found["refstack_runs"]) == {state.value for state in RunState}
    assert found["refstack_nodes"] == {"ready": 0, "paused": 0, "draining": 0, "silent": 0}
    assert found["refstack_run_wait_seconds_bucket"]["+Inf"] == 0
    assert found["refstack_oldest_wait_seconds"] == found["refstack_unsubmitted_seconds"] == {"": 0}
    assert found["refstack_queue_paused"] == {"": 0}
    assert found["refstack_http_requests_total"]["POST,/v1/runs,5xx"] == 0


def test_what_happened_is_counted(client: FlaskClient, ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    a_full_ledger(ledger, clock, tmp_path)
    found = samples(scrape(client, ledger).text)
    assert found["refstack_runs_ended_total"]["tests-failed"] == 1
    assert found["refstack_attempts_ended_total"]["lost"] == 1
    assert found["refstack_tests_total"] == {"passed": 3, "failed": 1, "skipped": 1}
    assert found["refstack_run_duration_seconds_count"]["passed"] == 1
    assert found["refstack_run_wait_seconds_bucket"]["15.0"] == 2
    assert found["refstack_run_wait_seconds_bucket"]["+Inf"] == 3


def test_every_process_gives_the_same_counts(client: FlaskClient, ledger: Ledger) -> None:
    ledger.runs.cancel(ledger.runs.add(new_run()).test_id, "me")
    other = create_app(ledger).test_client()
    counts = [samples(scrape(one, ledger).text)["refstack_runs_ended_total"] for one in (client, other)]
    assert counts[0] == counts[1] and counts[0]["cancelled"] == 1


def test_the_fleet_and_what_waits(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    ledger.nodes.record(Node("near", ("47.0.0",), 2, 1, (), "ready", "1", clock()))
    ledger.nodes.record(Node("far", (), 1, 0, (), "paused", "1", clock()))
    ledger.queue.pause("me")
    ledger.runs.add(new_run())
    clock.forward(60)
    ledger.nodes.record(Node("near", ("47.0.0",), 2, 1, (), "ready", "1", clock()))
    clock.forward(70)
    found = samples(scrape(client, ledger).text)
    assert found["refstack_nodes"]["silent"] == 1 and found["refstack_node_up"] == {"near": 1, "far": 0}
    assert found["refstack_slots"] == {"refstack:tempest:47.0.0": 2}
    assert found["refstack_wait_seconds"] == {"refstack:tempest:47.0.0": 130}
    assert found["refstack_oldest_wait_seconds"] == {"": 130} and found["refstack_queue_paused"] == {"": 1}


def test_requests_are_measured_by_route_and_not_by_path(client: FlaskClient, ledger: Ledger) -> None:
    scrape(client, ledger)
    client.get("/runs/4711/nonsense")
    client.get("/v1/runs/17")
    found = samples(scrape(client, ledger).text)
    assert found["refstack_http_requests_total"]["GET,/metrics,2xx"] == 1
    assert found["refstack_http_requests_total"]["none,none,4xx"] == 1
    assert found["refstack_http_requests_total"]["GET,/v1/runs/<int:test_id>,4xx"] == 1
    assert found["refstack_http_request_duration_seconds_count"]["GET,/metrics"] == 1
    assert not any("nonsense" in label for values in found.values() for label in values)


def test_openmetrics_is_spoken_when_asked_for(client: FlaskClient, ledger: Ledger) -> None:
    answer = scrape(client, ledger, "application/openmetrics-text; version=1.0.0")
    assert answer.content_type.startswith("application/openmetrics-text")
    names = {family.name for family in parse_open(answer.text)}
    assert {"refstack_runs_ended", "refstack_http_requests"} <= names


def test_only_operators_see_it(client: FlaskClient, ledger: Ledger) -> None:
    assert client.get("/metrics").status_code == 401
    token = ledger.tokens.add("ann", ["vendor"], ledger.accounts.add_user("ann", "a@x").id)[1]
    assert client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 403
