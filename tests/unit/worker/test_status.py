from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from refstack_worker.config.worker import GearmanSettings, ServerLinkSettings, SpoolSettings, WorkerSettings
from refstack_worker.contract.envelope import Opener
from refstack_worker.environments.catalogue import Offer
from refstack_worker.worker.admission.admission import Admission
from refstack_worker.worker.admission.versions import AvailableVersions
from refstack_worker.worker.attempt.attempt import NodeServices
from refstack_worker.worker.attempt.claimed import ClaimRecords
from refstack_worker.worker.attempt.outcome import AttemptOutcome, OutcomeKind
from refstack_worker.worker.sandbox.runner import EmbeddedRunner
from refstack_worker.worker.spool.spool import Spool
from refstack_worker.worker.status import MAX_ERRORS, NodeOverview


class FakeSlot:
    """A slot that is busy, or connected, as the test says."""

    def __init__(self, *connected: str, busy: bool = False) -> None:
        self.busy = busy
        self.queue = SimpleNamespace(connected=lambda: list(connected))

    def view(self) -> dict[str, Any]:
        return {"slot": 0, "busy": self.busy}


@pytest.fixture
def admission() -> Admission:
    return Admission()


@pytest.fixture
def slots() -> list[FakeSlot]:
    return [FakeSlot("127.0.0.1:4730", busy=True), FakeSlot()]


@pytest.fixture
def versions() -> AvailableVersions:
    catalogue = SimpleNamespace(offers=lambda: [Offer("47.0.0"), Offer("46.0.0"), Offer("45.0.0", problem="x")])
    available = AvailableVersions(catalogue, ("eu",))  # type: ignore[arg-type]
    available.update()
    return available


@pytest.fixture
def overview(
    settings: WorkerSettings,
    tmp_path: Path,
    opener: Opener,
    admission: Admission,
    slots: list[FakeSlot],
    versions: AvailableVersions,
) -> NodeOverview:
    configured = replace(
        settings,
        server=ServerLinkSettings(("https://refstack.example.org",)),
        gearman=GearmanSettings(("127.0.0.1:4730",)),
        node=replace(settings.node, name="node-1", tags=("eu",), state_folder=tmp_path / "state"),
    )
    spool = Spool(tmp_path / "spool", SpoolSettings())
    spool.prepare()
    runner, claims = EmbeddedRunner(tmp_path / "runs", "me"), ClaimRecords(tmp_path / "claims")
    catalogue = SimpleNamespace(store=SimpleNamespace(names=lambda: {"a wheel"}))
    services = NodeServices(configured, opener, runner, catalogue, claims, spool, ())  # type: ignore[arg-type]
    return NodeOverview(services, admission, versions, slots, "1.0")  # type: ignore[arg-type]


def test_status_is_json_and_complete(overview: NodeOverview) -> None:
    status = json.loads(json.dumps(overview.status()))
    assert (status["node"], status["software"], status["state"], status["accepting"]) == (
        "node-1",
        "1.0",
        "ready",
        True,
    )
    assert status["versions"] == ["47.0.0", "46.0.0"] and "refstack:tempest:46.0.0:eu" in status["functions"]
    assert status["gearman"] == [{"server": "127.0.0.1:4730", "connected": True}]
    assert status["spool"] == {"entries": 0, "bytes": 0} and len(status["disks"]) == 4
    assert [len(ids) for ids in status["keys"].values()] == [1, 1]
    assert "hunter22" not in str(status)


def test_a_healthy_node(overview: NodeOverview) -> None:
    assert overview.health() == {"healthy": True, "state": "ready", "problems": []}


def test_each_problem_is_named(
    overview: NodeOverview, admission: Admission, slots: list[FakeSlot], versions: AvailableVersions
) -> None:
    slots[0].queue = SimpleNamespace(connected=list)
    versions.offers = []
    admission.set_problem("/store: 3 MiB free")
    overview.server_problems = {"https://refstack.example.org": "no response in time"}
    health = overview.health()
    assert not health["healthy"]
    assert health["problems"] == [
        "gearman 127.0.0.1:4730: not connected",
        "https://refstack.example.org: no response in time",
        "/store: 3 MiB free",
        "this node can build no Tempest version; install a refstack-tempest package",
    ]


def test_outcomes_are_counted_and_errors_of_the_node_kept(overview: NodeOverview) -> None:
    for _ in range(MAX_ERRORS + 5):
        overview.count(AttemptOutcome(OutcomeKind.RELEASED, "machine", "disk full", node_fault=True))
    overview.count(AttemptOutcome(OutcomeKind.FAILED, "cloud", "401"))
    status = overview.status()
    assert status["ended"] == {"released": MAX_ERRORS + 5, "failed": 1}
    assert [error["reason"] for error in status["last_errors"]] == ["machine"] * MAX_ERRORS


def test_what_the_servers_see(overview: NodeOverview, admission: Admission) -> None:
    status = overview.node_status()
    assert (status.versions, status.slots, status.busy, status.tags) == (("46.0.0", "47.0.0"), 2, 1, ("eu",))
    assert status.state == "ready"
    admission.set_problem("disk full")
    assert overview.node_status().state == "paused"


def test_the_servers_see_versions_with_plugins_too(overview: NodeOverview, versions: AvailableVersions) -> None:
    versions.offers.append(Offer("43.0.0", plugins=(("heat-tempest-plugin", "3.0.0"),)))
    status = overview.node_status()
    assert (status.versions, status.plugin_sets) == (("46.0.0", "47.0.0"), ("43.0.0,heat-tempest-plugin=3.0.0",))


def test_the_summary_is_one_line(overview: NodeOverview, admission: Admission) -> None:
    assert overview.summary() == "ready, 1 of 2 slots busy, 2 Tempest versions"
    admission.set_problem("disk full")
    assert overview.summary().endswith(", takes no runs: disk full")


def test_the_metrics_have_state_and_outcomes(overview: NodeOverview) -> None:
    overview.count(AttemptOutcome(OutcomeKind.POSTED), 30)
    text = overview.metrics.text()
    assert 'refstack_worker_runs_total{ending="posted",node="node-1"} 1' in text
    assert 'refstack_worker_busy_slots{node="node-1"} 1' in text
    assert 'refstack_worker_store_wheels{node="node-1"} 1' in text
