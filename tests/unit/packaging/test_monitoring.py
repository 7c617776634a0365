"""The alert rules and the board name only metrics, and labels, that server and worker have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from refstack_worker.server.domain.nodes import Node
from tests.support.ledgers import Clock, new_run
from tests.unit.server.api.operators.test_metrics import client, scrape
from tests.unit.server.conftest import clock, ledger, migrated, settings
from tests.unit.worker import test_metrics as of_worker

__all__ = ["client", "clock", "ledger", "migrated", "settings"]

FOLDER = Path(__file__).resolve().parents[3] / "packaging" / "monitoring"
DOCS = FOLDER.parents[1] / "docs" / "monitoring.md"
RULES = yaml.safe_load((FOLDER / "refstack-alerts.yml").read_text())
BOARD = json.loads((FOLDER / "refstack-board.json").read_text())
OF_PROMETHEUS = {"job", "instance", "up"}
METRIC = re.compile(r"\b(refstack_[a-z0-9_]+)(?:\{([^}]*)\})?")
BOARD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["title", "uid", "schemaVersion", "panels", "templating", "time"],
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
        "schemaVersion": {"type": "integer", "minimum": 36},
        "panels": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["id", "type", "title", "gridPos", "targets", "datasource", "fieldConfig", "options"],
                "properties": {
                    "type": {"enum": ["stat", "timeseries"]},
                    "gridPos": {
                        "type": "object",
                        "required": ["x", "y", "w", "h"],
                        "properties": {"x": {"maximum": 23, "minimum": 0}, "w": {"maximum": 24, "minimum": 1}},
                    },
                    "targets": {"type": "array", "minItems": 1, "items": {"required": ["expr", "refId", "datasource"]}},
                },
            },
        },
    },
}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def questions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in BOARD["panels"] for target in panel["targets"])


@pytest.fixture
def known(client: Any, ledger: Any, clock: Clock) -> dict[str, set[str]]:
    """Sample names of server and worker, with the labels that each has."""
    ledger.nodes.record(Node("n", ("47.0.0",), 1, 0, (), "ready", "1", clock()))
    ledger.runs.add(new_run())
    scrape(client, ledger)
    worker = of_worker.NodeMetrics(of_worker.NODE, of_worker.status).text()
    found: dict[str, set[str]] = {}
    for family in [*parse(scrape(client, ledger).text), *parse(worker)]:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_and_label_that_is_asked_for_exists(known: dict[str, set[str]]) -> None:
    asked = [match for question in questions() for match in METRIC.finditer(question)]
    assert len(asked) > 30
    for match in asked:
        name, labels = match.groups()
        assert name in known, name
        used = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", labels or ""))
        assert used <= known[name] | OF_PROMETHEUS, (name, used)


def test_the_documentation_names_every_alert_and_every_metric(known: dict[str, set[str]]) -> None:
    text = DOCS.read_text()
    assert {rule["alert"] for rule in alerts()} == set(re.findall(r"`(RefStack[A-Za-z]+)`", text))
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in known if name.startswith("refstack_")}
    prefixes = ("refstack_worker_", "refstack_runs_", "refstack_node_", "refstack_")
    for name in families:
        short = {f"_{name.removeprefix(prefix)}" for prefix in prefixes if name.startswith(prefix)}
        assert any(f"`{each}" in text for each in {name, *short}), name


def test_every_alert_says_what_happened_and_how_bad_it_is() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"].endswith(".")


def test_the_board_has_the_form_that_grafana_loads() -> None:
    jsonschema.validate(BOARD, BOARD_SCHEMA)
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
