"""One job from the queue to its end, against a scripted server, with real keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refstack_worker.config.worker import ServerLinkSettings, SpoolSettings, WorkerSettings
from refstack_worker.contract import keys
from refstack_worker.contract.envelope import Opener, Sealer
from refstack_worker.contract.payload import Payload
from refstack_worker.environments.catalogue import Offer, Want
from refstack_worker.errors import RunError, VersionUnavailableError
from refstack_worker.worker.attempt.attempt import AttemptExecution, NodeServices, ReceivedJob
from refstack_worker.worker.attempt.claimed import ClaimRecords
from refstack_worker.worker.attempt.outcome import AttemptOutcome, OutcomeKind
from refstack_worker.worker.attempt.stop_request import StopReason, StopRequest
from refstack_worker.worker.sandbox.runner import EmbeddedRunner
from refstack_worker.worker.server_api.attempts import ClaimedAttempt
from refstack_worker.worker.spool.spool import Spool
from tests.support.http_server import Reply, Scripted, as_json

CLAIM = "/worker/v1/runs/7/attempts/2/claim"
BEAT = "/worker/v1/runs/7/attempts/2/heartbeat"
RELEASE = "/worker/v1/runs/7/attempts/2/release"
STATUS = "/update-test-status/"


class NoVersions:
    """A catalogue without any version."""

    def find(self, want: Want) -> Offer:
        raise VersionUnavailableError(f"Tempest {want.version} is not on this node")


@pytest.fixture
def services(tmp_path: Path, settings: WorkerSettings, opener: Opener, server: Scripted) -> NodeServices:
    link = ServerLinkSettings((server.url,), timeout=5.0, patience=0.0)
    run = replace(settings.run, environments=tmp_path / "environments")
    services = NodeServices(
        settings=replace(settings, server=link, run=run),
        opener=opener,
        runner=EmbeddedRunner(tmp_path / "runs", "test"),
        catalogue=NoVersions(),  # type: ignore[arg-type]
        claims=ClaimRecords(tmp_path / "claims"),
        spool=Spool(tmp_path / "spool", SpoolSettings()),
        program=("execute_test",),
    )
    services.claims.prepare()
    services.spool.prepare()
    server.on(CLAIM, as_json({"heartbeat_seconds": 0.05}))
    server.on(BEAT, as_json({"order": "go", "heartbeat_seconds": 0.05}))
    server.on(STATUS, as_json({}, 202))
    server.on(RELEASE, as_json({}))
    return services


@pytest.fixture
def carry_out(services: NodeServices) -> Callable[..., AttemptOutcome]:
    def act(envelope: bytes, stop: StopRequest | None = None, function: str = "refstack:tempest:47.0.0") -> Any:
        return AttemptExecution(services, ReceivedJob(function, "7:2", envelope), stop or StopRequest()).carry_out()

    return act


def reports(server: Scripted) -> list[dict[str, Any]]:
    return [json.loads(asked.body) for asked in server.asked if asked.path == STATUS]


def final_reports(server: Scripted) -> list[dict[str, Any]]:
    return [report for report in reports(server) if report.get("status") in ("failed", "cancelled")]


def test_a_job_that_cannot_be_opened_is_dropped_and_left_to_other_nodes(
    carry_out: Callable[..., AttemptOutcome], claimed: ClaimedAttempt, server: Scripted
) -> None:
    outcome = carry_out(claimed.envelope[:-4] + b"AAAA")
    assert outcome.kind is OutcomeKind.DROPPED and outcome.node_fault
    assert server.asked == [], "no word to any server: the address in it cannot be believed"


def test_a_callback_that_is_not_configured_is_not_called(
    services: NodeServices, claimed: ClaimedAttempt, server: Scripted
) -> None:
    elsewhere = replace(services.settings, server=ServerLinkSettings(("https://other.example.org",)))
    job = ReceivedJob("f", "7:2", claimed.envelope)
    outcome = AttemptExecution(replace(services, settings=elsewhere), job, StopRequest()).carry_out()
    assert outcome.kind is OutcomeKind.DROPPED and "is not in server.urls" in outcome.message
    assert server.asked == []


@pytest.fixture
def unreadable(tmp_path: Path, claimed: ClaimedAttempt, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An envelope with a good seal and signature around a regular expression that this Python does not compile."""
    sealer = Sealer(keys.load_sign_private(tmp_path / "sign.key"), keys.load_seal_public(tmp_path / "fleet.pub"))
    value = {**claimed.payload.to_json(), "testcases": {"regexes": ["(unbalanced"]}}
    monkeypatch.setattr(Payload, "to_bytes", lambda self: json.dumps(value).encode())
    return sealer.seal(claimed.payload)


def test_a_run_that_the_node_cannot_read_fails_once_and_is_not_the_nodes_fault(
    carry_out: Callable[..., AttemptOutcome], services: NodeServices, unreadable: bytes, server: Scripted
) -> None:
    outcome = carry_out(unreadable)
    assert outcome.kind is OutcomeKind.FAILED and not outcome.node_fault
    (report,) = final_reports(server)
    assert report["status"] == "failed" and "regex" in report["message"]
    assert report["payload"] == unreadable.decode() and (report["test_id"], report["attempt"]) == (7, 2)
    (claim,) = [asked for asked in server.asked if asked.path == CLAIM]
    assert claim.headers["Authorization"].startswith("Bearer ")
    assert services.claims.left(services.opener) == []


def test_an_unreadable_run_of_another_worker_is_left_alone(
    carry_out: Callable[..., AttemptOutcome], unreadable: bytes, server: Scripted
) -> None:
    server.on(CLAIM, as_json({"error": "no", "reason": "claimed"}, 409))
    outcome = carry_out(unreadable)
    assert outcome.kind is OutcomeKind.DROPPED and not outcome.node_fault
    assert reports(server) == []


@pytest.mark.parametrize(("reason", "node_fault"), [("claimed", False), ("superseded", False), ("host", True)])
def test_a_refused_claim_is_dropped(
    carry_out: Callable[..., AttemptOutcome], claimed: ClaimedAttempt, server: Scripted, reason: str, node_fault: bool
) -> None:
    server.on(CLAIM, as_json({"error": "no", "reason": reason}, 409))
    outcome = carry_out(claimed.envelope)
    assert (outcome.kind, outcome.reason, outcome.node_fault) == (OutcomeKind.DROPPED, reason, node_fault)


def test_a_server_that_is_away_at_the_claim_costs_nothing(
    carry_out: Callable[..., AttemptOutcome], claimed: ClaimedAttempt, server: Scripted
) -> None:
    server.on(CLAIM, Reply(500))
    outcome = carry_out(claimed.envelope)
    assert outcome.kind is OutcomeKind.DROPPED and outcome.node_fault and reports(server) == []


def test_a_version_that_went_meanwhile_releases_the_attempt(
    carry_out: Callable[..., AttemptOutcome], services: NodeServices, claimed: ClaimedAttempt, server: Scripted
) -> None:
    outcome = carry_out(claimed.envelope)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.RELEASED, "version-unavailable")
    (release,) = [json.loads(asked.body) for asked in server.asked if asked.path == RELEASE]
    assert "not on this node" in release["reason"]
    assert services.claims.left(services.opener) == [] and not list(services.settings.run.environments.glob("*"))


def test_a_version_that_the_function_never_promised_fails_the_run(
    carry_out: Callable[..., AttemptOutcome], claimed: ClaimedAttempt, server: Scripted
) -> None:
    assert carry_out(claimed.envelope, function="refstack:tempest:1.0.0").kind is OutcomeKind.FAILED
    assert final_reports(server)[0]["reason"] == "version-unavailable"


def test_an_end_that_the_server_cannot_take_waits_in_the_spool(
    carry_out: Callable[..., AttemptOutcome], services: NodeServices, claimed: ClaimedAttempt, server: Scripted
) -> None:
    server.on(RELEASE, Reply(503))
    carry_out(claimed.envelope)
    (entry,) = services.spool.entries()
    assert (entry.kind, entry.run) == ("release", "7:2")


def test_a_stop_request_wins_over_the_error_that_it_causes(
    carry_out: Callable[..., AttemptOutcome], claimed: ClaimedAttempt, server: Scripted
) -> None:
    stop = StopRequest()
    stop.make(StopReason.CANCELLED, "by ann")
    assert carry_out(claimed.envelope, stop).kind is OutcomeKind.CANCELLED
    assert [report["status"] for report in final_reports(server)] == ["cancelled"]


def test_a_bug_releases_the_attempt(
    carry_out: Callable[..., AttemptOutcome],
    services: NodeServices,
    claimed: ClaimedAttempt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("refstack_worker.worker.attempt.testcases.entries", broken)
    outcome = carry_out(claimed.envelope)
    assert outcome.kind is OutcomeKind.RELEASED and outcome.node_fault and "ZeroDivisionError" in outcome.message


def test_a_hook_that_fails_releases_the_attempt(
    carry_out: Callable[..., AttemptOutcome], claimed: ClaimedAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(folder: Path, claimed: ClaimedAttempt, mark: str, outcome: str = "") -> None:
        if not outcome:
            raise RunError("hook /x: exit status 3")

    monkeypatch.setattr("refstack_worker.worker.attempt.hooks.run", failing)
    outcome = carry_out(claimed.envelope)
    assert outcome.kind is OutcomeKind.RELEASED and "problem on this node: hook /x" in outcome.message


@pytest.mark.parametrize("text", ["exit 0", "exit 3"], ids=["no environment", "a hook fails"])
def test_the_hooks_after_a_run_undo_those_before_it_however_it_ended(
    services: NodeServices, claimed: ClaimedAttempt, tmp_path: Path, text: str
) -> None:
    run = replace(services.settings.run, pre_run_hooks=tmp_path / "pre", post_run_hooks=tmp_path / "post")
    for folder, line in ((run.pre_run_hooks, text), (run.post_run_hooks, f"echo $REFSTACK_ENDING >> {tmp_path}/ended")):
        folder.mkdir()
        (folder / "hook").write_text(f"#!/bin/sh\n{line}\n")
        (folder / "hook").chmod(0o755)
    hooked = replace(services, settings=replace(services.settings, run=run))
    job = ReceivedJob("refstack:tempest:47.0.0", "7:2", claimed.envelope)
    outcome = AttemptExecution(hooked, job, StopRequest()).carry_out()
    assert outcome.kind is OutcomeKind.RELEASED
    assert (tmp_path / "ended").read_text() == "released\n"
